"""Replay by priority under an agent: what it learns from follows its errors, and a run with it resumes exactly."""

import numpy as np
import pytest

from tests.laws.members import learn, same, taken, trained

FLAGS = ("--priority-exponent=0.5",)


@pytest.mark.parametrize(("name", "env"), [("dqn", "toy:catch"), ("sac", "toy:reach")])
def test_a_run_with_priorities_resumes_exactly(name, env, tmp_path):
    straight, rows = trained(name, tmp_path / "straight", env, 120, *FLAGS)
    trained(name, tmp_path / "parts", env, 71, *FLAGS)
    parts, more = trained(name, tmp_path / "parts", env, 120, *FLAGS)
    assert more == rows
    assert same(parts, straight)


def test_weights_are_at_most_1_and_not_all_equal_once_errors_differ():
    world, agent = taken("dqn", "toy:catch", *FLAGS)
    learn(agent, world, 20)
    weight = np.concatenate([agent.sample().weight.numpy().copy() for _ in range(5)])
    assert weight.max() == 1
    assert weight.min() < 0.99


def test_what_a_probe_or_a_method_asks_for_stays_uniform():
    world, agent = taken("dqn", "toy:catch", *FLAGS)
    learn(agent, world, 20)
    assert (agent.replay.peek(64, np.random.default_rng(0)).weight == 1).all()
