"""Names as people write them, and every problem of the settings in one sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from envs.ale import games
from envs.atari import AtariSettings
from envs.make import canonical, family, make_env


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("MontezumaRevenge", "MontezumaRevenge"),
        ("montezuma_revenge", "MontezumaRevenge"),
        ("montezuma-revenge", "MontezumaRevenge"),
        ("ALE/MontezumaRevenge-v5", "MontezumaRevenge"),
        ("ale/montezumarevenge-V5", "MontezumaRevenge"),
        ("Tic_Tac_Toe_3D", "TicTacToe3D"),
        ("QBert", "Qbert"),
        ("CartPole", "CartPole-v1"),
        ("cart_pole-v1", "CartPole-v1"),
        ("mountaincar-v0", "MountainCar-v0"),
        ("Toy:Chain", "toy:chain"),
    ],
)
def test_customary_names_are_understood(written, meant):
    assert canonical(written) == meant


def test_every_rom_we_can_play_is_known_under_its_own_name():
    assert len(games()) == 103
    assert all(canonical(rom) == name == canonical(f"ALE/{name}-v5") for name, rom in games().items())


@pytest.mark.parametrize(("name", "which"), [("pong", "atari"), ("Pendulum", "control"), ("toy:catch", "toy")])
def test_a_name_has_a_family(name, which):
    assert family(name) == which


@pytest.mark.parametrize(
    ("legacy", "right"),
    [
        ("MontezumaRevengeNoFrameskip-v4", "MontezumaRevenge"),
        ("Pong-v0", "Pong"),
        ("pong-v4", "Pong"),
        ("PongDeterministic-v4", "Pong"),
        ("Pong-ram-v4", "Pong"),
        ("Pong-ramNoFrameskip-v0", "Pong"),
    ],
)
def test_a_legacy_id_is_refused_with_the_right_name(legacy, right):
    with pytest.raises(ValueError, match=rf"^{legacy} is a legacy id .*; write {right} and "):
        canonical(legacy)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("MontezumaRevnge", "MontezumaRevenge"),
        ("CartPool", "CartPole-v1"),
        ("CartPole-v7", "CartPole-v1"),
        ("toy:chains", "toy:chain"),
    ],
)
def test_a_near_miss_gets_a_suggestion(wrong, near):
    with pytest.raises(ValueError, match=rf"no environment '{wrong}'; did you mean {near}\?$"):
        canonical(wrong)


@pytest.mark.parametrize("name", ["dmc:quadruped-run", "", "xyzzy"])
def test_a_name_near_to_nothing_gets_examples(name):
    with pytest.raises(ValueError, match=re.escape(f"no environment {name!r}; write e.g. MontezumaRevenge")):
        canonical(name)


@pytest.mark.parametrize("name", ["Combat", "maze_craze", "ALE/Joust-v5"])
def test_a_game_for_two_is_refused_before_ale_ends_the_process(name):
    with pytest.raises(ValueError, match="no game for one player"):
        make_env(name)


def test_a_game_that_ale_cannot_restore_is_refused():
    with pytest.raises(ValueError, match=r"^miniature_golf pays wrong rewards after ALE has restored it; write e\.g\."):
        make_env("miniature_golf")


def test_one_atari_setting_elsewhere_is_named():
    with pytest.raises(ValueError, match=r"^sticky is an Atari setting; CartPole-v1 has none$"):
        make_env("CartPole", 1, AtariSettings(sticky=0.0))


def test_all_atari_settings_elsewhere_are_named():
    with pytest.raises(ValueError, match=r"^noops, fire are Atari settings; toy:chain has none$"):
        make_env("toy:chain", 1, AtariSettings(noops=30, fire=True))


def test_all_bad_values_are_named_at_once():
    bad = AtariSettings(sticky=1.5, noops=-1, frame_skip=0, max_frames=0)
    with pytest.raises(ValueError) as error:
        make_env("Pong", 0, bad)
    assert str(error.value) == (
        "sticky is 1.5, but must lie in [0, 1]; noops is -1, but must be at least 0; "
        "frame_skip is 0, but must be at least 1; max_frames is 0, but must be at least 1; "
        "num_envs is 0, but must be at least 1"
    )


def test_a_sticky_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="sticky is nan"):
        make_env("Pong", 1, AtariSettings(sticky=float("nan")))


def test_settings_reach_the_games():
    env = make_env("Pong", 2, AtariSettings(frame_skip=3))
    assert (env.spec.name, env.spec.frames_per_step, env.spec.stack, env.num_envs) == ("Pong", 3, 4, 2)


def test_every_setting_says_what_it_is():
    source = Path(sys.modules[AtariSettings.__module__].__file__).read_text()
    assert all(re.search(rf'^    {name}: .*\n    """', source, re.MULTILINE) for name in vars(AtariSettings()))


def test_envs_know_nobody_but_the_leaves():
    loaded = "import sys, envs.make, envs.dm; print([m for m in sys.modules if m.split('.')[0] in FLOORS])"
    floors = "{'agents', 'interventions', 'probes', 'nets', 'replay', 'runs'}"
    done = subprocess.run(
        [sys.executable, "-c", loaded.replace("FLOORS", floors)], capture_output=True, text=True, check=True
    )
    assert set(eval(done.stdout)) <= {"runs", "runs.units"}
