from itertools import pairwise

import numpy as np
import pytest
import replay_oracle as ro
import torch

from replay.uniform import Uniform


def counter(terminal=True):
    """o = t, a = 10 + t, 5 steps to the end, then a reset (action 99) and 3 steps from o = 20 to the newest row."""
    replay = Uniform(100, (1,), np.float32)
    kinds, frames = [0, 1, 1, 1, 1, 2, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5, 20, 21, 22, 23]
    rows = [
        ro.dm_env.TimeStep(
            np.array([kind]), np.zeros(1), np.array([float(kind != 2 or not terminal)]), np.full((1, 1), o)
        )
        for kind, o in zip(kinds, frames, strict=True)
    ]
    for t, (now, then) in enumerate(pairwise(rows)):
        replay.add(now, np.array([99 if t == 5 else 10 + t]), then)
    return replay


def seen(replay, key, k=3):
    future = replay.gather(np.array([key]), k=k).future
    return future.obs[0, :, 0].tolist(), future.action[0].tolist(), future.mask[0].tolist()


def test_what_follows_inside_an_episode():
    assert seen(counter(), 1) == ([2, 3, 4], [11, 12, 13], [1, 1, 1])


@pytest.mark.parametrize("terminal", [True, False])
def test_the_mask_is_0_from_the_step_that_ends_the_episode(terminal):
    replay = counter(terminal)
    assert seen(replay, 2) == ([3, 4, 5], [12, 13, 14], [1, 1, 0])
    assert seen(replay, 3) == ([4, 5, 5], [13, 14, 14], [1, 0, 0])
    assert seen(replay, 4) == ([5, 5, 5], [14, 14, 14], [0, 0, 0])


def test_the_mask_is_0_behind_the_newest_row():
    assert seen(counter(), 7) == ([22, 23, 23], [17, 18, 18], [1, 1, 0])
    assert seen(counter(), 8) == ([23, 23, 23], [18, 18, 18], [1, 0, 0])


def filled(rows=80, num_envs=2, stack=4, capacity=60, seed=3):
    return ro.play(ro.random_events(seed, num_envs, rows), stack, capacity, n=3, gamma=0.9)


def test_no_future_unless_asked_for():
    replay, rng = filled(), np.random.default_rng(0)
    assert replay.sample(4, rng).future is None and replay.peek(4, rng).future is None
    assert replay.peek(4, rng, k=2).future.obs.shape == (4, 2, 4, 3)


def test_a_future_moves_no_draw():
    replay = filled()
    plain, more = (replay.sample(16, np.random.default_rng(1), 3, k=k) for k in (0, 5))
    assert all(torch.equal(a, b) for a, b in zip(plain[:7], more[:7], strict=True))


@pytest.mark.parametrize("n", [1, 3])
def test_a_reused_buffer_receives_what_a_new_one_would(n):
    replay = filled()
    out = replay.buffer(16, n, k=5)
    for seed in range(2):
        fresh = replay.sample(16, np.random.default_rng(seed), n, k=5)
        reused = replay.sample(16, np.random.default_rng(seed), n, out=out, k=5)
        assert reused is out
        pairs = zip((*fresh[:7], *fresh.future), (*out[:7], *out.future), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("room, k", [(0, 5), (5, 0), (5, 3)])
def test_a_buffer_is_for_one_k(room, k):
    replay = filled()
    with pytest.raises(ValueError, match=f"this buffer is for k = {room}, not {k}"):
        replay.sample(4, np.random.default_rng(0), out=replay.buffer(4, k=room), k=k)


def test_types_are_those_of_a_future():
    future = filled().sample(6, np.random.default_rng(0), k=5).future
    assert (future.obs.dtype, future.obs.shape) == (torch.uint8, (6, 5, 4, 3))
    assert (future.action.dtype, future.action.shape) == (torch.int64, (6, 5))
    assert (future.mask.dtype, future.mask.shape) == (torch.float32, (6, 5))


def test_continuous_actions_come_back_as_float32():
    replay = Uniform(10, (2,), np.float32, action=(3,), action_dtype=np.float32)
    rows = [ro.dm_env.TimeStep(np.array([k > 0]), np.ones(1), np.ones(1), np.full((1, 2), k / 3)) for k in range(3)]
    replay.add(rows[0], np.array([[0.1, 0.2, 0.3]]), rows[1])
    replay.add(rows[1], np.array([[0.4, 0.5, 0.6]]), rows[2])
    future = replay.gather(np.array([0]), k=2).future
    assert torch.equal(future.action[0], torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
