"""Drawing by priority: what is drawn, how often, and with which weight."""

import numpy as np
import pytest
import replay_oracle as ro
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sumtree import chi_square

from replay.base import Replay
from replay.prioritized import Prioritized, priorities, weights
from replay.uniform import Uniform
from runs import pack


@settings(max_examples=60, deadline=None)
@given(
    data=st.one_of(st.binary(max_size=15), st.binary(min_size=40, max_size=120)),
    num_envs=st.integers(1, 3),
    calm=st.sampled_from([5, 16, 64]),
    stack=st.sampled_from([0, 1, 4]),
    capacity=st.integers(12, 50),
    clears=st.sets(st.integers(0, 60), max_size=2),
    seed=st.integers(0, 9),
)
def test_every_priority_equals_the_oracle(data, num_envs, calm, stack, capacity, clears, seed):
    rows = len(data) // num_envs
    events = np.frombuffer(data[: rows * num_envs], np.uint8).reshape(rows, num_envs) % calm
    ro.play_prioritized(events, stack, capacity, clears, seed)


def filled(rows=80, num_envs=2, stack=4, capacity=60, holdout=0.0, seed=3, **options):
    """Full and wrapped; nothing learned yet."""
    rows_of = Uniform(capacity, (3,), np.uint8, stack, num_envs=num_envs, holdout=holdout)
    replay = Prioritized(rows_of, **options)
    for one in ro.games(ro.random_events(seed, num_envs, rows), num_envs, stack):
        replay.add(*one)
    return replay


def learned(seed=0, **options):
    """As `filled`, with a loss of its own for every transition."""
    replay = filled(**options)
    keys = replay.ring.transitions()
    losses = np.random.default_rng(seed).exponential(size=len(keys)).astype(np.float32) + 0.01
    replay.reprioritize(torch.from_numpy(keys), torch.from_numpy(losses))
    return replay


def test_1e5_draws_come_in_proportion_to_the_priorities():
    replay, rng = learned(), np.random.default_rng(0)
    ring, keys = replay.ring, replay.ring.transitions()
    drawn, counts = np.unique(
        np.concatenate([replay.sample(500, rng).index.numpy() for _ in range(200)]), return_counts=True
    )
    assert drawn.tolist() == keys.tolist()
    x, bound = chi_square(counts, replay.tree.leaves[ring.slots(keys)] / replay.tree.total)
    assert x < bound


def test_a_new_row_has_priority_1_and_then_the_largest_seen():
    replay, steps = filled(rows=0, num_envs=1), list(ro.games(np.full((12, 1), 9), 1, 4))
    for one in steps[:5]:
        replay.add(*one)
    assert replay.tree.leaves[:6].tolist() == [1, 1, 1, 1, 1, 0]  # the newest row is the present
    replay.reprioritize(torch.tensor([0, 1]), torch.tensor([9.0, 4.0]))
    replay.reprioritize(torch.tensor([0, 1]), torch.tensor([0.25, 0.0]))
    replay.add(*steps[5])
    assert replay.tree.leaves[:7].tolist() == [0.5, np.float32(1e-5), 1, 1, 1, 3, 0]


def test_the_priority_is_the_root_of_the_loss_and_of_several_critics_the_largest():
    assert priorities(torch.tensor([3.0, -4.0, 0.0]), 0.5).tolist() == pytest.approx([3**0.5, 2.0, 1e-5])
    assert priorities(torch.tensor([[3.0, -4.0], [-9.0, 1.0]]), 0.5).tolist() == [3.0, 2.0]
    assert priorities(torch.tensor([3.0, -4.0]), 1.0).tolist() == [3.0, 4.0]
    assert priorities(torch.tensor([3.0, -4.0]), 0.0).tolist() == [1.0, 1.0]


def test_weights_by_hand():
    assert weights(np.array([0.1, 0.4, 0.025]), 0.5).tolist() == pytest.approx([0.5, 0.25, 1.0])
    assert weights(np.array([0.1, 0.4]), 1.0).tolist() == pytest.approx([1.0, 0.25])


