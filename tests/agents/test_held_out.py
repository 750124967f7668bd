"""--holdout: a run with episodes held out."""

import pytest

from agents.config import RLConfig
from tests.laws.members import learn, same, taken, trained


@pytest.mark.parametrize(("name", "env"), [("dqn", "toy:catch"), ("sac", "toy:reach")])
def test_a_run_goes_on_with_the_same_episodes_held_out(name, env, tmp_path):
    flags = ("--holdout=0.3", "--deep-every=60", "--deep-probes=generalisation,overestimation,drift,entk")
    whole, rows = trained(name, tmp_path / "whole", env, 120, *flags)
    trained(name, tmp_path / "parts", env, 50, *flags)
    parts, resumed = trained(name, tmp_path / "parts", env, 120, *flags)
    assert same(whole, parts)
    assert rows == resumed
    assert any("probe/generalisation/td" in row for row in rows)
    assert 0 < whole["log replay"]["held"].mean() < 1


def test_no_minibatch_of_a_run_holds_them():
    world, learner = taken("dqn", "toy:catch", "--holdout=0.3")
    seen, ring, sample = set(), learner.replay.ring, learner.replay.sample

    def noted(*args, **kwargs):
        batch = sample(*args, **kwargs)
        seen.update((int(key), int(ring.held[key % ring.size])) for key in batch.index)
        return batch

    learner.replay.sample = noted
    learn(learner, world, 40)
    assert len(seen) > 50 and not any(held for _, held in seen)
    assert ring.held.any()


def test_a_share_that_is_none_is_refused():
    assert RLConfig(holdout=1.0).problems() == ["holdout is 1.0, but must be from 0 to below 1"]
    assert RLConfig(holdout=0.05).problems() == []


def test_a_stream_of_labels_has_no_such_flag():
    with pytest.raises(Exception, match="holdout"):
        taken("classifier", "labels:generated", "--holdout=0.1")
