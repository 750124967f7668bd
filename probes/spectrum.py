"""Ranks of a matrix, functions of its singular values s_1 >= s_2 >= ...: seven measures that are not interchangeable.

srank: Kumar et al. 2021 (arXiv:2010.14498), which some call the effective, some the stable rank; pca: the same of s^2
(Moalla et al. 2024, arXiv:2405.00662, the approximate rank); effective: exp of the entropy of s (Roy & Vetterli 2007);
above: Lyle et al. 2022 (arXiv:2204.09560), which sees the scale collapse; stable: ||A||_F^2 / s_1^2; participation:
(sum s^2)^2 / sum s^4; numerical: what torch.linalg.matrix_rank counts in float32. No measurement is made here.
"""

import math

import torch
from torch import Tensor

FLOAT32 = torch.finfo(torch.float32).eps  # 1.2e-7


def singular(matrix: Tensor) -> Tensor:
    """[N, D] -> s [min(N, D)] float64, falling; all NaN where an entry is not finite.

    From the Gram matrix of the shorter side in float64: zeros come out as up to 3e-8 s_1, below every threshold here,
    in a fifth of the time of an SVD.
    """
    a = matrix.detach().cpu().double()
    a = a.T if a.shape[0] < a.shape[1] else a
    if not bool(a.isfinite().all()):
        return a.new_full((a.shape[1],), torch.nan)
    squares: Tensor = torch.linalg.eigvalsh(a.T @ a)
    return squares.clamp_min(0).sqrt().flip(0)


def centred(matrix: Tensor) -> Tensor:
    """[N, D] without the mean of its rows, in float64."""
    a = matrix.detach().double()
    return a - a.mean(0)


def srank(s: Tensor, delta: float = 0.01) -> float:
    """Least k whose s_1 + ... + s_k is 1 - delta of the sum."""
    return least(s, 1 - delta)


def pca(s: Tensor, share: float = 0.99) -> float:
    """Least k whose s_1^2 + ... + s_k^2 is this share of the sum."""
    return least(s.square(), share)


def effective(s: Tensor) -> float:
    """exp(-sum p ln p), p = s / sum s."""
    return float((-torch.xlogy(p := s / s.sum(), p).sum()).exp())


def above(s: Tensor, rows: int, eps: float = 0.01) -> float:
    """#{i: s_i / sqrt(rows) > eps}: it depends on the scale of the matrix, not on its largest singular value."""
    return count(s / math.sqrt(rows) > eps, s)


def numerical(s: Tensor, longer: int) -> float:
    """#{i: s_i > s_1 max(N, D) 1.2e-7}."""
    return count(s > s[0] * longer * FLOAT32, s)


def stable(s: Tensor) -> float:
    """||A||_F^2 / s_1^2, s falling."""
    return float((s / s[0]).square().sum())


def participation(s: Tensor) -> float:
    """(sum s^2)^2 / sum s^4."""
    squares = (s / s[0]).square()
    return float(squares.sum().square() / squares.square().sum())


def least(weights: Tensor, share: float) -> float:
    """Least k whose k first weights hold this share of the sum; NaN of NaN."""
    held = weights.cumsum(0) / weights.sum()
    return count(held < share, weights) + 1


def count(mask: Tensor, s: Tensor) -> float:
    """How many; NaN where a singular value is: a comparison with NaN is False."""
    return float(mask.sum()) if bool(s.isfinite().all()) else math.nan


def ranks(s: Tensor, rows: int, columns: int) -> dict[str, float]:
    """All that depend on s alone; of a matrix of zeros only the counts, as the ratios are 0/0."""
    counts = {"above": above(s, rows), "numerical": numerical(s, max(rows, columns))}
    if not len(s) or bool(s[0] == 0):
        return counts
    shares = {"srank": srank(s), "pca99": pca(s), "effective": effective(s)}
    return {**shares, **counts, "stable": stable(s), "participation": participation(s)}
