"""Loss functions: tensors in, tensor out (Mnih et al. 2015; docs/algorithms.md)."""

import math

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


def two_hot(value: Tensor, bins: Tensor) -> Tensor:
    """value: [B], bins: [M] evenly spaced -> [B, M]: weight on the two bins beside it, so that the mean is the value
    (values beyond the ends are clamped to them). Bellemare et al. 2017, arXiv:1707.06887."""
    place = (value.clamp(bins[0], bins[-1]) - bins[0])[:, None] / (bins[1] - bins[0])  # [B, 1]
    return (1 - (place - torch.arange(len(bins), device=value.device)).abs()).clamp(min=0)


def hl_gauss(value: Tensor, bins: Tensor, ratio: float = 0.75) -> Tensor:
    """value: [B], bins: [M] evenly spaced centres -> [B, M]: a Gaussian's mass in each bin, sigma = ratio * bin width,
    normalised over the bins (values beyond their outer edges are clamped to them). Imani & White 2018; Farebrother
    et al. 2024, arXiv:2403.03950: .75."""
    width = bins[1] - bins[0]
    edges = torch.cat([bins - width / 2, bins[-1:] + width / 2])  # [M + 1]
    value = value.clamp(edges[0], edges[-1])
    mass = torch.special.erf((edges - value[:, None]) / (math.sqrt(2) * ratio * width)).diff(dim=1)
    return mass / mass.sum(1, keepdim=True)  # type: ignore[no-any-return]


def support(low: float, high: float, bins: int, kind: str) -> Tensor:
    """The numbers that bins stand for, [M]. hl_gauss: centres of bins whose outer edges are low and high (Farebrother
    et al. 2024, appendix A); two_hot: from low to high, as C51's atoms (Bellemare et al. 2017)."""
    inset = (high - low) / (2 * bins) if kind == "hl_gauss" else 0.0
    return torch.linspace(low + inset, high - inset, bins)


def cross_entropy(logits: Tensor, goal: Tensor) -> Tensor:
    """logits, goal: [B, M] -> [B]: -sum p log q, goal a distribution."""
    return -(goal * logits.log_softmax(1)).sum(1)
