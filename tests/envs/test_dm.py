"""dm_env's own test suite over the view of each family."""

import unittest

import numpy as np
import pytest
from dm_env import StepType, test_utils

from envs.atari import AtariSettings
from envs.dm import as_dm_env
from envs.make import make_env


class Conforms(test_utils.EnvironmentTestMixin):
    name, steps, settings = "", 60, AtariSettings()

    def make_object_under_test(self):
        return as_dm_env(make_env(self.name, 1, self.settings), seed=0)

    def make_action_sequence(self):
        rng, spec = np.random.default_rng(0), self.environment.action_spec()
        for _ in range(self.steps):
            discrete = np.issubdtype(spec.dtype, np.integer)
            yield rng.integers(spec.num_values) if discrete else rng.uniform(spec.minimum, spec.maximum, spec.shape)


class TestPong(Conforms, unittest.TestCase):
    name, settings = "Pong", AtariSettings(max_frames=100)


class TestCartPole(Conforms, unittest.TestCase):
    name = "CartPole"


class TestPendulum(Conforms, unittest.TestCase):
    name, steps = "Pendulum", 210

    def make_action_sequence(self):
        yield from (action.astype(np.float32) for action in super().make_action_sequence())


class TestFrozenLake(Conforms, unittest.TestCase):
    name = "FrozenLake"


class TestChain(Conforms, unittest.TestCase):
    name = "toy:chain"


class TestCatch(Conforms, unittest.TestCase):
    name = "toy:catch"


class TestLives(Conforms, unittest.TestCase):
    name = "toy:lives"


class TestCounter(Conforms, unittest.TestCase):
    name = "toy:counter"


def test_the_view_keeps_the_observation_it_gave():
    env = as_dm_env(make_env("toy:chain"), seed=0)
    first = env.reset()
    for _ in range(3):
        env.step(1)
    assert first.observation.tolist() == [1, 0, 0, 0, 0]


def test_each_reset_begins_another_game_and_the_same_seed_the_same_games():
    env, twin = (as_dm_env(make_env("CartPole"), seed=0) for _ in range(2))
    a, b = env.reset(), env.reset()
    assert (a.observation != b.observation).any()
    assert (twin.reset().observation == a.observation).all()


def test_a_time_limit_and_a_true_end_are_told_apart():
    env = as_dm_env(make_env("toy:counter"), seed=0)
    ends = [step.discount for step in (env.step(0) for _ in range(21)) if step.step_type is StepType.LAST]
    assert ends == [0.0, 1.0]


def test_a_batch_of_games_is_refused():
    with pytest.raises(ValueError, match="toy:chain has 2"):
        as_dm_env(make_env("toy:chain", 2), seed=0)
