"""Atari on the real emulator: the preprocessing against gymnasium's own, lost lives, silence, seeds."""

from dataclasses import replace

import ale_py
import gymnasium as gym
import numpy as np
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
