"""Uniform replay (Mnih et al. 2015): every transition kept is as likely as any other."""

from typing import Any

import dm_env
import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from replay.batch import Batch
from replay.excerpt import excerpt
from replay.future import futures, horizon
from replay.gather import buffer, gather
from replay.outcome import outcomes
from replay.ring import Keys, Ring

TRIES = 32  # rounds of rejection before all transitions are listed; at 50 % valid, one draw in 4e9 gets there


class Uniform:
    """The last `capacity` rows (steps plus one per episode) of N environments, sampled uniformly with replacement.

    `stack` past frames make an observation [B, stack, *frame], newest last; 0 where an observation is one frame.
    `holdout` is the share of episodes that no sample holds. Batch.index is time * N + environment. Rows are persisted
    through `ring`, the counters through `state_dict`. `nstep_compat` may be "dopamine_spr" (replay/nstep.py).
    """

    def __init__(
        self,
        capacity: int,
        frame: tuple[int, ...],
        dtype: DTypeLike = np.uint8,
        stack: int = 0,
        action: tuple[int, ...] = (),
        action_dtype: DTypeLike = np.int32,
        num_envs: int = 1,
        holdout: float = 0.0,
        nstep_compat: str = "",
    ) -> None:
        if nstep_compat not in ("", "dopamine_spr"):
            raise ValueError(f"no nstep_compat {nstep_compat!r}; leave it empty or name dopamine_spr")
        self.early = nstep_compat == "dopamine_spr"
        self.ring = Ring(capacity, frame, dtype, stack, action, action_dtype, num_envs, holdout)

    def __len__(self) -> int:
        """Rows something followed: the transitions and the resets, over all environments."""
        return self.ring.present - self.ring.start * self.ring.num_envs

    def add(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> None:
        self.ring.add(now, action, then)

    def sample(
        self,
        size: int,
        rng: np.random.Generator,
        n: int = 1,
        gamma: float = 0.99,
        out: Batch | None = None,
        k: int = 0,
    ) -> Batch:
        return self.gather(draw(self.ring, size, rng), n, gamma, out, k)

    def gather(self, index: Keys, n: int = 1, gamma: float = 0.99, out: Batch | None = None, k: int = 0) -> Batch:
        """The transitions at the given index [B], as `sample` would return them."""
        out = self.buffer(len(index), k=k) if out is None else out
        room = 0 if out.future is None else out.future.mask.shape[1]
        if room != k:
            raise ValueError(f"this buffer is for k = {room}, not {k}; make it with buffer(size, n, k)")
        if out.future is not None:
            futures(self.ring, index, out.future)
        return gather(self.ring, index, n, gamma, out, self.early)

    def peek(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99, k: int = 0) -> Batch:
        return self.gather(draw(self.ring, size, rng), n, gamma, k=k)

    def held(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> Batch | None:
        keys = self.ring.transitions()
        keys = keys[~self.ring.trained(keys)]
        return self.gather(rng.choice(keys, size), n, gamma) if len(keys) else None

    def returns(
        self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99
    ) -> tuple[Batch, Tensor] | None:
        keys, g = outcomes(self.ring, gamma)
        if not len(keys):
            return None
        chosen = rng.integers(len(keys), size=size)
        return self.gather(keys[chosen], n, gamma), torch.from_numpy(g[chosen])

    def buffer(self, size: int, n: int = 0, k: int = 0) -> Batch:
        """A Batch to pass as `out`, so that sampling allocates nothing of its size."""
        return buffer(self.ring, size, 0 if self.early else n)._replace(future=horizon(self.ring, size, k))

    def excerpt(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> dict[str, np.ndarray]:
        """A sample with each frame once, to be stored; `restore_excerpt` makes it a Batch."""
        return excerpt(self.ring, draw(self.ring, size, rng), n, gamma, self.early)

    def logs(self) -> dict[str, Ring]:
        return {"replay": self.ring}

    def reprioritize(self, index: Tensor, td: Tensor) -> None:
        """Nothing: all stay equally likely."""

    def thin(self, keep: float = 0.0) -> None:
        self.ring.thin(keep)

    def state_dict(self) -> dict[str, Any]:
        return self.ring.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ring.load_state_dict(state)


def draw(ring: Ring, size: int, rng: np.random.Generator) -> Keys:
    """[B] keys of transitions, each as likely as any other: draw rows, keep the valid, draw the rest again. What is
    held out is learned from only while there is nothing else."""
    low = ring.start * ring.num_envs
    high = max(ring.present, low + 1)
    keys = rng.integers(low, high, size)
    for _ in range(TRIES):
        valid = ring.trained(keys)
        if valid.all():
            return keys
        keys[~valid] = rng.integers(low, high, size - valid.sum())
    everything = ring.transitions()
    if not len(everything):
        raise ValueError(f"no transition to sample among {ring.present - low} rows; add steps first")
    mine = everything[ring.trained(everything)]
    return rng.choice(mine if len(mine) else everything, size)
