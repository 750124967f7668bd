"""The K observations and actions that follow each sampled one (SPR, Schwarzer et al. 2021, arXiv:2007.05929).

They are read off the ring like any other observation. Dopamine's mask zeroes the first example of a batch where it
means the first step, and is one step early; ours counts the episode ends among the steps t..t+k-1.
"""

import numpy as np
import torch

from replay.batch import Future
from replay.gather import opaque
from replay.nstep import ends, length
from replay.ring import LAST, Keys, Ring


def horizon(ring: Ring, size: int, k: int) -> Future | None:
    """An empty Future of B = size and K = k for `futures` to fill, again and again; None for k = 0."""
    if not k:
        return None
    action = np.int64 if ring.action.dtype.kind in "iu" else np.float32
    return Future(
        obs=torch.from_numpy(np.empty((size, k, *ring.observation), ring.frame.dtype)),
        action=torch.from_numpy(np.empty((size, k, *ring.action.shape[1:]), action)),
        mask=torch.empty(size, k),
    )


def futures(ring: Ring, keys: Keys, out: Future) -> None:
    """What follows keys [B], written into out. Behind an episode's last row, and behind the newest, mask is 0."""
    ahead = np.arange(1, out.mask.shape[1] + 1)  # [K]
    rows = keys[:, None] + ring.num_envs * ahead  # [B, K]
    k = length(ends(ring.step_type[ring.slots(rows)], rows, ring.present))[:, None]  # [B, 1] steps there are
    rows = keys[:, None] + ring.num_envs * np.minimum(ahead, k)
    slots = ring.slots(rows)
    planes = ring.planes(rows)
    frames = opaque(ring.frame, ring.frame.shape[:1])
    np.take(frames, planes, out=opaque(out.obs.numpy(), planes.shape), mode="clip")
    out.action.numpy()[...] = ring.action[slots]
    out.mask.numpy()[...] = (ahead <= k) & (ring.step_type[slots] != LAST)
