"""From keys to a Batch: np.take of single frames straight into the tensors' memory.

np.take with `out` and mode="clip" is the fastest row gather of numpy (fancy indexing 4x, numba 6x slower). Zero
padding is a slot of the ring, so there is no masking pass.
"""

import numpy as np
import torch

from replay.batch import Batch
from replay.nstep import dopamine_spr, windows
from replay.ring import Keys, Ring


def buffer(ring: Ring, size: int, n: int = 0) -> Batch:
    """An empty Batch of B = size for `gather` to fill, again and again: for this n, 0 for any. A stack moves on by one
    frame a step, so for n = 1 obs and next_obs overlap: views of stack + 1 frames, of which each is copied once."""
    shape = (size, *ring.observation)
    if ring.stack and n == 1:
        frames = torch.from_numpy(np.empty((size, ring.stack + 1, *ring.frame.shape[1:]), ring.frame.dtype))
        obs, next_obs = frames[:, :-1].view(shape), frames[:, 1:].view(shape)
    else:
        obs, next_obs = (torch.from_numpy(np.empty(shape, ring.frame.dtype)) for _ in range(2))
    action = np.empty((size, *ring.action.shape[1:]), np.int64 if ring.action.dtype.kind in "iu" else np.float32)
    return Batch(
        obs=obs,
        action=torch.from_numpy(action),
        reward=torch.empty(size),
        discount=torch.empty(size),
        next_obs=next_obs,
        weight=torch.empty(size),
        index=torch.empty(size, dtype=torch.int64),
    )


def opaque(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A view of this shape, each frame one item of bytes: taken whole, a quarter faster."""
    flat = array.reshape(*shape, -1)
    return flat.view(f"V{flat.shape[-1] * flat.itemsize}")[..., 0]


def gather(ring: Ring, keys: Keys, n: int, gamma: float, out: Batch, early: bool = False) -> Batch:
    """The transitions that start at keys [B], written into out; all weights 1. early: as `dopamine_spr` has them."""
    window = windows(ring, keys, n, gamma)
    if early:
        window = dopamine_spr(ring, keys, window, n, gamma)
    frames = opaque(ring.frame, ring.frame.shape[:1])
    if out.next_obs.data_ptr() - out.obs.data_ptr() == frames.itemsize:  # overlapping, by one frame
        if n != 1:
            raise ValueError(f"this buffer is for n = 1, not {n}; make it with buffer(size, n)")
        slots, size = ring.planes(window.last, more=1), ring.frame[0].size
        both = out.obs.as_strided((*slots.shape, size), (out.obs.stride(0), size, 1))
        np.take(frames, slots, out=opaque(both.numpy(), slots.shape), mode="clip")
    else:
        for slots, obs in zip(ring.planes(np.stack([keys, window.last])), (out.obs, out.next_obs), strict=True):
            np.take(frames, slots, out=opaque(obs.numpy(), slots.shape), mode="clip")
    out.action.numpy()[...] = ring.action[ring.slots(keys + ring.num_envs)]
    out.reward.numpy()[...] = window.reward
    out.discount.numpy()[...] = window.discount
    out.weight.numpy()[...] = 1.0
    out.index.numpy()[...] = keys
    return out
