"""Schedules of the return over a cycle (BBF: Schwarzer et al. 2023, arXiv:2305.19452): n falls, gamma rises.

updates: since the last reset.
"""


def fraction(updates: int, over: int) -> float:
    """How much of the schedule has passed, from 0 to 1."""
    return min(max(updates, 0) / over, 1.0) if over else 1.0


def geometric(start: float, end: float, passed: float) -> float:
    """start (end / start)^passed: equal factors in equal times."""
    return float(start * (end / start) ** passed)


def annealed_n(updates: int, start: int = 10, end: int = 3, over: int = 10_000) -> int:
    """Steps of the return: 10, 7, 5, 4, 3 at each quarter of the first 10k updates of a cycle, then 3."""
    return round(geometric(start, end, fraction(updates, over)))


def annealed_gamma(updates: int, start: float = 0.97, end: float = 0.997, over: int = 10_000) -> float:
    """1 - gamma falls by equal factors: .97 -> .997, so that the horizon 1 / (1 - gamma) grows from 33 to 333 steps."""
    return 1 - geometric(1 - start, 1 - end, fraction(updates, over))
