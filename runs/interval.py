"""Figures over games and runs, and their intervals (Agarwal et al. 2021, arXiv:2108.13264).

Scores come as one array a game, [R, ...], R its own number of runs. rliable computes the figures: the IQM drops
floor(N/4) of the N pooled scores at each end and averages the rest, the gap is the mean of max(0, 1 - score); median
and mean are over games, of each game's mean. So with unequal R a run weighs the same in IQM and gap, a game in median
and mean.

The interval is the 2.5 and 97.5 percentiles of 2,000 resamples of the runs within each game. rliable's own bootstrap
asks for the same R in each game and draws from numpy's global generator; ours draws R of R in each game, from a seed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from runs.compare import Band, shade
from runs.rng import stream

DRAWS = 2000
FIGURES = ("IQM", "median", "mean", "optimality gap")

Strata = Sequence[np.ndarray]
Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]  # low, middle, high


def figures(scores: Strata) -> np.ndarray:
    """Of each game [R]: the numbers of FIGURES, [4]."""
    from rliable import metrics

    runs, means = np.concatenate(scores), np.array([[game.mean() for game in scores]])  # [N], [1, G]
    return np.array(
        [
            metrics.aggregate_iqm(runs),
            metrics.aggregate_median(means),
            metrics.aggregate_mean(means),
            metrics.aggregate_optimality_gap(runs),
        ]
    )


def iqm(scores: Strata) -> np.ndarray:
    """Of each game [R, T]: the IQM at each time, [T]; rliable's takes one time alone."""
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(np.concatenate(scores), 0.25, axis=0))


def resampled(scores: Strata, rng: np.random.Generator) -> list[np.ndarray]:
    """Of each game as many of its own runs as it has, with replacement; a run keeps its whole curve."""
    return [game[rng.integers(len(game), size=len(game))] for game in scores]


def estimate(scores: Strata, of: Callable[[Strata], np.ndarray], draws: int = DRAWS, seed: int = 0) -> Estimate:
    """What `of` says of the scores, within the 95% interval of its stratified bootstrap."""
    rng = stream(seed, "bootstrap")
    low, high = np.percentile([of(resampled(scores, rng)) for _ in range(draws)], (2.5, 97.5), axis=0)
    return low, of(scores), high


def draw(found: Mapping[str, Estimate], kinds: Sequence[str], bands: Mapping[str, Band], tag: str, out: Path) -> None:
    """The picture: each figure with its interval above, the IQM against agent steps below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import to_hex

    heights = [1 + 0.4 * len(found), 3.5][: 2 if bands else 1]
    figure = plt.figure(figsize=(10, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), len(kinds), height_ratios=heights)
    for i, kind in enumerate(kinds):
        axis = figure.add_subplot(grid[0, i])
        axis.set(title=kind, ylim=(len(found) - 0.5, -0.5))
        axis.set_yticks(range(len(found)), list(found) if i == 0 else [""] * len(found))
        axis.grid(axis="x", alpha=0.25)
        axis.use_sticky_edges = False  # a bar does not lie on the frame
        for row, (low, middle, high) in enumerate(found.values()):
            axis.barh(row, high[i] - low[i], left=low[i], height=0.5, alpha=0.4, color=f"C{row}")
            axis.plot([middle[i]] * 2, [row - 0.25, row + 0.25], color="black")
    if bands:
        axis = figure.add_subplot(grid[1, :])
        axis.set_prop_cycle(color=[to_hex(f"C{row}") for row, name in enumerate(found) if name in bands])
        shade(axis, bands)
        axis.set(title=f"IQM of {tag}")
    figure.savefig(out, dpi=110)
    plt.close(figure)
