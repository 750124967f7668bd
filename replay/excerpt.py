"""Excerpts: transitions cut out of a replay to be stored with a snapshot, each of their frames once."""

from collections.abc import Mapping
from typing import Any, NoReturn

import dm_env
import numpy as np
import torch
from torch import Tensor

from replay.batch import Batch
from replay.nstep import dopamine_spr, windows
from replay.ring import Keys, Ring


def excerpt(ring: Ring, keys: Keys, n: int, gamma: float, early: bool = False) -> dict[str, np.ndarray]:
    """The transitions at keys [B] with each frame once: obs and next_obs are rows of `frames`, -1 for zeros.

    frames [F, *frame]; obs, next_obs [B, stack] int32 ([B] without a stack); action, reward, discount [B, ...].
    """
    window = windows(ring, keys, n, gamma)
    if early:
        window = dopamine_spr(ring, keys, window, n, gamma)
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
    obs, next_obs = (torch.from_numpy(padded[arrays[name]]) for name in ("obs", "next_obs"))
    if obs.ndim == 5:  # [B, stack, C, H, W]
        obs, next_obs = obs.flatten(1, 2), next_obs.flatten(1, 2)
    return Batch(
        obs=obs,
        action=torch.from_numpy(action.astype(np.int64 if action.dtype.kind in "iu" else np.float32)),
        reward=torch.from_numpy(arrays["reward"].copy()),
        discount=torch.from_numpy(arrays["discount"].copy()),
        next_obs=next_obs,
        weight=torch.ones(size),
        index=torch.arange(size),
    )


class Excerpt:
    """A replay of the transitions kept with a snapshot: it answers what a probe asks; nothing can be added."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.batch = restore_excerpt(arrays)

    def __len__(self) -> int:
        return len(self.batch.obs)

    def sample(
        self,
        size: int,
        rng: np.random.Generator,
        n: int = 1,
        gamma: float = 0.99,
        out: Batch | None = None,
        k: int = 0,
    ) -> Batch:
        return self.peek(size, rng, n, gamma)

    def peek(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99, k: int = 0) -> Batch:
        """Uniformly with replacement, with the n and gamma of the run; of the future nothing is kept."""
        rows = torch.from_numpy(rng.integers(len(self), size=size))
        return self.batch.pick(rows)

    def held(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> None:
        """Nothing of it is held out."""

    def returns(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> None:
        """What came of its states is not kept."""

    def excerpt(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> NoReturn:
        raise ValueError("an excerpt is not cut again; copy the snapshot that it comes from")

    def buffer(self, size: int, n: int = 0, k: int = 0) -> Batch:
        return self.batch.each(lambda x: x.new_empty((size, *x.shape[1:])))

    def add(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> NoReturn:
        raise ValueError("an excerpt takes no transitions; learn from a replay")

    def logs(self) -> Mapping[str, Any]:
        return {}

    def reprioritize(self, index: Tensor, td: Tensor) -> None:
        """Nothing: all stay equally likely."""

    def thin(self, keep: float = 0.0) -> None:
        """Nothing: what was kept stays."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is saved of it."""
