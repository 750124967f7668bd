"""What came of the states in a replay: Monte-Carlo returns of the policy that acted, with the rewards learned from.

G_t = r_1 + gamma r_2 + ... up to a terminal. Where a time limit or the newest row cuts an episode the rest is missing:
such a state counts only if the rest would weigh gamma^k <= .05, so that of gamma .99 the last 298 steps are left out.
"""

import numpy as np
from numpy.typing import NDArray

from replay.nstep import Floats
from replay.ring import LAST, Keys, Ring

ROWS = 30_000  # the newest that are looked at, over all environments: what is older another policy did
REST = 0.05


def outcomes(ring: Ring, gamma: float) -> tuple[Keys, Floats]:
    """Keys [B] of the transitions whose return is known, oldest first, and the returns from there [B]."""
    first = max(ring.start, ring.stop - 1 - ROWS // ring.num_envs)
    low, high = first * ring.num_envs, ring.present
    keys = np.arange(low, high)
    slots = ring.slots(keys + ring.num_envs)  # of what followed
    shape = (-1, ring.num_envs)
    ended = ring.step_type[slots].reshape(shape) == LAST
    known, rest = backwards(ring.reward[slots].reshape(shape), ring.discount[slots].reshape(shape) * gamma, ended)
    good = ring.trained(keys) & (rest.ravel() <= REST)
    return keys[good], known.ravel()[good].astype(np.float32)


def backwards(
    reward: NDArray[np.floating], discount: NDArray[np.floating], ended: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of what followed each state, [T, N]: returns as far as they are known, and the weight of what is missing."""
    known, rest = np.zeros(reward.shape), np.ones(reward.shape)
    g, weight = np.zeros(reward.shape[1]), np.ones(reward.shape[1])
    for t in range(len(reward) - 1, -1, -1):
        g = reward[t] + discount[t] * np.where(ended[t], 0.0, g)
        weight = discount[t] * np.where(ended[t], 1.0, weight)
        known[t], rest[t] = g, weight
    return known, rest
