"""Runs side by side: one curve a configuration, its mean over seeds with the range between the least and the largest.

`python -m runs.compare --tag task/accuracy --out accuracy.png results/labels-mnist/*/*`. Runs of one configuration
differ in their seed alone: their directories are called <seed>-<hash>.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from runs.progress import say
from runs.record import rows

Curve = dict[float, float]  # {agent step: value}
Band = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # steps, least, mean, largest: [T] each


@dataclass(frozen=True)
class Compare:
    """Draw one tag of several runs"""

    runs: Positional[tuple[Path, ...]]
    """Run directories"""
    tag: str = "return/eval"
    """What is drawn, e.g. return/eval, task/accuracy, probe/dormant"""
    out: Path = Path("compare.png")
    """The picture (PNG)"""
    labels: str = ""
    """Names of the configurations, with commas between them, in the order of their first run; else their directories"""


def main(compare: Compare) -> None:
    groups: dict[str, list[Curve]] = defaultdict(list)
    for run in compare.runs:
        groups[configuration(run)].append(curve(run, compare.tag))
    names = compare.labels.split(",") if compare.labels else list(groups)
    if len(names) != len(groups):
        raise SystemExit(f"{len(names)} labels for {len(groups)} configurations: {', '.join(groups)}")
    rows = zip(names, groups.values(), strict=True)
    bands = {f"{name} ({len(curves)} seeds)": summary(curves) for name, curves in rows}
    draw(bands, compare.tag, compare.out)
    for name, (steps, low, mean, high) in bands.items():
        say(f"{name}: {compare.tag} at step {steps[-1]:,.0f}: {mean[-1]:.4g} ({low[-1]:.4g}..{high[-1]:.4g})")
    say(str(compare.out))


def configuration(run: Path) -> str:
    """results/labels-mnist/classifier+reset/0-1a2b3c4d -> labels-mnist/classifier+reset/1a2b3c4d."""
    *_, env, agent, name = run.resolve().parts
    return f"{env}/{agent}/{name.partition('-')[2]}"


def curve(run: Path, tag: str) -> Curve:
    return {row["step"]: row[tag] for row in rows(run) if tag in row}


def summary(curves: Sequence[Curve]) -> Band:
    """Steps that all runs have, [T]; the least, the mean and the largest value there, [T] each."""
    steps = sorted(set.intersection(*(set(c) for c in curves)))
    if not steps:
        raise SystemExit("these runs share no step of this tag; they are too short, or the tag is misspelt")
    values = np.array([[c[step] for step in steps] for c in curves])  # [runs, T]
    return np.array(steps), values.min(0), values.mean(0), values.max(0)


def draw(bands: Mapping[str, Band], tag: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4))
    for name, (steps, low, mean, high) in bands.items():
        (line,) = axis.plot(steps, mean, label=name, marker="." if len(steps) < 60 else None)
        axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, lw=0)
    axis.set(xlabel="agent steps", title=tag)
    axis.legend()
    axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main(tyro.cli(Compare))
