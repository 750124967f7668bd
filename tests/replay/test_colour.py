"""Stacks of coloured frames: each stored once, and sampled as they were acted upon."""

import numpy as np
import pytest

from agents.memory import memory
from envs.make import make_env
from envs.pixels import PixelSettings
from replay.excerpt import restore_excerpt


def walked(steps=60, num_envs=2, capacity=400):
    """(replay, {key: observation})."""
    env = make_env("toy:look", num_envs, PixelSettings())
    replay, seen, rng = memory(env.spec, capacity, num_envs), {}, np.random.default_rng(0)
    now = env.reset(1)
    seen |= {i: now.observation[i].copy() for i in range(num_envs)}
    for t in range(1, steps):
        action = rng.uniform(-1, 1, (num_envs, 1)).astype(np.float32)
        then = env.step(action)
        replay.add(now, action, then)
        seen |= {t * num_envs + i: then.observation[i].copy() for i in range(num_envs)}
        now = then
    return replay, seen


def test_a_row_holds_one_frame():
    replay, _ = walked()
    assert replay.ring.frame.shape[1:] == (3, 24, 24)
    assert replay.ring.row_bytes == 2 * (3 * 24 * 24 + 4 + 4 + 4 + 1 + 1)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("capacity", [400, 50])
def test_a_sample_is_what_was_acted_upon(n, capacity):
    replay, seen = walked(capacity=capacity)
    buffer = replay.buffer(64, n)
    batch = replay.sample(64, np.random.default_rng(2), n, 0.9, buffer)
    assert batch.obs.shape == batch.next_obs.shape == (64, 9, 24, 24)
    for key, obs, following, discount in zip(
        batch.index.tolist(), batch.obs.numpy(), batch.next_obs.numpy(), batch.discount.tolist(), strict=True
    ):
        assert (obs == seen[key]).all()
        if n == 1 or discount == pytest.approx(0.9**n):
            assert (following == seen[key + 2 * n]).all()


def test_the_future_is_what_was_seen_later():
    replay, seen = walked()
    batch = replay.peek(32, np.random.default_rng(3), 1, 0.9, k=2)
    assert batch.future.obs.shape == (32, 2, 9, 24, 24)
    for key, obs, mask in zip(batch.index.tolist(), batch.future.obs.numpy(), batch.future.mask.numpy(), strict=True):
        for k in (0, 1):
            if mask[k]:
                assert (obs[k] == seen[key + 2 * (k + 1)]).all()


def test_an_excerpt_gives_back_the_same_stacks():
    replay, _ = walked()
    arrays = replay.excerpt(32, np.random.default_rng(4), 3, 0.9)
    batch, restored = replay.peek(32, np.random.default_rng(4), 3, 0.9), restore_excerpt(arrays)
    assert arrays["frames"].shape[1:] == (3, 24, 24)
    assert (restored.obs == batch.obs).all() and (restored.next_obs == batch.next_obs).all()
