"""Excerpts: transitions cut out of a replay to be stored with a snapshot, each of their frames once."""

import numpy as np
import torch

from replay.batch import Batch
from replay.nstep import windows
from replay.ring import Keys, Ring


def excerpt(ring: Ring, keys: Keys, n: int, gamma: float) -> dict[str, np.ndarray]:
    """The transitions at keys [B] with each frame once: obs and next_obs are rows of `frames`, -1 for zeros.

    frames [F, *frame]; obs, next_obs [B, stack] int32 ([B] without a stack); action, reward, discount [B, ...].
    """
    window = windows(ring, keys, n, gamma)
    slots = ring.planes(np.stack([keys, window.last]))  # [2, B, stack]
    used, rows = np.unique(slots, return_inverse=True)
    used = used[used < ring.size]  # the zero slot is the last
    obs, next_obs = np.where(slots < ring.size, rows.reshape(slots.shape), -1).astype(np.int32)
    return {
        "frames": np.take(ring.frame, used, axis=0),
        "obs": obs,
        "next_obs": next_obs,
        "action": ring.action[ring.slots(keys + ring.num_envs)],
        "reward": window.reward,
        "discount": window.discount,
    }


def restore_excerpt(arrays: dict[str, np.ndarray]) -> Batch:
    """The Batch an `excerpt` was cut from; index counts its transitions from 0."""
    frames = arrays["frames"]
    padded = np.concatenate([frames, np.zeros_like(frames, shape=(1, *frames.shape[1:]))])  # row -1 is zero
    action, size = arrays["action"], len(arrays["reward"])
    return Batch(
        obs=torch.from_numpy(padded[arrays["obs"]]),
        action=torch.from_numpy(action.astype(np.int64 if action.dtype.kind in "iu" else np.float32)),
        reward=torch.from_numpy(arrays["reward"].copy()),
        discount=torch.from_numpy(arrays["discount"].copy()),
        next_obs=torch.from_numpy(padded[arrays["next_obs"]]),
        weight=torch.ones(size),
        index=torch.arange(size),
    )
