"""Loss functions: tensors in, tensor out (Mnih et al. 2015; docs/algorithms.md)."""

import torch
from torch import Tensor


def huber(td: Tensor, kappa: float = 1.0) -> Tensor:
    """td: [B] -> [B]: td^2/2 up to kappa, then kappa(|td| - kappa/2). Mnih et al. 2015 clip the error to the same."""
    size = td.abs()
    return torch.where(size <= kappa, 0.5 * td**2, kappa * (size - 0.5 * kappa))


def squared(td: Tensor) -> Tensor:
    """td: [B] -> [B]: td^2, without a half (Dopamine, CleanRL)."""
    return td**2


def at(values: Tensor, action: Tensor) -> Tensor:
    """values: [B, A], action: [B] int64 -> [B]: the value of the action taken."""
    return values.gather(1, action[:, None])[:, 0]


@torch.no_grad()
def bootstrap(reward: Tensor, discount: Tensor, following: Tensor, judge: Tensor) -> Tensor:
    """R + gamma^k Q(s', argmax_a judge(s', a)), [B]. following, judge: [B, A]; judge is the online network's values
    for double Q-learning (van Hasselt et al. 2016, arXiv:1509.06461), `following` itself for plain Q-learning."""
    return reward + discount * at(following, judge.argmax(1))
