"""The value that travels from a replay (or a data stream) to a loss."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Future(NamedTuple):
    """The K steps that follow each observation, for a model to predict (Schwarzer et al. 2021, arXiv:2007.05929).

    Where mask is 0, obs and action are the last that exist in the episode: never those of another.
    """

    obs: Tensor  # [B, K, *O]: o_t+1 .. o_t+K
    action: Tensor  # [B, K] int64, or [B, K, A] float32: a_t .. a_t+K-1, which led there
    mask: Tensor  # [B, K] float32: 1 if there was no episode end among the steps t..t+k-1, else 0


class Batch(NamedTuple):
    """B transitions of up to n steps; discount already holds gamma^k, so no loss multiplies by gamma again."""

    obs: Tensor  # [B, *O]
    action: Tensor  # [B] int64, or [B, A] float32
    reward: Tensor  # [B] float32: sum of gamma^j r over the window
    discount: Tensor  # [B] float32: gamma^k, or 0 where the episode truly ended
    next_obs: Tensor  # [B, *O]
    weight: Tensor  # [B] float32: importance weight, 1 for uniform sampling
    index: Tensor  # type: ignore[assignment]  # [B] int64: where it lies in its replay (hides tuple.index)
    future: Future | None = None  # what a model is to predict, where it was asked for

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with every tensor changed, those of the future too."""
        future = None if self.future is None else Future(*map(change, self.future))
        return Batch._make([*map(change, self[:7]), future])

    def pick(self, rows: slice | Tensor) -> "Batch":
        """These of its transitions."""
        return self.each(lambda x: x[rows])

    def named(self) -> dict[str, Tensor]:
        """Its tensors by name: reward, next_obs, future.mask."""
        ahead = {} if self.future is None else {f"future.{name}": x for name, x in self.future._asdict().items()}
        return dict(zip(self._fields, self[:7], strict=False)) | ahead


def labelled(inputs: Tensor, labels: Tensor) -> Batch:
    """Examples as a Batch: inputs [B, *O] are obs, labels [B] are action; rewards and discounts are 0."""
    zero, size = torch.zeros(len(labels)), len(labels)
    return Batch(inputs, labels, zero, zero, inputs, torch.ones(size), torch.arange(size))
