"""Priorities of a replay across a reset of the network: kept (Schwarzer et al. 2023), or made anew."""

import pytest
import torch

from replay.prioritized import priorities
from tests.interventions.small import IMAGES
from tests.laws.members import learn, same, taken, trained

PRIORITIES = ["--priority-exponent=0.5", "--reset-every=13:updates"]


def drawn(learner):
    """{key: priority} of all that may be drawn by priority."""
    replay = learner.replay
    slots = replay.tree.leaves.nonzero()[0]
    return dict(zip(replay.ring.keys(slots).tolist(), replay.tree.leaves[slots].tolist(), strict=True))


@torch.no_grad()
def deserved(learner):
    """The same, from the errors that the networks now have."""
    keys = learner.replay.ring.transitions()
    batch = learner.replay.gather(keys, *learner.window)
    td = next(loss.td for loss in learner.losses(batch, learner.generator(0)) if loss.td is not None)
    return dict(zip(keys.tolist(), priorities(td, 0.5).tolist(), strict=True))


def around_a_reset(name, env, *flags):
    """An agent behind its only reset, and what was drawn by which priority before it."""
    world, learner = taken(name, env, *PRIORITIES, *flags)
    learn(learner, world, 12)
    before, stream = drawn(learner), learner.loss_rng.get_state()
    learner.clock["updates"] = 13
    learner.chain.tick()
    assert torch.equal(learner.loss_rng.get_state(), stream)
    return learner, before


def test_priorities_are_kept():
    learner, before = around_a_reset("dqn", IMAGES)
    assert learner.clock["resets"] == 1
    assert drawn(learner) == before != deserved(learner)


@pytest.mark.parametrize(
    ("name", "env", "flags"),
    [
        ("dqn", IMAGES, []),
        ("dqn", IMAGES, ["--reset-groups=head", "--shrink-every=13:updates", "--shrink-groups=encoder"]),
        ("dqn", IMAGES, ["--distill-updates=3", "--augment-on"]),
        ("sac", "toy:reach", []),
    ],
)
def test_priorities_may_be_those_of_the_networks_that_all_which_fires_has_left(name, env, flags):
    learner, before = around_a_reset(name, env, "--reset-priorities=refresh", *flags)
    assert drawn(learner).keys() == before.keys()
    if name == "sac":  # the value of the next state has a draw of its own
        assert all(drawn(learner)[key] != before[key] for key in before)
        return
    assert drawn(learner) == pytest.approx(deserved(learner), rel=1e-4)


def test_of_a_replay_that_a_reset_thins_what_is_left_is_refreshed():
    learner, before = around_a_reset("dqn", IMAGES, "--reset-priorities=refresh", "--reset-inherit=0.5")
    assert 0 < len(drawn(learner)) < len(before)
    assert drawn(learner) == pytest.approx(deserved(learner), rel=1e-4)


def test_a_run_that_refreshes_priorities_resumes_exactly(tmp_path):
    flags = ["--priority-exponent=0.5", "--reset-every=50", "--reset-priorities=refresh"]
    straight, rows = trained("sac", tmp_path / "straight", "toy:reach", 110, *flags)
    trained("sac", tmp_path / "parts", "toy:reach", 71, *flags)
    parts, more = trained("sac", tmp_path / "parts", "toy:reach", 110, *flags)
    assert more == rows
    assert same(parts, straight)
