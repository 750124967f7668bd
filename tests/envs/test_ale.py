"""Atari on the real emulator: the preprocessing against gymnasium's own, lost lives, silence, seeds."""

from dataclasses import replace

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from dm_env import StepType

from envs.ale import Console
from envs.atari import AtariSettings
from envs.make import make_env

PLAIN = AtariSettings(sticky=0.0)


def step(env, action=0):
    return env.step(np.array([action]))


def test_pong_looks_as_in_gymnasium():
    gym.register_envs(ale_py)
    theirs = gym.make("ALE/Pong-v5", frameskip=1, repeat_action_probability=0.0)
    theirs = gym.wrappers.AtariPreprocessing(theirs, noop_max=0)
    env = make_env("Pong", 1, PLAIN)
    assert (theirs.reset()[0] == env.reset(0).observation[0, -1]).all()
    for action in np.random.default_rng(0).integers(6, size=100):
        obs, reward, *_ = theirs.step(action)
        then = step(env, action)
        assert (obs == then.observation[0, -1]).all()
        assert reward == then.reward[0]


def test_breakout_goes_on_with_the_same_screen_after_a_lost_life():
    env = make_env("Breakout", 1, replace(PLAIN, life_loss=True))
    rng, now = np.random.default_rng(0), env.reset(0)
    while now.step_type[0] != StepType.LAST:
        now = step(env, rng.integers(4))
    before = env.state_dict()["games"]["0"]
    first = step(env)
    after = env.state_dict()["games"]["0"]
    assert now.discount[0] == 0
    assert (first.observation[0, -1] == now.observation[0, -1]).all()
    assert not first.observation[0, :-1].any()
    assert after["emulator"] == before["emulator"]
    assert (before["lives"], env.finished()) == (4, [])


def test_a_console_is_silent(capfd):
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Info)
    Console("pong").reset()
    assert capfd.readouterr() == ("", "")


def test_a_console_repeats_no_action_by_itself():
    assert Console("pong")._ale.getFloat("repeat_action_probability") == 0


def test_a_seed_reaches_ale_and_its_saved_state():
    console, states = Console("pong"), []
    for seed in (5, 5, 6):
        console.seed(2**31 + seed)
        states.append(console.state())
    assert console._ale.getInt("random_seed") == 6
    assert states[0] == states[1] != states[2]


def test_a_switch_that_a_console_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(ValueError, match=r"^breakout has no mode 3; it has 0, 4, 8, "):
        Console("breakout", mode=3)
    with pytest.raises(ValueError, match=r"^breakout has no difficulty 2; it has 0, 1$"):
        Console("breakout", difficulty=2)


def test_a_seed_keeps_mode_and_difficulty():
    console = Console("breakout", mode=4, difficulty=1)
    console.seed(3)
    now = console._ale.cloneState()
    assert (now.getCurrentMode(), now.getDifficulty()) == (4, 1)


def test_a_console_has_the_actions_of_its_game_or_all_18():
    assert Console("breakout").actions == [0, 1, 3, 4]
    assert Console("breakout", full=True).actions == list(range(18))


def test_the_ball_of_breakout_can_be_steered_in_mode_4():
    def screens(**switches):
        console, shown = Console("breakout", **switches), np.zeros((80, 210, 160), np.uint8)
        for screen in shown:
            ram = console._ale.getRAM()
            chase = 3 if ram[99] > ram[72] + 4 else 4  # the ball's column and the paddle's
            console.act(chase if ram[101] else 1)
            console.screen(screen)
        return shown

    plain, steered = screens(), screens(mode=4)
    assert (plain == screens(mode=0)).all()
    assert (plain[:60] == steered[:60]).all()
    assert (plain[-1] != steered[-1]).any()  # the paddle has met the ball
