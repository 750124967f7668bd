"""The value that travels from a replay (or a data stream) to a loss."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """B transitions of up to n steps; discount already holds gamma^k, so no loss multiplies by gamma again."""

    obs: Tensor  # [B, *O]
    action: Tensor  # [B] int64, or [B, A] float32
    reward: Tensor  # [B] float32: sum of gamma^j r over the window
    discount: Tensor  # [B] float32: gamma^k, or 0 where the episode truly ended
    next_obs: Tensor  # [B, *O]
    weight: Tensor  # [B] float32: importance weight, 1 for uniform sampling
    index: Tensor  # type: ignore[assignment]  # [B] int64: where it lies in its replay (hides tuple.index)


def labelled(inputs: Tensor, labels: Tensor) -> Batch:
    """Examples as a Batch: inputs [B, *O] are obs, labels [B] are action; rewards and discounts are 0."""
    zero, size = torch.zeros(len(labels)), len(labels)
    return Batch(inputs, labels, zero, zero, inputs, torch.ones(size), torch.arange(size))
