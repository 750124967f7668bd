"""Exploration: epsilon-greedy on a linear schedule (Mnih et al. 2015), the squashed Gaussian (Haarnoja et al. 2018)."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def epsilon(step: int, warmup: int, decay: int, final: float, start: float = 1.0) -> float:
    """`start` until `warmup` agent steps, then linear to `final` over `decay` steps (as Dopamine)."""
    left = min(max((decay + warmup - step) / decay, 0.0), 1.0) if decay else float(step < warmup)
    return final + (start - final) * left


def explore(rng: np.random.Generator, actions: int, eps: float, num_envs: int) -> np.ndarray:
    """[N] int64: a uniform action where this env explores, -1 where it acts greedily. Draws the same numbers always."""
    random = rng.integers(actions, size=num_envs)
    return np.where(rng.random(num_envs) < eps, random, -1)


def log_sigma(raw: Tensor, low: float, high: float, clip: bool) -> Tensor:
    """raw: [B, A] -> log sigma in [low, high]: by a tanh map (jaxrl, CleanRL) or, with clip, cut off (SB3)."""
    return raw.clamp(low, high) if clip else low + 0.5 * (high - low) * (1 + torch.tanh(raw))


def squashed(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(u), u = mean + sigma noise, [B, A]; and log pi(a), [B].

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which stays finite where tanh(u) rounds to 1.
    """
    u = mean + log_std.exp() * noise
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    return torch.tanh(u), (gaussian - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(1)


def nudged(mean: Tensor, std: Tensor, noise: Tensor, edge: float = 1e-6) -> Tensor:
    """mean in [-1, 1], std, noise: [B, A] -> mean + std noise, kept within 1 - edge of 0 while gradients pass as if
    nothing had been cut off (DrQ-v2: Yarats et al. 2022, arXiv:2107.09645)."""
    free = mean + std * noise
    return free + (free.clamp(edge - 1, 1 - edge) - free).detach()
