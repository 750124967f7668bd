"""Returns of states in the replay, by hand and by definition."""

import numpy as np
import pytest
import replay_oracle as ro

from replay import outcome
from replay.outcome import REST, backwards, outcomes
from replay.ring import LAST


def column(*numbers):
    return np.array(numbers, float)[:, None]


def test_returns_of_an_episode_by_hand():
    known, rest = backwards(column(1, 2, 3), column(0.5, 0.5, 0), column(0, 0, 1) == 1)
    assert known[:, 0].tolist() == [1 + 0.5 * (2 + 0.5 * 3), 3.5, 3]
    assert rest[:, 0].tolist() == [0, 0, 0]


def test_what_a_time_limit_cuts_off_weighs_gamma_to_the_steps_before_it():
    known, rest = backwards(column(1, 1, 1), column(0.5, 0.5, 0.5), column(0, 0, 1) == 1)
    assert known[:, 0].tolist() == [1.75, 1.5, 1]
    assert rest[:, 0].tolist() == [0.125, 0.25, 0.5]


def test_the_newest_row_cuts_off_as_a_time_limit_does():
    for a, b in zip(
        backwards(column(1, 1), column(0.5, 0.5), column(0, 0) == 1),
        backwards(column(1, 1), column(0.5, 0.5), column(0, 1) == 1),
        strict=True,
    ):
        assert a.tolist() == b.tolist()


def test_an_episode_does_not_see_the_next_one():
    known, _ = backwards(column(1, 7, 99, 5), column(0.5, 0, 0.5, 0.5), column(0, 1, 0, 0) == 1)
    assert known[:2, 0].tolist() == [4.5, 7]


def definition(steps, t, gamma):
    """(return, weight of what is missing) of one environment's list of steps (replay_oracle.Oracle)."""
    g, weight = 0.0, 1.0
    for step in steps[t:]:
        g, weight = g + weight * step["r"], weight * gamma
        if step["term"] or step["trunc"]:
            return g, 0.0 if step["term"] else weight
    return g, weight


@pytest.mark.parametrize(("envs", "stack", "capacity"), [(1, 0, 1000), (2, 4, 1000), (3, 4, 90)])
def test_they_are_those_of_the_definition(envs, stack, capacity):
    gamma = 0.5
    replay, truth = ro.make(capacity, stack, envs), ro.Oracle(capacity, stack, envs)
    for one in ro.games(ro.random_events(0, envs, 120), envs, stack):
        replay.add(*one)
        truth.add(*one)
    wanted = {key: definition(truth.steps[key % envs], key // envs, gamma) for key in truth.transitions(1, gamma)}
    wanted = {key: g for key, (g, weight) in wanted.items() if weight <= REST}
    keys, g = outcomes(replay.ring, gamma)
    assert keys.tolist() == list(wanted)
    assert 20 < len(keys) < len(truth.transitions(1, gamma))
    np.testing.assert_allclose(g, list(wanted.values()), rtol=1e-5, atol=1e-5)


def test_a_batch_holds_the_states_and_what_came_of_them():
    replay = ro.make(200, 4, 2)
    for one in ro.games(ro.random_events(0, 2, 90), 2, 4):
        replay.add(*one)
    batch, g = replay.returns(64, np.random.default_rng(0), 3, 0.5)
    known = dict(zip(*(x.tolist() for x in outcomes(replay.ring, 0.5)), strict=True))
    assert [known[key] for key in batch.index.tolist()] == g.tolist()
    np.testing.assert_array_equal(batch.obs, replay.gather(batch.index.numpy()).obs)
    assert len(set(batch.index.tolist())) > 20


def test_nothing_is_known_of_an_episode_that_has_just_begun():
    replay = ro.make(200, 0, 1)
    for one in ro.games(np.full((9, 1), 9), 1, 0):
        replay.add(*one)
    assert replay.returns(4, np.random.default_rng(0), 1, 0.99) is None
    assert replay.returns(4, np.random.default_rng(0), 1, 0.1) is not None  # .1^2 is below .05


def test_only_the_newest_rows_are_looked_at(monkeypatch):
    replay = ro.make(1000, 0, 2)
    for one in ro.games(ro.random_events(0, 2, 200), 2, 0):
        replay.add(*one)
    monkeypatch.setattr(outcome, "ROWS", 60)
    keys, _ = outcomes(replay.ring, 0.5)
    assert keys.min() >= replay.ring.present - 60
    assert (replay.ring.step_type[replay.ring.slots(keys)] != LAST).all()
