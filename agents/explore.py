"""Exploration: the linear epsilon schedule and epsilon-greedy actions (Mnih et al. 2015)."""

import numpy as np


def epsilon(step: int, warmup: int, decay: int, final: float, start: float = 1.0) -> float:
    """`start` until `warmup` agent steps, then linear to `final` over `decay` steps (as Dopamine)."""
    left = min(max((decay + warmup - step) / decay, 0.0), 1.0) if decay else float(step < warmup)
    return final + (start - final) * left


def explore(rng: np.random.Generator, actions: int, eps: float, num_envs: int) -> np.ndarray:
    """[N] int64: a uniform action where this env explores, -1 where it acts greedily. Draws the same numbers always."""
    random = rng.integers(actions, size=num_envs)
    return np.where(rng.random(num_envs) < eps, random, -1)
