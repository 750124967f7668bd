"""Runs side by side: one curve a configuration, its mean over seeds with the range between the least and the largest.

`python -m runs.compare --tag task/accuracy --out accuracy.png results/labels-mnist/*/*`. Runs of one configuration
differ in their seed alone: their directories are called <seed>-<hash>.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np
import tyro
from tyro.conf import Positional

from runs.progress import say
from runs.record import rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Flags = TypeVar("Flags")
Curve = dict[float, float]  # {agent step: value}
Band = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # steps, low, middle, high: [T] each


class Refused(Exception):
    """These runs cannot be shown as asked; the message names the thing and the mend."""


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
    names = named(groups, compare.labels)
    bands = {f"{names[key]} ({len(curves)} seeds)": summary(curves) for key, curves in groups.items()}
    draw(bands, compare.tag, compare.out)
    for name, (steps, low, mean, high) in bands.items():
        say(f"{name}: {compare.tag} at step {steps[-1]:,.0f}: {mean[-1]:.4g} ({low[-1]:.4g}..{high[-1]:.4g})")
    say(str(compare.out))


def configuration(run: Path) -> str:
    """results/labels-mnist/classifier+reset/0-1a2b3c4d -> labels-mnist/classifier+reset/1a2b3c4d."""
    return f"{run.resolve().parts[-3]}/{treatment(run)}"


def treatment(run: Path) -> str:
    """Its configuration whatever it learns in: results/Pong/dqn+reset/0-1a2b3c4d -> dqn+reset/1a2b3c4d."""
    *_, agent, name = run.resolve().parts
    return f"{agent}/{name.partition('-')[2]}"


def named(groups: Iterable[str], labels: str) -> dict[str, str]:
    """{configuration: what it is called}."""
    keys = list(groups)
    if not keys:
        raise Refused("no runs; name run directories, e.g. results/Pong/*/*")
    names = labels.split(",") if labels else keys
    if len(names) != len(keys):
        raise Refused(f"{len(names)} labels for {len(keys)} configurations: {', '.join(keys)}")
    if len(set(names)) != len(names):
        raise Refused(f"--labels {labels} calls two configurations the same; give each its own")
    return dict(zip(keys, names, strict=True))


def curve(run: Path, tag: str) -> Curve:
    return {row["step"]: row[tag] for row in rows(run) if tag in row}


def summary(curves: Sequence[Curve]) -> Band:
    """Steps that all runs have, [T]; the least, the mean and the largest value there, [T] each."""
    steps = shared(curves)
    if not steps:
        raise Refused("these runs share no step of this tag; they are too short, or the tag is misspelt")
    values = np.array([[c[step] for step in steps] for c in curves])  # [runs, T]
    return np.array(steps), values.min(0), values.mean(0), values.max(0)


def shared(curves: Sequence[Curve]) -> list[float]:
    """The steps that all of them have."""
    return sorted(set.intersection(*(set(c) for c in curves)))


def draw(bands: Mapping[str, Band], tag: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4))
    shade(axis, bands)
    axis.set(title=tag)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)


def shade(axis: "Axes", bands: Mapping[str, Band]) -> None:
    """A line and its band each, against agent steps."""
    for name, (steps, low, middle, high) in bands.items():
        (line,) = axis.plot(steps, middle, label=name, marker="." if len(steps) < 60 else None)
        axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, lw=0)
    axis.set(xlabel="agent steps")
    axis.legend()
    axis.grid(alpha=0.25)


def command(act: Callable[[Flags], None], kind: type[Flags]) -> NoReturn:
    """A command line to its exit code: 0, or 2 with a sentence."""
    try:
        act(tyro.cli(kind))
    except Refused as refusal:
        say(f"error: {refusal}")
        sys.exit(2)
    sys.exit(0)


if __name__ == "__main__":
    command(main, Compare)
