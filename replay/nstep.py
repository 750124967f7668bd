"""n-step windows: return, discount and last row. n and gamma are arguments of each sample, so they may be annealed.

A window of the transition at t reads the rows t+1..t+n and stops early at an episode's last row, terminal (discount 0)
or time limit (discount gamma^k), and at the newest row. Dopamine and BBF reject a window that meets a time limit or
the write cursor; we shorten it. Their sub-sequence buffer also bootstraps from t+n-1 and misses the last terminal;
we do not, unless asked for exactly that (`dopamine_spr`, docs/algorithms.md).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.ring import LAST, Keys, Ring

Floats = NDArray[np.float32]


class Window(NamedTuple):
    """What a transition of up to n steps came to."""

    last: Keys  # [B] key of the row it ends in
    reward: Floats  # [B] sum of gamma^j r over its k steps
    discount: Floats  # [B] gamma^k, or 0 where the episode truly ended


def windows(ring: Ring, keys: Keys, n: int, gamma: float) -> Window:
    if n < 1:
        raise ValueError(f"n is {n}; a window has at least one step")
    if n == 1:  # nothing can end it early: the same numbers in a third of the time
        last = keys + ring.num_envs
        slots = ring.slots(last)
        return Window(last, ring.reward[slots], np.asarray(ring.discount[slots] * np.float64(gamma), np.float32))
    ahead = keys[:, None] + ring.num_envs * np.arange(1, n + 1)  # [B, n] the rows that follow
    slots = ring.slots(ahead)
    k = length(ends(ring.step_type[slots], ahead, ring.present))
    last = keys + ring.num_envs * k
    end = ring.discount[ring.slots(last)]
    return Window(last, returns(ring.reward[slots], k, gamma), discounts(end, k, gamma))


def dopamine_spr(ring: Ring, keys: Keys, window: Window, n: int, gamma: float) -> Window:
    """Windows of `windows` as SPR, SR-SPR and BBF were published with, for comparison with their scores.

    The return and gamma^n are those of n steps, but the next state is that of row t+n-1, and a terminal counts only if
    it is that of one of the first n-1 steps: for n = 1 each state bootstraps from itself and no episode ends. A window
    cut short at a time limit or at the newest row, which they never sample, stays as it is.
    """
    whole = window.last == keys + ring.num_envs * n
    last = np.where(whole, window.last - ring.num_envs, window.last)
    return Window(last, window.reward, np.where(whole, np.float32(float(gamma) ** n), window.discount))


def ends(step_type: NDArray[np.uint8], ahead: Keys, present: int) -> NDArray[np.bool_]:
    """[B, n] whether a window must end in this row: an episode's last, the newest written, or the n-th."""
    stops: NDArray[np.bool_] = (step_type == LAST) | (ahead >= present)
    stops[:, -1] = True
    return stops


def length(stops: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[B] steps up to the first stop: [[False, True, True]] -> [2]."""
    return np.asarray(stops.argmax(1) + 1, np.int64)


def returns(reward: NDArray[np.floating], k: NDArray[np.int64], gamma: float) -> Floats:
    """Sum of gamma^j r_j over the first k of n: [[1, 2, 3]], k=[2], gamma=.5 -> [2]. Summed in float64."""
    j = np.arange(reward.shape[1])
    inside = np.where(j < k[:, None], reward, 0.0)
    return np.asarray((inside * float(gamma) ** j).sum(1), np.float32)


def discounts(end: NDArray[np.floating], k: NDArray[np.int64], gamma: float) -> Floats:
    """gamma^k of the k steps there were, times the last row's own discount: 0 at a terminal, 1 elsewhere."""
    return np.asarray(end * float(gamma) ** k, np.float32)
