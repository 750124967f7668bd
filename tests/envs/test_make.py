"""Names as people write them, and every problem of the settings in one sentence."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from envs.ale import games
from envs.atari import AtariSettings
from envs.make import canonical, examination, family, make_env
from envs.tasks import TaskSettings
from runs.units import Period

FAMILY_OF = [
    ("pong", "atari"),
    ("pong,breakout@mode=4", "atari"),
    ("Pendulum", "control"),
    ("toy:catch", "toy"),
    ("toy:reach@reward=0", "toy"),
    ("Ant@friction=.2,Ant", "mujoco"),
    ("labels:mnist", "data"),
]
SEQUENCE = TaskSettings(Period(100))


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
        ("ant", "Ant-v5"),
        ("Labels:MNIST", "labels:mnist"),
        ("pong,breakout", "Pong,Breakout"),
        ("Pong, breakout@mode=4 ,Pong", "Pong,Breakout@mode=4,Pong"),
        ("pong@reward=-1@difficulty=03@mode=1", "Pong@mode=1@difficulty=3@reward=-1"),
        ("Ant@friction=.2", "Ant-v5@friction=0.2"),
        ("Ant@friction=1@Reward = 1.0", "Ant-v5"),
        ("toy:chain@reward=-0", "toy:chain@reward=0"),
        ("CartPole@reward=1e-5,cart_pole", "CartPole-v1@reward=1e-05,CartPole-v1"),
    ],
)
def test_customary_names_are_understood(written, meant):
    assert canonical(written) == meant


def test_every_rom_we_can_play_is_known_under_its_own_name():
    assert len(games()) == 103
    assert all(canonical(rom) == name == canonical(f"ALE/{name}-v5") for name, rom in games().items())


@pytest.mark.parametrize(("name", "which"), FAMILY_OF)
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


@pytest.mark.parametrize("name", ["", "xyzzy"])
def test_a_name_near_to_nothing_gets_examples(name):
    with pytest.raises(ValueError, match=re.escape(f"no environment {name!r}; write e.g. MontezumaRevenge")):
        canonical(name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("Pong@mod=1", "Pong has no 'mod' to change; did you mean mode?"),
        ("Pong@friction=1", "Pong has no 'friction' to change; write e.g. @mode=1; there are mode, difficulty, reward"),
        ("Pendulum@mode=1", "Pendulum-v1 has no 'mode' to change; write e.g. @reward=1; there are reward"),
        (
            "labels:mnist@reward=1",
            "labels:mnist has no 'reward' to change; it is a stream of labelled data and takes no @",
        ),
        ("Pong@mode=1@mode=2", "Pong is given mode twice; write it once"),
        ("Pong@mode=-1", "Pong: mode is '-1', but must be a whole number, e.g. Pong@mode=1"),
        ("Pong@mode", "Pong: mode is '', but must be a whole number, e.g. Pong@mode=1"),
        ("CartPole@reward=much", "CartPole-v1: reward is 'much', but must be a number, e.g. CartPole-v1@reward=0.5"),
        ("CartPole@reward=nan", "CartPole-v1: reward is 'nan', but must be a number, e.g. CartPole-v1@reward=0.5"),
        ("Ant@friction=0", "Ant-v5: friction is '0', but must be a number above 0, e.g. Ant-v5@friction=0.5"),
        ("Pong,CartPole", "Pong is of family atari, CartPole-v1 of family control; a sequence needs one family"),
        ("Pong,Pnog", "no environment 'Pnog'; did you mean Pong?"),
        ("Pong,", "no environment ''; write e.g. MontezumaRevenge, CartPole-v1 or toy:catch"),
        (
            "labels:mnist,shuffle:mnist",
            "labels:mnist is a stream that changes its task by itself; write it alone, without a comma",
        ),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_the_mend(wrong, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        canonical(wrong)


@pytest.mark.parametrize(
    ("name", "tasks", "said"),
    [
        ("pong,breakout", None, "Pong,Breakout needs --task-every, e.g. 1M"),
        (
            "toy:chain",
            SEQUENCE,
            "task_every needs a sequence of tasks, e.g. toy:chain,toy:chain@reward=0",
        ),
        (
            "CartPole",
            TaskSettings(task_cycle=False, task_replay="keep"),
            "task_cycle, task_replay needs a sequence of tasks, e.g. CartPole-v1,CartPole-v1@reward=0",
        ),
        (
            "Pong,Pong",
            TaskSettings(Period(10, "updates")),
            "task_every is 10:updates, but must be in agent steps, e.g. 1M or 20k,50k",
        ),
        ("Pong@mode=7", None, "pong has no mode 7; it has 0, 1"),
        ("labels:mnist", None, "labels:mnist is a stream of labelled data; use python -m agents.classifier"),
        (
            "CartPole,Acrobot",
            SEQUENCE,
            "a sequence needs one observation and action space, but CartPole-v1 has float32[4] and Discrete(2), "
            "Acrobot-v1 float32[6] and Discrete(3)",
        ),
    ],
)
def test_a_sequence_that_cannot_be_is_refused_with_the_mend(name, tasks, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        make_env(name, 1, None, tasks)


def test_a_sequence_of_games_has_all_18_actions_and_so_has_its_examination():
    assert make_env("Pong,Breakout", 1, None, SEQUENCE).spec.action.n == 18
    assert examination("Pong,Breakout", 1, 2, AtariSettings()).spec.action.n == 18
    assert make_env("Pong", 1, AtariSettings(full_actions=True)).spec.action.n == 18


def test_a_sequence_of_one_games_modes_has_its_own_actions():
    assert make_env("Pong,Pong@mode=1", 1, None, SEQUENCE).spec.action.n == 6
    assert examination("Pong,Pong@mode=1", 1, 2, AtariSettings()).spec.action.n == 6


def test_mode_and_difficulty_reach_the_console():
    (game,) = make_env("Breakout@mode=4@difficulty=1")._games
    now = game.emulator._ale.cloneState()
    assert (now.getCurrentMode(), now.getDifficulty()) == (4, 1)


def test_in_an_examination_a_lost_life_ends_nothing():
    (game,) = examination("Breakout", 0, 1, AtariSettings(life_loss=True, noops=3))._games
    assert (game.settings.life_loss, game.settings.noops) == (False, 3)


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


@pytest.mark.parametrize("kind", [AtariSettings, TaskSettings])
def test_every_setting_says_what_it_is(kind):
    source = Path(sys.modules[kind.__module__].__file__).read_text()
    assert all(re.search(rf'^    {name}: .*\n    """', source, re.MULTILINE) for name in vars(kind()))


def test_envs_know_nobody_but_a_leaf_and_load_no_physics_unasked():
    loaded = "import sys, envs.make, envs.dm; print([m for m in sys.modules if m.split('.')[0] in FLOORS])"
    floors = "{'agents', 'interventions', 'probes', 'nets', 'replay', 'runs', 'torch', 'mujoco', 'dm_control'}"
    done = subprocess.run(
        [sys.executable, "-c", loaded.replace("FLOORS", floors)], capture_output=True, text=True, check=True
    )
    assert set(eval(done.stdout)) <= {"runs", "runs.units"}
