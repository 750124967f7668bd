"""What the trainability of a run's snapshots costs, over the naive loop: each snapshot with fresh networks of its own,
one fit after the other in one process. `python -m benchmarks.trainability RUN --updates 4`, on a run of Nature-DQN."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import tyro
from tyro.conf import Positional

from agents.fits import Done, Fit, results
from agents.trainability import BUDGETS, Trainability, measure, tracks
from probes.fit import Record


@dataclass(frozen=True)
class Cost:
    """Time of the probe and of the naive loop, and the largest difference of their losses"""

    run: Positional[Path]
    """A run directory with snapshots"""
    updates: int = BUDGETS["quick"][0].updates
    """Optimizer steps of a fit"""
    batch: int = BUDGETS["quick"][0].batch
    """States in a minibatch"""
    pool: int = 2_048
    """States to fit"""
    jobs: int = 0
    """Processes of the probe; 0 for all cores"""


def main(cost: Cost) -> None:
    copy = Path(mkdtemp()) / "run"
    shutil.copytree(cost.run, copy, ignore=shutil.ignore_patterns("probes", "ckpt-*", "replay"))
    flags = Trainability((copy,), "sine", "quick", cost.updates, cost.batch, pool=cost.pool, jobs=cost.jobs)
    begun = time.monotonic()
    measure(flags)
    ours = time.monotonic() - begun
    (track,) = tracks(flags, copy)
    naive = [(fit, r) for step, own in track.own.items() for fit in (own, *track.fresh[step]) for r in range(3)]
    begun = time.monotonic()
    again = [records[0] for _, records in results([(fit, (r,)) for fit, r in naive], 1)]
    loop = time.monotonic() - begun
    worst = max(apart(Done(copy), fit, r, row) for (fit, r), row in zip(naive, again, strict=True))
    print(
        f"probe {ours:.1f} s with {cost.jobs or os.cpu_count()} processes, naive loop {loop:.1f} s: {ours / loop:.3f}"
    )
    print(f"largest difference of a loss: {worst:.2g}")


def apart(done: Done, fit: Fit, repeat: int, row: Record) -> float:
    """The largest difference between two learning curves of one fit."""
    mine = done.rows[fit.key, repeat]["fit"]
    return float(max(abs(mine[mark] - row["fit"][mark]) for mark in mine))


if __name__ == "__main__":
    main(tyro.cli(Cost))
