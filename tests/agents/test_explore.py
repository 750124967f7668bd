"""Epsilon and epsilon-greedy, by hand (algorithms A.0.6)."""

import numpy as np
import pytest

from agents.explore import epsilon, explore

W, D = 20_000, 250_000


@pytest.mark.parametrize(
    ("step", "eps"),
    [(0, 1), (W, 1), (W + D // 4, 0.7525), (W + D // 2, 0.505), (W + D, 0.01), (W + D + 1, 0.01), (10**9, 0.01)],
)
def test_epsilon_is_one_until_the_warmup_ends_then_linear(step, eps):
    assert epsilon(step, W, D, 0.01) == pytest.approx(eps, abs=1e-12)


@pytest.mark.parametrize("step", [0, 19_999, 20_000, 20_001, 145_000, 269_999, 270_000, 270_001])
def test_epsilon_is_the_formula_of_the_book(step):
    book = 0.01 + np.clip((1 - 0.01) * (D + W - step) / D, 0, 1 - 0.01)
    assert epsilon(step, W, D, 0.01) == pytest.approx(book, abs=1e-12)


def test_epsilon_from_another_start():
    assert epsilon(15, 10, 10, 0.2, start=0.6) == pytest.approx(0.4)


def test_epsilon_without_a_decay_drops_at_the_warmup():
    assert [epsilon(step, 10, 0, 0.1) for step in (9, 10, 11)] == [1.0, 0.1, 0.1]


@pytest.mark.parametrize("num_envs", [1, 5])
def test_exploring_draws_the_same_numbers_whatever_epsilon_is(num_envs):
    states = []
    for eps in (0.0, 0.3, 1.0):
        rng = np.random.default_rng(0)
        explore(rng, 4, eps, num_envs)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


def test_the_action_explored_does_not_depend_on_epsilon():
    some, every = (explore(np.random.default_rng(0), 4, eps, 200) for eps in (0.5, 1.0))
    assert (some[some >= 0] == every[some >= 0]).all()


@pytest.mark.parametrize(("eps", "share"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25)])
def test_epsilon_is_the_share_of_random_actions(eps, share):
    random = explore(np.random.default_rng(0), 4, eps, 20_000) >= 0
    assert random.mean() == pytest.approx(share, abs=0.01)


def test_random_actions_are_uniform():
    counts = np.bincount(explore(np.random.default_rng(0), 4, 1.0, 20_000), minlength=4)
    assert counts.shape == (4,)
    assert counts / 20_000 == pytest.approx([0.25] * 4, abs=0.015)