def test_weights_of_equal_priorities_are_all_1():
    assert (filled().sample(32, np.random.default_rng(0)).weight == 1).all()


def test_weights_are_those_of_the_chances():
    replay = learned()
    batch = replay.sample(32, np.random.default_rng(0), out=replay.buffer(32))
    chance = replay.tree.leaves[replay.ring.slots(batch.index.numpy())] / replay.tree.leaves.sum(dtype=np.float64)
    np.testing.assert_allclose(batch.weight, chance**-0.5 / (chance**-0.5).max(), rtol=1e-5)
    assert batch.weight.max() == 1 and batch.weight.dtype == torch.float32


def test_the_exponent_of_the_weights_moves_while_rows_are_added():
    replay = filled(rows=0, weight=0.4, anneal=100)
    moved = []
    for one in ro.games(ro.random_events(3, 2, 80), 2, 4):
        replay.add(*one)
        moved.append(replay.weight_now)
    assert moved[0] == pytest.approx(0.4 + 0.6 * 0.02) and moved[24] == pytest.approx(0.7)  # 2 environments
    assert moved[49] == moved[-1] == 1.0
    assert filled().weight_now == 0.5


def test_an_exponent_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"exponent of priorities is 1\.5; it must be from 0"):
        filled(rows=0, exponent=1.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_priority_that_is_not_finite_stops_the_run_and_changes_nothing(bad):
    replay = learned()
    keys, before = replay.ring.transitions()[:3], replay.tree.leaves.copy()
    where = f"row {keys[1] // 2} of environment {keys[1] % 2}"
    with pytest.raises(FloatingPointError, match=f"the priority of {where} is not finite"):
        replay.reprioritize(torch.from_numpy(keys), torch.tensor([5.0, bad, 5.0]))
    assert np.array_equal(replay.tree.leaves, before)


def test_a_row_overwritten_since_it_was_drawn_keeps_no_priority():
    replay = filled(rows=60)
    keys = replay.ring.transitions()[:20]
    for one in list(ro.games(ro.random_events(3, 2, 90), 2, 4))[59:]:
        replay.add(*one)
    before = replay.tree.leaves.copy()
    replay.reprioritize(torch.from_numpy(keys), torch.full((20,), 1e6))
    assert np.array_equal(replay.tree.leaves, before) and replay.largest == 1.0


def test_what_is_held_out_is_not_drawn_even_if_it_has_a_loss():
    replay = filled(rows=400, capacity=600, holdout=0.3)
    ring, rng = replay.ring, np.random.default_rng(0)
    held = replay.held(50, rng).index
    replay.reprioritize(held, torch.full((50,), 1e6))
    drawn = {*replay.sample(20_000, rng).index.tolist()}
    every = ring.transitions()
    assert drawn == set(every[ring.trained(every)].tolist())


def test_what_is_held_out_is_drawn_while_there_is_nothing_else():
    replay = filled(rows=400, capacity=600, holdout=0.999)
    while replay.ring.trained(replay.ring.transitions()).any():
        replay.thin(0.9)
    batch = replay.sample(16, np.random.default_rng(0))
    assert replay.ring.held[replay.ring.slots(batch.index.numpy())].all() and (batch.weight == 1).all()


@pytest.mark.parametrize("replay", [filled(rows=0), filled(rows=1), learned()])
def test_sampling_an_empty_replay_is_an_error(replay):
    replay.thin()
    assert replay.tree.total == 0
    with pytest.raises(ValueError, match="no transition to sample among 0 rows"):
        replay.sample(4, np.random.default_rng(0))


def test_thinning_keeps_the_priorities_of_what_stays():
    replay = learned()
    before = dict(zip(replay.ring.keys(np.arange(replay.ring.size)), replay.tree.leaves, strict=True))
    replay.thin(0.5)
    keys = replay.ring.transitions()
    assert 0 < len(keys) < len(before) and keys.min() >= replay.ring.start * 2
    assert replay.tree.leaves[replay.ring.slots(keys)].tolist() == [before[key] for key in keys]
    assert (replay.tree.leaves > 0).sum() == len(keys)


def test_all_but_sampling_is_that_of_uniform_replay():
    replay, plain = learned(), Uniform(60, (3,), np.uint8, 4, num_envs=2)
    for one in ro.games(ro.random_events(3, 2, 80), 2, 4):
        plain.add(*one)
    pairs = [
        [r.peek(32, np.random.default_rng(1), 3, k=2) for r in (replay, plain)],
        [r.returns(32, np.random.default_rng(1), 3, 0.5)[0] for r in (replay, plain)],
        [r.gather(plain.ring.transitions(), 3) for r in (replay, plain)],
    ]
    assert all(torch.equal(a, b) for pair in pairs for a, b in zip(pair[0][:7], pair[1][:7], strict=True))
    excerpts = [r.excerpt(32, np.random.default_rng(1)) for r in (replay, plain)]
    assert all(np.array_equal(excerpts[0][name], excerpts[1][name]) for name in excerpts[0])
    assert len(replay) == len(plain) and replay.logs() == {"replay": replay.ring}


def test_everything_is_each_transition_that_is_learned_from_once_and_in_order(monkeypatch):
    monkeypatch.setattr("replay.prioritized.CHUNK", 16)
    replay = filled(rows=400, capacity=300, holdout=0.3)
    keys = replay.ring.transitions()
    keys = keys[replay.ring.trained(keys)]
    batches = list(replay.everything(3, 0.9))
    assert torch.cat([batch.index for batch in batches]).tolist() == keys.tolist()
    assert {len(batch.index) for batch in batches[:-1]} == {16}
    for batch in batches:
        wanted = replay.gather(batch.index.numpy(), 3, 0.9)
        assert all(torch.equal(a, b) for a, b in zip(batch[:7], wanted[:7], strict=True))


def test_a_sample_is_what_gather_returns_but_for_its_weights():
    replay = learned()
    batch = replay.sample(16, np.random.default_rng(0), 3, 0.9, k=4)
    wanted = replay.gather(batch.index.numpy(), 3, 0.9, k=4)
    same = zip((*batch[:5], *batch.future), (*wanted[:5], *wanted.future), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def resumed(old):
    """The replay that a checkpoint of it makes, restored in the order of a run: state first, rows then."""
    new = filled(rows=0)
    new.load_state_dict(pack.decode(*pack.encode(old.state_dict())))
    new.ring.put_rows(old.ring.start, old.ring.rows(old.ring.start, old.ring.stop))
    return new


@pytest.mark.parametrize("rows", [1, 20, 80])
def test_a_resumed_replay_continues_bit_for_bit(rows):
    old = learned(rows=rows) if rows > 1 else filled(rows=rows)
    new, pair = resumed(old), [np.random.default_rng(1), np.random.default_rng(1)]
    for one in list(ro.games(ro.random_events(3, 2, 120), 2, 4))[max(rows - 1, 0) :]:
        for replay, rng in zip((old, new), pair, strict=True):
            replay.add(*one)
            if replay.tree.total:
                batch = replay.sample(8, rng, 3)
                replay.reprioritize(batch.index, batch.reward)
        assert all(np.array_equal(a, b) for a, b in zip(old.tree.levels, new.tree.levels, strict=True))
    assert pack.digest(old.state_dict()) == pack.digest(new.state_dict())
    assert pair[0].bit_generator.state == pair[1].bit_generator.state


def test_a_checkpoint_holds_4_bytes_for_each_row_that_was_written():
    state = filled(rows=11).state_dict()
    assert (state["priorities"].dtype, state["priorities"].nbytes) == (np.float32, 4 * 2 * 11)
    assert filled(rows=80).state_dict()["priorities"].nbytes == 4 * filled().ring.size


def test_a_checkpoint_of_a_larger_replay_is_refused():
    small, state = filled(rows=0), {"start": 0, "stop": 1, "priorities": np.ones(82, np.float32), "largest": 1.0}
    with pytest.raises(ValueError, match="82 priorities do not fit; this replay has 62 slots"):
        small.load_state_dict(state)


def test_it_is_a_replay():
    replay: Replay = filled()
    assert replay.sample(4, np.random.default_rng(0)).obs.shape == (4, 4, 3)
