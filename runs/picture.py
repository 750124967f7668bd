"""The picture of a run: return, loss, Q, dormant units and norm against agent steps, events marked.

`python -m runs.picture RUN` draws it again at any time.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from runs.progress import say
from runs.record import rows

PANELS = (
    ("return", ("return/train", "return/eval")),
    ("return per visit of a task", ("return/visit/",)),
    ("accuracy while learning", ("accuracy",)),
    ("per task: mean accuracy while learning, accuracy at its end", ("task/accuracy", "task/final/accuracy/")),
    ("loss", ("loss/",)),
    ("Q", ("q/",)),
    ("entropy and temperature of the policy", ("policy/",)),
    ("dormant units (fraction)", ("probe/dormant", "probe/dormant/dead")),
    ("parameter norm", ("probe/norm",)),
)
MARKED = 60  # more events than this become a rug of ticks at the foot of each panel
SMOOTHED = 20  # finished games in the running mean of return/train


def draw(run_dir: Path) -> Path:
    """run.png in the run directory, from metrics.jsonl alone."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    series, events = gather(run_dir)
    panels = [(title, tags) for title, prefixes in PANELS if (tags := chosen(series, prefixes))]
    count = max(1, len(panels))
    figure, axes = plt.subplots(count, 1, sharex=True, squeeze=False, figsize=(9, 2.2 * count + 1))
    for axis, (title, tags) in zip(axes[:, 0], panels, strict=False):
        for tag in tags:
            x, y = np.array(series[tag]).T
            faint = tag == "return/train" and len(x) > SMOOTHED
            axis.plot(
                x,
                y,
                lw=0.6 if faint else 1.2,
                alpha=0.35 if faint else 1,
                marker="." if len(x) < 40 else None,
                label=tag,
            )
            if faint:
                mean = np.convolve(y, np.full(SMOOTHED, 1 / SMOOTHED), "valid")
                axis.plot(x[SMOOTHED - 1 :], mean, lw=1.4, label=f"mean of {SMOOTHED} games")
        axis.set_title(title, loc="left", fontsize=9)
        for color, (name, steps) in zip(
            ("tab:red", "tab:purple", "tab:brown", "tab:pink"), events.items(), strict=False
        ):
            high = 1.0 if len(steps) <= MARKED else 0.06
            for i, step in enumerate(steps):
                axis.axvline(step, ymax=high, color=color, lw=0.8, ls="--", label=name if i == 0 else None)
        axis.legend(fontsize=7, loc="best", ncols=3, framealpha=0.6)
        axis.grid(alpha=0.25)
    axes[-1, 0].set_xlabel("agent steps")
    figure.suptitle("/".join(run_dir.resolve().parts[-3:]), fontsize=10)
    figure.tight_layout()
    path = run_dir / "run.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def gather(run_dir: Path) -> tuple[dict[str, list[tuple[float, float]]], dict[str, list[float]]]:
    """{tag: [(step, value)]}, {event: [steps]}."""
    series, events = defaultdict(list), defaultdict(list)
    for row in rows(run_dir):
        for tag, value in row.items():
            if tag.startswith("event/") and tag.count("/") == 1:
                events[tag].append(row["step"])
            elif tag != "step":
                series[tag].append((row["step"], value))
    return series, events


def chosen(series: dict[str, list[tuple[float, float]]], prefixes: tuple[str, ...]) -> list[str]:
    """The tags of a panel: whole names, or everything below a prefix that ends in a slash."""
    return [t for t in sorted(series) if any(t == p or (p.endswith("/") and t.startswith(p)) for p in prefixes)]


if __name__ == "__main__":
    say(str(draw(Path(sys.argv[1]))))
