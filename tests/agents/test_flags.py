"""Where a setting comes from: class default < preset < --config < typed."""

import json
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from agents.bbf import BBFConfig
from agents.build import problems
from agents.dqn import DQNConfig
from agents.flags import BadInput, arguments, parse
from agents.presets import DQN_PRESETS as PRESETS
from interventions import methods
from runs.units import Period

LR = 6.25e-5  # the class default


def read(*flags):
    return parse("dqn", DQNConfig, list(flags))


@pytest.fixture
def toml(tmp_path):
    def write(text, name="c.toml"):
        path = tmp_path / name
        path.write_text(text)
        return f"--config={path}"

    return write


def test_each_source_wins_over_the_one_before(toml):
    pong, cleanrl, config = "--env=Pong", "--preset=cleanrl", toml("lr = 0.5")
    assert read(pong).config.learn.optim.lr == LR
    assert read(pong, cleanrl).config.learn.optim.lr == 1e-4
    assert read(pong, cleanrl, config).config.learn.optim.lr == 0.5
    assert read(pong, cleanrl, config, "--lr=0.7").config.learn.optim.lr == 0.7


@pytest.mark.parametrize(
    ("env", "preset"), [("Pong", "suite"), ("CartPole-v1", "classic"), ("toy:chain", "none"), ("toy:catch", "none")]
)
def test_the_first_preset_of_the_family_is_the_default(env, preset):
    assert read(f"--env={env}").run.preset == preset


def test_the_default_command_line_is_the_suite_on_montezuma():
    settings = read()
    assert (settings.run.env, settings.run.preset, settings.odd) == ("MontezumaRevenge", "suite", {"preset": "suite"})


def test_preset_none_is_the_class_defaults():
    assert read("--env=CartPole-v1", "--preset=none").config == DQNConfig()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_understood_and_without_a_problem(preset):
    env = {"atari": "Pong", "control": "CartPole-v1"}[PRESETS[preset][0]]
    settings = read(f"--env={env}", f"--preset={preset}")
    assert problems(settings) == []
    assert PRESETS[preset][1].keys() <= settings.flat.keys()


@pytest.mark.parametrize(
    ("env", "preset", "sentence"),
    [
        ("CartPole-v1", "suite", "preset suite is for atari environments; CartPole-v1 is control: use classic"),
        ("Pong", "classic", "Pong is atari: use suite or dopamine or cleanrl or atari100k"),
        ("toy:chain", "classic", "preset classic is for control environments; toy:chain is toy: use none"),
        ("Pong", "dopmine", "no preset 'dopmine'; did you mean dopamine?"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused_with_those_that_do(env, preset, sentence):
    with pytest.raises(BadInput) as refused:
        read(f"--env={env}", f"--preset={preset}")
    assert sentence in str(refused.value)


def test_names_are_canonical_before_anything_reads_them():
    assert read("--env", "cart_pole").run.env == "CartPole-v1"
    assert read("--env=ALE/Pong-v5").run.env == "Pong"


def test_the_last_of_two_equal_flags_counts():
    assert read("--env=toy:chain", "--lr=1", "--lr=2", "--env=toy:catch").run.env == "toy:catch"


def test_values_of_a_file_read_as_typed(toml):
    settings = read(
        "--env=Pong",
        toml('steps = "100k"\nlife_loss = true\nhidden = [64, 32]\nwarmup = 500\ntarget_every = "1k:updates"\nlr = 1'),
    )
    assert (settings.run.steps, settings.config.rl.warmup) == (100_000, 500)
    assert settings.game.life_loss is True
    assert settings.config.net.hidden == (64, 32)
    assert settings.config.rl.target_every == Period(1000, "updates")
    assert settings.config.learn.optim.lr == 1.0


def test_false_in_a_file_undoes_a_preset_and_is_undone_by_a_flag(toml):
    cleanrl, config = ("--env=Pong", "--preset=cleanrl"), toml("life_loss = false")
    assert read(*cleanrl).game.life_loss
    assert not read(*cleanrl, config).game.life_loss
    assert not read(*cleanrl, "--no-life-loss").game.life_loss
    assert read(*cleanrl, config, "--life-loss").game.life_loss


def test_a_file_may_choose_environment_and_preset_and_a_flag_overrules_it(toml):
    config = toml('env = "Pong"\npreset = "dopamine"')
    assert read(config).config.net.padding == "same"
    assert read(config, "--preset=suite").config.net.padding == "valid"
    settings = read(config, "--env=Breakout")
    assert (settings.run.env, settings.run.preset) == ("Breakout", "dopamine")


def test_an_empty_list_is_a_value(toml):
    assert read("--env=toy:chain", toml("hidden = []")).config.net.hidden == ()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"life_loss": True, "double": False}, ["--life-loss", "--no-double"]),
        ({"hidden": [64, 64]}, ["--hidden", "64", "64"]),
        ({"reset_groups": "", "lr": 1e-05}, ["--reset-groups=", "--lr=1e-05"]),
    ],
)
def test_values_are_spelled_as_a_command_line(values, line):
    assert arguments(values) == line


