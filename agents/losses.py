"""Loss functions: tensors in, tensor out (Mnih et al. 2015; docs/algorithms.md)."""

import math

import torch
import torch.nn.functional as F
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


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): near the identity below 1, a logarithm far above (Hafner et al. 2023, arXiv:2301.04104)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp|x| - 1), the inverse of symlog."""
    return x.sign() * x.abs().expm1()


def support(low: float, high: float, bins: int, kind: str) -> Tensor:
    """What bins stand for, [M]. hl_gauss: centres of bins whose outer edges are low and high (Farebrother et al. 2024,
    appendix A); two_hot: from low to high, as C51's atoms (Bellemare et al. 2017); two_hot_symlog: from symlog(low) to
    symlog(high), evenly there (DreamerV3, arXiv:2301.04104v1: 255 bins from -20 to 20 there, 4.9e8 here)."""
    if kind == "two_hot_symlog":
        low, high = symlog(torch.tensor([low, high], dtype=torch.float64)).tolist()
    inset = (high - low) / (2 * bins) if kind == "hl_gauss" else 0.0
    return torch.linspace(low + inset, high - inset, bins)


def spread(value: Tensor, bins: Tensor, kind: str, sigma: float) -> Tensor:
    """value: [B] -> [B, M]: the distribution over bins that stands for it. sigma: of hl_gauss, in bin widths."""
    if kind == "hl_gauss":
        return hl_gauss(value, bins, sigma)
    return two_hot(symlog(value) if kind == "two_hot_symlog" else value, bins)


def cross_entropy(logits: Tensor, goal: Tensor) -> Tensor:
    """logits, goal: [B, M] -> [B]: -sum p log q, goal a distribution."""
    return -(goal * logits.log_softmax(1)).sum(1)


def rows(outputs: Tensor, action: Tensor) -> Tensor:
    """outputs: [B, A, M], action: [B] int64 -> [B, M]: the atoms of the action taken."""
    return outputs[torch.arange(len(action), device=action.device), action]


def projected(mass: Tensor, reward: Tensor, discount: Tensor, bins: Tensor) -> Tensor:
    """mass: [B, M] on bins: [M] evenly spaced -> [B, M]: that of R + gamma^k z, shared out between the two bins beside
    it and cut off at the ends (C51: Bellemare et al. 2017, arXiv:1707.06887). m_i = sum_j p_j max(0, 1 - |b_j - i|)."""
    goal = reward[:, None] + discount[:, None] * bins  # [B, M]
    last = len(bins) - 1
    place = ((goal - bins[0]) * (last / (bins[-1] - bins[0]))).clamp(0, last)  # b_j in bins, [B, M]
    share = (1 - (place[:, None] - torch.arange(last + 1, device=bins.device)[:, None]).abs()).clamp(min=0)  # [B, i, j]
    return (share @ mass[:, :, None])[:, :, 0]


@torch.no_grad()
def bootstrap_atoms(reward: Tensor, discount: Tensor, following: Tensor, judge: Tensor, bins: Tensor) -> Tensor:
    """The goal of C51's cross-entropy, [B, M]. following: logits [B, A, M] of the next state; judge: [B, A] values that
    choose the action, as in `bootstrap`."""
    return projected(rows(following, judge.argmax(1)).softmax(1), reward, discount, bins)


@torch.no_grad()
def bootstrap_quantiles(reward: Tensor, discount: Tensor, following: Tensor, judge: Tensor) -> Tensor:
    """R + gamma^k theta_j(s', argmax_a judge(s', a)), [B, N]; following: quantiles [B, A, N] of the next state."""
    return reward[:, None] + discount[:, None] * rows(following, judge.argmax(1))


def quantile_huber(quantiles: Tensor, goal: Tensor, kappa: float = 1.0) -> Tensor:
    """quantiles: [B, N], goal: [B, N'] -> [B]: |tau_i - 1{u < 0}| huber(u) / kappa for u = y_j - theta_i, summed over
    the quantiles i at tau_i = (2i + 1) / 2N, averaged over the goals j (QR-DQN: Dabney et al. 2018, arXiv:1710.10044).
    """
    n = quantiles.shape[1]
    tau = (torch.arange(n, device=quantiles.device) + 0.5) / n
    u = goal[:, None] - quantiles[:, :, None]  # [B, N, N']
    weight = (tau[:, None] - (u.detach() < 0).to(u.dtype)).abs()
    return (weight * huber(u, kappa) / kappa).mean(2).sum(1)


def self_prediction(prediction: Tensor, goal: Tensor, mask: Tensor, eps: float = 1e-3) -> Tensor:
    """prediction, goal: [K, B, D] of the K steps ahead, mask: [K, B], 0 behind an end of the episode -> [B]: the mean
    over K of 2 - 2 cos, as the squared distance of the two on the unit sphere; no gradient through the goal (SPR:
    Schwarzer et al. 2021, arXiv:2007.05929). eps: what a length is at least (spr-pt: 1e-3). 0 where K is 0."""
    if not len(prediction):
        return prediction.new_zeros(prediction.shape[1])
    unit = F.normalize(prediction, dim=2, eps=eps)
    away = unit - F.normalize(goal.detach(), dim=2, eps=eps)
    return (mask * away.square().sum(2)).mean(0)
