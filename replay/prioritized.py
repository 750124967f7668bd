"""Prioritized replay (Schaul et al. 2016, arXiv:1511.05952) as in Dopamine's Rainbow: P(i) = p_i / sum of p.

p = (loss + 1e-10)^exponent of what the agent yields, and the largest seen so far (at first 1) for a row not yet
learned from. Importance weights are (P + 1e-10)^-weight over their maximum in the batch. Dopamine: both .5, for good;
Rainbow in dqn_zoo and CleanRL: the second from .4 to 1. dqn_zoo mixes .001 of uniform sampling in; we do not.
"""

from collections.abc import Iterator
from typing import Any

import dm_env
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from replay.batch import Batch
from replay.ring import Keys, Ring
from replay.sumtree import SumTree
from replay.uniform import Uniform

CHUNK = 256  # transitions at a time, of everything
TINY = 1e-10  # (Dopamine) what was fitted perfectly, or is drawn almost never, still counts


class Prioritized:
    """The rows of a Uniform, drawn by priority: `sample` alone differs, `peek` and all else stay uniform.

    A row that no transition starts at (a reset, the present, a stack across the write cursor, held out) has priority 0
    and is never drawn. `exponent` is that of the loss; the one of the weights moves from `weight` to `weight_final`
    while `anneal` rows are added, over all environments, and is `weight` for good where that is 0.
    """

    def __init__(
        self,
        rows: Uniform,
        exponent: float = 0.5,
        weight: float = 0.5,
        weight_final: float = 1.0,
        anneal: int = 0,
    ) -> None:
        if not 0 <= exponent <= 1:
            raise ValueError(f"the exponent of priorities is {exponent}; it must be from 0, uniform, to 1")
        self.uniform, self.ring = rows, rows.ring
        self.exponent, self.weight, self.weight_final, self.anneal = exponent, weight, weight_final, anneal
        self.tree = SumTree(self.ring.size)  # a leaf a slot
        self.largest = 1.0

    def __len__(self) -> int:
        """Rows something followed: the transitions and the resets, over all environments."""
        return len(self.uniform)

    def add(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> None:
        """Besides: the row that is no longer the present may be drawn, those at the write cursor no more."""
        self.uniform.add(now, action, then)
        ring, newest = self.ring, self.ring.stop - 1
        rows = np.array([*range(ring.start, ring.start + len(ring.back) - 1), newest - 1, newest])
        keys = (rows[:, None] * ring.num_envs + np.arange(ring.num_envs)).ravel()
        slots = ring.slots(keys)
        known = np.where(keys >= (newest - 1) * ring.num_envs, self.largest, self.tree.leaves[slots])
        self.tree.set(slots, np.where(ring.trained(keys), known, 0.0))

    def sample(
        self,
        size: int,
        rng: np.random.Generator,
        n: int = 1,
        gamma: float = 0.99,
        out: Batch | None = None,
        k: int = 0,
    ) -> Batch:
        if not self.tree.total:  # nothing yet, or all of it held out
            return self.uniform.sample(size, rng, n, gamma, out, k)
        slots = self.tree.sample(size, rng)
        batch = self.uniform.gather(self.ring.keys(slots), n, gamma, out, k)
        batch.weight.numpy()[...] = weights(self.tree.leaves[slots] / self.tree.total, self.weight_now)
        return batch

    def reprioritize(self, index: Tensor, td: Tensor) -> None:
        """td: losses or errors [B], or [K, B] of K critics, of which the largest counts (LAP, arXiv:2007.06049). Rows
        that are gone since they were drawn are left out."""
        keys, priority = index.cpu().numpy(), priorities(td, self.exponent)
        if not np.isfinite(priority).all():
            key = int(keys[~np.isfinite(priority)][0])
            where = f"row {key // self.ring.num_envs} of environment {key % self.ring.num_envs}"
            raise FloatingPointError(f"the priority of {where} is not finite, because its loss or error is not")
        here = self.ring.trained(keys)
        self.tree.set(self.ring.slots(keys[here]), priority[here])
        self.largest = max(self.largest, float(priority[here].max(initial=0.0)))

    @property
    def weight_now(self) -> float:
        done = min(self.ring.present / self.anneal, 1.0) if self.anneal else 0.0
        return self.weight + (self.weight_final - self.weight) * done

    def peek(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99, k: int = 0) -> Batch:
        return self.uniform.peek(size, rng, n, gamma, k)

    def gather(self, index: Keys, n: int = 1, gamma: float = 0.99, out: Batch | None = None, k: int = 0) -> Batch:
        """The transitions at the given index [B], all of weight 1."""
        return self.uniform.gather(index, n, gamma, out, k)

    def everything(self, n: int = 1, gamma: float = 0.99) -> Iterator[Batch]:
        """All that may be drawn, each once, oldest first, in batches of memory of their own."""
        keys = self.ring.transitions()
        keys = keys[self.ring.trained(keys)]
        for first in range(0, len(keys), CHUNK):
            yield self.gather(keys[first : first + CHUNK], n, gamma)

    def held(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> Batch | None:
        return self.uniform.held(size, rng, n, gamma)

    def returns(
        self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99
    ) -> tuple[Batch, Tensor] | None:
        return self.uniform.returns(size, rng, n, gamma)

    def buffer(self, size: int, n: int = 0, k: int = 0) -> Batch:
        return self.uniform.buffer(size, n, k)

    def excerpt(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> dict[str, np.ndarray]:
        return self.uniform.excerpt(size, rng, n, gamma)

    def logs(self) -> dict[str, Ring]:
        return self.uniform.logs()

    def thin(self, keep: float = 0.0) -> None:
        self.uniform.thin(keep)
        keys = self.ring.keys(np.arange(self.ring.size))
        self.tree.leaves[~self.ring.trained(keys)] = 0.0
        self.tree.rebuild()

    def state_dict(self) -> dict[str, Any]:
        """With the priorities, 4 bytes a row that was written."""
        used = min(self.ring.stop * self.ring.num_envs, self.ring.size)
        mine = {"priorities": self.tree.leaves[:used].copy(), "largest": self.largest}
        return {**self.uniform.state_dict(), **mine}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.uniform.load_state_dict(state)
        kept, leaves = state["priorities"], self.tree.leaves
        if len(kept) > len(leaves):
            raise ValueError(f"{len(kept)} priorities do not fit; this replay has {len(leaves)} slots")
        leaves[: len(kept)], leaves[len(kept) :] = kept, 0.0
        self.tree.rebuild()
        self.largest = float(state["largest"])


def priorities(td: Tensor, exponent: float) -> NDArray[np.float32]:
    """[B] or [K, B] -> [B]: [3.0, -4.0], exponent .5 -> [1.732, 2.0]."""
    loss = np.atleast_2d(td.detach().abs().float().cpu().numpy()).max(0)
    return np.asarray((loss.astype(np.float64) + TINY) ** exponent, np.float32)


def weights(chance: NDArray[np.floating], exponent: float) -> NDArray[np.float64]:
    """Chances [B] of being drawn -> importance weights [B], the largest 1: [.1, .4], exponent .5 -> [1, .5]."""
    weight = (chance.astype(np.float64) + TINY) ** -exponent
    return np.asarray(weight / weight.max(), np.float64)