def test_every_problem_of_a_line_is_told_at_once():
    found = problems(read("--env=toy:chain", "--gamma=3", "--width=0", "--epsilon-final=2", "--seed=-1", "--lr=0"))
    assert [line.split()[0] for line in found] == ["seed", "epsilon_final", "lr", "gamma", "width"]


@pytest.mark.parametrize("name", ["eval_every", "probe_every", "save_every", "snapshot_every", "record_every"])
def test_what_the_loop_measures_is_counted_in_steps(name):
    (problem,) = problems(read("--env=toy:chain", f"--{name.replace('_', '-')}=3:updates"))
    assert problem.startswith(f"{name} is 3:updates")


# ---- a flag that is typed changes something, or is refused


def another(kind, name):
    """A value of a method's field that is not its default."""
    choices = [x for x in get_args(get_type_hints(kind)[name]) if x != getattr(kind, name)]
    match getattr(kind, name):
        case bool(x):
            return not x
        case int() | float() as x:
            return x + 1
        case Period():
            return "7:updates"
        case _:
            return choices[0] if choices else "x"


def of_switch(name, words):
    return f"{name} does nothing without {words}"


def test_every_flag_of_a_method_that_is_off_is_refused_with_its_switch():
    typed, sentences = {}, []
    for name, kind in methods().items():
        switch, *rest = (f.name for f in fields(kind))
        words = f"--{name}-{switch.removeprefix(f'{name}_')}"
        if f"{name}_when" in rest:
            rest.remove(f"{name}_when")
            words += f" or --{name}-when"
        typed |= {flag: another(kind, flag) for flag in rest}
        sentences += [of_switch(flag, words) for flag in rest]
    assert problems(read("--env=toy:chain", *arguments(typed))) == sentences
    assert of_switch("redo_tau", "--redo-every or --redo-when") in sentences
    assert of_switch("amplitude_high", "--amplitude-low") in sentences


@pytest.mark.parametrize("switch", ["--redo-every=1k", "--redo-when=dormant > 0.3"])
def test_a_flag_of_a_method_is_taken_with_either_switch(switch):
    assert problems(read("--env=toy:chain", "--redo-tau=0.3", switch)) == []
    assert problems(read("--env=toy:chain", "--redo-tau=0.1")) == []  # the default, which changes nothing


def test_what_a_preset_or_a_file_sets_of_a_method_may_stand_where_the_method_is_switched_off(toml):
    rr2 = lambda *flags: problems(
        parse("bbf", BBFConfig, ["--env=Pong", "--preset=rr2", "--shrink-every=never", *flags])
    )
    shared = toml("redo_tau = 0.3\nreset_inherit = 0.5")
    assert rr2() == rr2("--shrink-groups=") == []
    assert rr2("--shrink-factor=0.3") == [of_switch("shrink_factor", "--shrink-every or --shrink-when")]
    assert problems(read("--env=toy:chain", shared)) == []
    assert problems(read("--env=toy:chain", shared, "--redo-tau=0.3")) == []
    assert len(problems(read("--env=toy:chain", shared, "--redo-tau=0.2"))) == 1


def test_a_run_with_a_method_off_is_forked_by_its_config(tmp_path):
    old = read("--env=toy:chain", "--redo-every=1k", "--redo-tau=0.3").saved()
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert problems(read(f"--config={tmp_path}/config.json", "--redo-every=never")) == []


@pytest.mark.parametrize(
    ("line", "idle"),
    [
        ("--optimizer=sgd --eps=.1 --betas .5 .5", ["eps", "the second of betas"]),
        ("--optimizer=rmsprop --eps=.1 --betas .5 .5", ["the first of betas"]),
        ("--optimizer=upgd --eps=.1 --betas .5 .5", ["eps", "the first of betas", "the second of betas"]),
        ("--optimizer=adam_upgd --eps=.1 --betas .5 .5", []),
        ("--optimizer=rmsprop --betas .9 .5", []),
        ("--optimizer=sgd --preset=cleanrl --env=Pong", []),  # its eps is the preset's
    ],
)
def test_a_number_that_the_optimizer_does_not_read_is_refused(line, idle):
    settings = read("--env=toy:chain", *line.split())
    optimizer = settings.config.learn.optim.optimizer
    assert problems(settings) == [f"{name} does nothing with --optimizer {optimizer}" for name in idle]
