import json
import time
from pathlib import Path

import dm_env
import numpy as np
import pytest
import replay_oracle as ro

from replay.ring import Ring


def step(kind, obs=0.0, reward=0.0):
    """One environment's TimeStep with a one-number observation."""
    return dm_env.TimeStep(np.array([kind]), np.array([reward]), np.ones(1), np.array([[obs]], np.float32))


def filled(rows=80, num_envs=2, stack=4, capacity=60, seed=3):
    return ro.play(ro.random_events(seed, num_envs, rows), stack, capacity, n=3, gamma=0.9)


def test_an_atari_row_takes_7070_bytes():
    assert Ring(100, (84, 84), stack=4).row_bytes == 84 * 84 + 4 + 4 + 4 + 1 + 1
    assert Ring(100, (84, 84), stack=4, num_envs=8).row_bytes == 8 * 7070


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of resident pages")
def test_memory_is_touched_only_as_it_fills():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before, clock = resident(), time.process_time()
    ring = Ring(1_000_000, (84, 84))
    assert time.process_time() - clock < 0.5
    assert resident() - before < 20e6
    obs = np.ones((1, 84, 84), np.uint8)
    now, then = (dm_env.TimeStep(np.array([kind]), np.zeros(1), np.ones(1), obs) for kind in (0, 1))
    for _ in range(2_000):
        ring.add(now, np.zeros(1, np.int64), then)
        now = then
    assert 14e6 < resident() - before < 40e6


def test_capacity_rows_have_a_successor_however_long_it_runs():
    ring = filled(rows=200, num_envs=3, capacity=60).ring
    assert (ring.start, ring.stop) == (200 - 21, 200)
    assert ring.present - ring.start * 3 == 60


def test_the_first_row_may_lie_in_the_middle_of_an_episode():
    replay = ro.make(20, 4, 1)
    steps = list(ro.games(np.full((12, 1), 9), 1, 4))[5:]
    for one in steps:
        replay.add(*one)
    assert replay.ring.transitions().tolist() == [3, 4, 5]
    np.testing.assert_array_equal(replay.gather(np.array([3])).obs[0], steps[3][0].observation[0])


def test_nothing_led_to_the_first_row():
    ring = Ring(10, (1,), np.float32)
    ring.add(step(0)._replace(reward=None, discount=None), np.array([3]), step(1, reward=2.0))
    rows = ring.rows(0, 2)
    assert (rows["action"].tolist(), rows["reward"].tolist()) == ([[0], [3]], [[0.0], [2.0]])


def test_the_newest_plane_alone_is_stored():
    replay = ro.make(20, 4, 1)
    for one in ro.games(np.full((6, 1), 9), 1, 4):
        replay.add(*one)
    assert replay.ring.rows(0, 6)["frame"][:, 0, 1].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", ["reward", "observation", "action"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_leaves_the_ring_as_it_was(kind, value):
    ring = Ring(10, (1,), np.float32, action=(1,), action_dtype=np.float32)
    ring.add(step(0), np.zeros((1, 1)), step(1))
    bad = {"reward": step(1, reward=value), "observation": step(1, obs=value), "action": step(1)}[kind]
    with pytest.raises(FloatingPointError, match=f"non-finite {kind} .* row 2"):
        ring.add(step(1), np.full((1, 1), value if kind == "action" else 0.0), bad)
    assert ring.stop == 2


@pytest.mark.parametrize("present, then", [(1, 0), (2, 1), (2, 2), (0, 0)])
def test_first_follows_last_and_nothing_else(present, then):
    ring = Ring(10, (1,), np.float32)
    ring.add(step(0), np.zeros(1), step(1))
    ring.add(step(1), np.zeros(1), step(present if present else 2))
    if not present:
        ring.add(step(2), np.zeros(1), step(0))
    with pytest.raises(ValueError, match="FIRST must follow LAST"):
        ring.add(step(present), np.zeros(1), step(then))


def test_a_stream_that_jumps_is_refused():
    ring = Ring(10, (1,), np.float32)
    ring.add(step(0), np.zeros(1), step(1))
    with pytest.raises(ValueError, match=r"now is \[0\], but the last row added was \[1\]"):
        ring.add(step(0), np.zeros(1), step(1))


def test_a_float_observation_does_not_slip_into_a_byte_ring():
    with pytest.raises(TypeError, match="same_kind"):
        Ring(10, (1,), np.uint8).add(step(0), np.zeros(1), step(1))


def test_a_capacity_below_one_stack_is_refused():
    with pytest.raises(ValueError, match="capacity 7 cannot hold a stack of 4 for 2 environments"):
        Ring(7, (1,), stack=4, num_envs=2)


def test_rows_never_change_once_written():
    replay, log = ro.make(60, 4, 2), []
    for t, one in enumerate(ro.games(ro.random_events(4, 2, 90), 2, 4)):
        replay.add(*one)
        log.append(replay.ring.rows(t + 1, t + 2))
    kept = replay.ring.rows(replay.ring.start, replay.ring.stop)
    for name, column in kept.items():
        written = np.concatenate([row[name] for row in log[replay.ring.start - 1 :]])
        np.testing.assert_array_equal(column, written)


def test_rows_that_are_gone_are_not_handed_out():
    ring = filled(rows=80).ring
    for lo, hi in [(ring.start - 1, ring.stop), (ring.start, ring.stop + 1)]:
        with pytest.raises(ValueError, match="not all here"):
            ring.rows(lo, hi)


@pytest.mark.parametrize("rows, clears", [(1, ()), (20, ()), (90, ()), (90, (70,))])
def test_a_ring_put_back_row_by_row_continues_exactly(rows, clears):
    steps = list(ro.games(ro.random_events(7, 2, rows + 40), 2, 4))
    old, new = ro.make(60, 4, 2), ro.make(60, 4, 2)
    for t, one in enumerate(steps[:rows]):
        old.add(*one)
        if t in clears:
            old.thin()
    for lo in range(old.ring.start, old.ring.stop, 7):
        new.ring.put_rows(lo, old.ring.rows(lo, min(lo + 7, old.ring.stop)))
    new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    draws = [np.random.default_rng(1), np.random.default_rng(1)]
    for one in [None, *steps[rows:]]:
        for replay in (old, new):
            if one:
                replay.add(*one)
        assert_same(old, new, draws)


def assert_same(old, new, draws):
    start, stop = old.ring.start, old.ring.stop
    assert old.state_dict() == new.state_dict() and len(old) == len(new)
    for name, column in old.ring.rows(start, stop).items():
        np.testing.assert_array_equal(column, new.ring.rows(start, stop)[name])
    if len(old.ring.transitions()):
        pair = [replay.sample(5, rng, n=3) for replay, rng in zip((old, new), draws, strict=True)]
        for a, b in zip(pair[0][:7], pair[1][:7], strict=True):
            np.testing.assert_array_equal(a, b)


def test_rows_of_another_shape_or_type_are_refused():
    ring = filled().ring
    rows = ring.rows(ring.start, ring.stop)
    with pytest.raises(ValueError, match="reward is float64"):
        ring.put_rows(0, rows | {"reward": rows["reward"].astype(np.float64)})
    with pytest.raises(ValueError, match="frame is uint8"):
        ring.put_rows(0, rows | {"frame": rows["frame"][:, :1]})
    with pytest.raises(ValueError, match="takes up to 21 rows"):
        ro.make(40, 4, 2).ring.put_rows(0, rows)


def test_counters_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"rows 0\.\.9 do not fit; this ring holds 8 rows"):
        Ring(7, (1,)).load_state_dict({"start": 0, "stop": 9})
