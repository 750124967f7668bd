import numpy as np
import pytest
import replay_oracle as ro
import torch

from replay.excerpt import restore_excerpt


@pytest.mark.parametrize("stack", [0, 1, 4])
@pytest.mark.parametrize("n", [1, 3])
def test_an_excerpt_restores_the_sample_it_was_cut_from(stack, n):
    replay = ro.play(ro.random_events(1, 2, 50), stack, capacity=60, n=1, gamma=0.9)
    arrays = replay.excerpt(40, np.random.default_rng(0), n, 0.9)
    batch, wanted = restore_excerpt(arrays), replay.sample(40, np.random.default_rng(0), n, 0.9)
    for field in ("obs", "action", "reward", "discount", "next_obs", "weight"):
        assert torch.equal(getattr(batch, field), getattr(wanted, field)), field
        assert getattr(batch, field).dtype == getattr(wanted, field).dtype
    assert batch.index.tolist() == list(range(40))


def test_an_excerpt_holds_each_frame_once_and_no_zeros():
    replay = ro.play(np.full((100, 1), 9), stack=4, capacity=200, n=1, gamma=0.9)
    arrays = replay.excerpt(4096, np.random.default_rng(0))
    assert arrays["frames"].shape == (100, 3) and arrays["frames"].all(1).all()
    assert len(np.unique(arrays["frames"], axis=0)) == 100
    assert arrays["obs"].shape == (4096, 4) and arrays["obs"].dtype == np.int32
    first = arrays["obs"][(arrays["obs"][:, -1] == 0)][0]
    assert first.tolist() == [-1, -1, -1, 0]


def test_an_excerpt_is_a_copy():
    replay = ro.play(np.full((20, 1), 9), stack=4, capacity=30, n=1, gamma=0.9)
    arrays = replay.excerpt(30, np.random.default_rng(0))
    kept = {name: array.copy() for name, array in arrays.items()}
    replay.ring.frame[:], replay.ring.action[:], replay.ring.reward[:] = 7, 7, 7
    assert all(np.array_equal(arrays[name], kept[name]) for name in kept)
