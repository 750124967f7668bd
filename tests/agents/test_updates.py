"""When DQN updates and when its slow network follows (algorithms A.1, tests 1 and 2)."""

from fractions import Fraction
from itertools import pairwise
from math import floor

import pytest
import torch

from runs.units import period
from tests.agents.tiny import agent, along, walked


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def syncs(**options):
    """Clock, and where the slow network moved: [(steps, updates)]; it moves nowhere else, and then onto the online."""
    world, learner = agent(**options)
    part, found = learner.parts["q"], []
    before = flat(part.target)
    for _ in along(world, learner, 80):
        after = flat(part.target)
        if not torch.equal(after, before):
            assert torch.equal(after, flat(part.net))
            found.append((learner.clock["steps"], learner.clock["updates"]))
        before = after
    return learner.clock, found


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 0.1, 0.29, 3.0])
def test_updates_are_the_floor_of_the_ratio_at_every_step(ratio, num_envs):
    world, learner = agent(num_envs=num_envs, learn={"replay_ratio": ratio})
    for _ in along(world, learner, 130):
        steps = learner.clock["steps"]
        assert learner.clock["updates"] == floor(Fraction(str(ratio)) * max(0, steps - 20)), steps


def test_a_ratio_is_counted_in_decimal():
    learner = agent(learn={"replay_ratio": 0.29})[1]
    learner.clock["steps"] = 120
    assert 0.29 * 100 < 29  # in floating point
    assert learner.owed() == 29


@pytest.mark.parametrize(("ratio", "num_envs", "most"), [(0.25, 1, 1), (1.0, 1, 1), (1.0, 3, 3), (3.0, 1, 3)])
def test_the_warmup_is_not_caught_up_on(ratio, num_envs, most):
    world, learner = agent(num_envs=num_envs, learn={"replay_ratio": ratio})
    counts = [learner.clock["updates"] for _ in along(world, learner, 60)]
    assert max(b - a for a, b in pairwise(counts)) == most


def test_no_update_is_owed_at_the_warmup_nor_before():
    learner = agent(learn={"replay_ratio": 1.0})[1]
    owed = []
    for steps in (0, 19, 20, 21):
        learner.clock["steps"] = steps
        owed.append(learner.owed())
    assert owed == [0, 0, 0, 1]


def test_resets_owe_no_update():
    world, learner = agent(learn={"replay_ratio": 1.0})
    before = learner.clock["updates"]
    for now in along(world, learner, 80):
        if now.step_type[0] == 0:
            assert learner.clock["updates"] == before
        before = learner.clock["updates"]


def test_without_a_ratio_nothing_is_learned():
    assert walked(*agent(learn={"replay_ratio": 0.0}), 60).clock["updates"] == 0


def test_the_slow_network_is_the_online_one_at_each_period_and_constant_between():
    clock, found = syncs(learn={"replay_ratio": 1.0, "target_every": period("7")})
    assert [steps for steps, _ in found] == [28, 35, 42, 49, 56, 63, 70, 77]  # not at 21, due since the warm-up
    assert clock["targets"] == 8


def test_a_period_in_steps_waits_for_the_next_update():
    _, found = syncs(learn={"replay_ratio": 0.25, "target_every": period("7")})
    assert [steps for steps, _ in found] == [28, 36, 44, 52, 56, 64, 72, 80]  # updates at 24, 28, 32, ...


def test_a_period_in_updates_counts_updates():
    clock, found = syncs(learn={"replay_ratio": 0.25, "target_every": period("5:updates")})
    assert [updates for _, updates in found] == [5, 10, 15]
    assert clock["targets"] == 3


def test_a_period_that_came_round_three_times_between_two_updates_syncs_once():
    _, found = syncs(learn={"replay_ratio": 0.25, "target_every": period("25,26,27,70")})
    assert [steps for steps, _ in found] == [28, 72]


def test_a_period_skipped_by_many_environments_still_fires_once():
    clock, found = syncs(num_envs=5, learn={"replay_ratio": 0.2, "target_every": period("3")})
    steps = [s for s, _ in found]
    assert len(steps) == len(set(steps)) == clock["targets"]


def test_a_period_of_never_leaves_the_slow_network_as_born():
    clock, found = syncs(learn={"replay_ratio": 1.0, "target_every": period("never")})
    assert (clock["targets"], found) == (0, [])


def test_the_moving_average_by_hand():
    world, learner = agent(learn={"replay_ratio": 1.0, "target_every": period("1:updates"), "target_tau": 0.25})
    part = learner.parts["q"]
    slow, updates = flat(part.target), 0
    for _ in along(world, learner, 40):
        if learner.clock["updates"] > updates:
            slow, updates = 0.75 * slow + 0.25 * flat(part.net), updates + 1
        torch.testing.assert_close(flat(part.target), slow, rtol=1e-6, atol=1e-7)
    assert updates == 20
    assert not torch.equal(flat(part.target), flat(part.net))


def test_a_moving_average_is_no_target_copy():
    options = {"replay_ratio": 1.0, "target_every": period("1:updates"), "target_tau": 0.25}
    assert walked(*agent(learn=options), 40).clock["targets"] == 0
