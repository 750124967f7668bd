"""Conditions on recorded numbers: what decides these numbers is of the configuration; what cannot come is refused."""

import json
from dataclasses import replace

import pytest

from agents.build import build, misnamed, problems, unheard
from agents.config import EVALUATED, FREE, PROBED
from agents.flags import parse
from agents.readings import readings
from interventions.optreset import OptReset
from probes import chosen
from runs.units import When
from tests.agents.tiny import parsed
from tests.laws.members import AGENTS, dressed, learn, small, taken

PROBE, EVAL = ("--probe-every=50", "--redo-when=dormant > 0.3"), ("--eval-every=50", "--redo-when=return/eval < 3")
OTHER = {
    **{"probe_every": "60", "probes": "dormant", "probe_batch": "16", "deep_every": "70", "deep_probes": "rank"},
    **{"eval_every": "60", "eval_episodes": "3", "record_every": "30"},
}


@pytest.mark.parametrize(
    ("line", "decide"),
    [
        (PROBE, PROBED),
        (("--probe-every=50", "--redo-when=probe/dormant/mean > 0.3"), PROBED),
        (EVAL, EVALUATED),
        (("--redo-when=loss/q > 3",), ("record_every",)),
        (("--redo-when=return/train < 3",), ()),
        ((*PROBE, "--reset-when=loss/q > 3"), (*PROBED, "record_every")),
        (("--qdagger-from=x",), EVALUATED),
        (("--qdagger-from=x", "--qdagger-score=train"), ()),
        (("--redo-every=7",), ()),
        ((), ()),
    ],
)
def test_what_decides_a_number_that_a_method_acts_on_is_in_the_hash_and_nothing_else_that_is_free(line, decide):
    here, lines = parsed(*line), {k: f"--{k.replace('_', '-')}={v}" for k, v in OTHER.items()}
    assert {k for k, flag in lines.items() if parsed(*line, flag).directory != here.directory} == set(decide)
    assert here.free == {*FREE, "steps"} - set(decide)


def test_a_run_with_a_condition_is_not_resumed_with_other_numbers_to_act_on(command, tmp_path):
    assert command("--steps=30", "--out=here", *PROBE)[0] == 0
    code, lines = command("--steps=60", "--out=here", *PROBE, "--probe-batch=16", "--eval-every=40")
    assert code == 2
    assert lines[0] == "error: cannot resume: probe_batch is 512 in here, 16 in the command"
    assert len(lines) == 2
    assert command("--steps=60", "--out=here", *PROBE, "--eval-every=40", "--eval-episodes=1")[0] == 0
    assert json.loads((tmp_path / "here/DONE").read_text())["steps"] == 60


# ---- what cannot come is refused at the start


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            ("--probe-every=50", "--redo-when=dormant/torso.fc9 > .2"),
            "redo_when: no number 'dormant/torso.fc9' is recorded; did you mean dormant/torso.fc1?",
        ),
        (
            ("--probe-every=50", "--probes=norm", "--redo-when=probe/norm/haed.value > .2"),
            "redo_when: no number 'probe/norm/haed.value' is recorded; did you mean probe/norm/head.value?",
        ),
        (("--redo-when=loss/qq > .2",), "redo_when: no number 'loss/qq' is recorded; did you mean loss/q?"),
        (("--redo-when=grad/critics > .2",), "redo_when: no number 'grad/critics' is recorded; did you mean grad/q?"),
        (("--redo-when=loss/spr > .2",), "redo_when: no number 'loss/spr' is recorded; did you mean loss/q?"),
        (
            ("--redo-when=return/eval < 3",),
            "redo_when: no evaluation comes before the end (eval_every never); evaluate earlier",
        ),
        (
            ("--eval-every=100", "--redo-when=return/eval < 3"),
            "redo_when: no evaluation comes before the end (eval_every 100); evaluate earlier",
        ),
    ],
)
def test_a_condition_that_can_never_come_true_is_refused_at_the_start(command, tmp_path, line, sentence):
    assert command("--steps=100", *line) == (2, [f"error: {sentence}"])
    assert not list(tmp_path.glob("results/**/config.json"))


def test_a_hint_is_given_only_where_a_name_is_near():
    (problem,) = problems(parsed("--redo-when=step > 3"))
    assert "no number 'step' is recorded; there are accuracy, " in problem


def test_a_term_of_the_loss_may_be_waited_for():
    kind, config = AGENTS["spr"]
    settings = parse("spr", config, ["--env=toy:catch", "--preset=none", *small("spr"), "--redo-when=loss/spr > 2"])
    assert problems(settings) == []
    assert build(kind, settings)


@pytest.mark.parametrize(
    ("name", "env"),
    [("dqn", "toy:catch"), ("sac", "toy:reach"), ("bbf", "toy:catch"), ("classifier", "labels:generated")],
)
def test_every_number_that_is_recorded_may_be_waited_for(name, env):
    world, agent = taken(name, env)
    learn(agent, world, 3)
    row = {tag: 1.0 for tag in agent.metrics() if not tag.startswith("speed/")}
    for _ in range(2):  # some compare with the last time
        row |= readings(agent, chosen("dormant,units,grama,norm,gradients,optimizer,rank,drift"), 32, {}, 0)
    assert any("." in tag for tag in row)
    settings = dressed(name, f"--env={env}", "--preset=none", *small(name), "--probe-every=10", "--probes=all")
    for tag in row:
        waiting = replace(settings, methods=(OptReset(optreset_when=When(tag, level=1.0)),))
        assert [*unheard(waiting), *misnamed(waiting, agent)] == []
