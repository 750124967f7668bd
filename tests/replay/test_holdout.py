"""Episodes that are stored and never learned from."""

import numpy as np
import pytest
import replay_oracle as ro

from replay.ring import FIRST, Ring, uniform
from replay.uniform import Uniform, draw


def filled(holdout=0.3, rows=400, num_envs=2, stack=4, capacity=600, calm=16):
    replay = Uniform(capacity, (3,), np.uint8, stack, num_envs=num_envs, holdout=holdout)
    for one in ro.games(ro.random_events(3, num_envs, rows, calm), num_envs, stack):
        replay.add(*one)
    return replay


def test_an_episode_is_held_out_as_a_whole():
    ring = filled().ring
    kind, held = (ring.rows(ring.start, ring.stop)[name] for name in ("step_type", "held"))
    goes_on = kind[1:] != FIRST
    assert (held[1:] == held[:-1])[goes_on].all()
    assert set(held[1:][~goes_on].tolist()) == {0, 1}


def test_neither_a_minibatch_nor_a_probe_sees_them():
    replay, rng = filled(), np.random.default_rng(0)
    ring = replay.ring
    for batch in (replay.sample(2_000, rng), replay.peek(2_000, rng, 3)):
        keys = batch.index.numpy()
        assert not ring.held[ring.slots(keys)].any()
        assert not ring.held[ring.slots(keys + ring.num_envs)].any()
    known, _ = replay.returns(500, rng, 1, 0.5)
    assert not ring.held[ring.slots(known.index.numpy())].any()
    held = replay.held(2_000, rng).index.numpy()
    assert ring.held[ring.slots(held)].all() and ring.starts(held).all()


def test_learned_from_and_held_out_are_all_there_is():
    replay, rng = filled(), np.random.default_rng(0)
    seen = {*replay.peek(20_000, rng).index.tolist()}
    unseen = {*replay.held(20_000, rng).index.tolist()}
    assert not seen & unseen
    assert seen | unseen == set(replay.ring.transitions().tolist())


def test_the_share_is_that_of_the_episodes():
    begins = np.arange(200_000) * 17
    assert (uniform(begins) < 0.05).mean() == pytest.approx(0.05, abs=0.002)
    for period in (1_001, 1_000, 1_024, 4):  # episodes of one length
        assert (uniform(np.arange(50_000) * period) < 0.05).mean() == pytest.approx(0.05, abs=0.004)


def test_without_it_rows_and_draws_are_as_they_were():
    plain, none = filled(0.0), ro.make(600, 4, 2)
    for one in ro.games(ro.random_events(3, 2, 400), 2, 4):
        none.add(*one)
    assert "held" not in plain.ring.rows(plain.ring.start, plain.ring.stop)
    assert plain.ring.row_bytes == none.ring.row_bytes == filled().ring.row_bytes - 2
    assert plain.held(4, np.random.default_rng(0)) is None
    a, b = (r.sample(500, np.random.default_rng(0)) for r in (plain, none))
    assert a.index.tolist() == b.index.tolist()


def test_which_they_are_depends_on_the_rows_alone_and_survives_a_resume():
    replay = filled(rows=300)
    ring, fresh = replay.ring, Ring(600, (3,), stack=4, num_envs=2, holdout=0.3)
    fresh.put_rows(ring.start, ring.rows(ring.start, ring.stop))
    fresh.load_state_dict(ring.state_dict())
    steps = list(ro.games(ro.random_events(3, 2, 400), 2, 4))
    for one in steps[299:]:
        replay.add(*one)
        fresh.add(*one)
    assert fresh.rows(fresh.start, fresh.stop)["held"].tolist() == ring.rows(ring.start, ring.stop)["held"].tolist()


def test_the_first_episodes_are_learned_from():
    replay = filled(holdout=0.999, rows=12, calm=1_000)
    assert replay.sample(32, np.random.default_rng(0)).index.min() >= 0
    assert replay.held(8, np.random.default_rng(0)) is None


def test_what_is_held_out_is_learned_from_while_there_is_nothing_else():
    replay = filled(holdout=0.999)
    ring = replay.ring
    while ring.trained(ring.transitions()).any():
        ring.start += 1
    assert len(ring.transitions())
    assert ring.held[ring.slots(draw(ring, 64, np.random.default_rng(0)))].all()
    ring.start = ring.stop - 1
    with pytest.raises(ValueError, match="no transition to sample"):
        draw(ring, 4, np.random.default_rng(0))
