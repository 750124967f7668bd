"""Pictures of what was read off a run: trainability against training step, and one page of everything.

The page shows what the run recorded and what was measured on its snapshots since, with every event marked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from agents.shelf import Row, kept
from agents.verdict import GATE
from runs import picture

COLUMNS = 3
LINES = 6  # in a panel; those with the shortest names
FITTED = "trainability"
FLOOR = -1.0  # least score that is drawn: what lies below has diverged, or has old values to unlearn
COLORS = ("tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:olive", "tab:gray")  # of events
Series = Mapping[str, Sequence[tuple[float, float]]]  # {tag: [(step, value)]}
Summary = Mapping[str, Any]


def canvas() -> Any:
    """pyplot without a screen."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def trainability(summaries: Mapping[str, Summary], events: Mapping[str, Sequence[float]], path: Path) -> Path:
    """{label of a run: its summary} -> a panel for each part and target: score against step, the fresh band behind."""
    pyplot = canvas()
    rows = [(label, track) for label, summary in summaries.items() for track in summary["tracks"]]
    panels = list(dict.fromkeys((track["part"], track["target"]) for _, track in rows))
    figure, axes = pyplot.subplots(len(panels), 1, squeeze=False, figsize=(8.5, 3.2 * len(panels) + 0.6))
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        for label, track in rows:
            if (track["part"], track["target"]) == panel:
                curve(axis, track, label if len(summaries) > 1 else "")
        budget = next(track for _, track in rows if (track["part"], track["target"]) == panel)
        axis.axhline(GATE, color="gray", lw=0.8, ls=":")
        mark(axis, events)
        size = f"{budget['updates']:,} updates of {budget['batch']}, {budget['repeats']} repeats"
        axis.set_title(f"{' on '.join(panel)} ({size})", loc="left", fontsize=10)
        axis.set(xlabel="agent steps", ylabel="1 - loss / loss of a constant")
        axis.set_ylim(bottom=max(axis.get_ylim()[0], FLOOR))
        axis.legend(fontsize=8, loc="best", framealpha=0.7)
        axis.grid(alpha=0.25)
    title = "trainability beside fresh networks (dashed); where those stay below the dotted line nothing is told"
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    return saved(figure, path)


def curve(axis: Any, track: Mapping[str, Any], label: str) -> None:
    """A line with its interval, and the band of the fresh networks in the same color."""
    words = [label, track["verdict"]] + ([f"learning rate x {track['rate']:g}"] if track["rate"] != 1 else [])
    rows = track["snapshots"]
    steps, scores = ([row[key] for row in rows] for key in ("step", "score"))
    (line,) = axis.plot(steps, scores, marker="o", ms=4, lw=1.4, label=", ".join(word for word in words if word))
    color, known = line.get_color(), "score_interval" in rows[0]
    if known:
        axis.fill_between(steps, *zip(*(row["score_interval"] for row in rows), strict=True), color=color, alpha=0.25)
    fresh = [row["fresh"] for row in rows]
    axis.plot(
        steps,
        fresh,
        color=color,
        lw=1,
        ls="--",
        label="fresh" + (f", learning rate x {track['rate']:g}" if track["rate"] != 1 else ""),
    )
    if known:
        axis.fill_between(steps, *zip(*(row["fresh_interval"] for row in rows), strict=True), color="gray", alpha=0.25)


def mark(axis: Any, events: Mapping[str, Sequence[float]]) -> None:
    """A line at each event; ticks at the foot where they are too many."""
    for color, (name, steps) in zip(COLORS * len(events), events.items(), strict=False):
        high = 1.0 if len(steps) <= picture.MARKED else 0.06
        for i, step in enumerate(steps):
            axis.axvline(step, ymax=high, color=color, lw=0.8, ls="--", alpha=0.7, label=name if i == 0 else None)


def probes(rows: Sequence[Row], events: Mapping[str, Sequence[float]], path: Path) -> Path:
    """A panel for each probe of these rows."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for tag, value in row.items():
            if tag != "step":
                series.setdefault(tag, []).append((row["step"], value))
    return page(series, events, path, path.parent.parent.name)


def report(run: Path, word: str) -> Path:
    """RUN/report.png: what the run recorded, and what was measured on snapshots besides. word: the verdict, for the
    title."""
    series, events = picture.gather(run) if (run / "metrics.jsonl").exists() else ({}, {})
    measured: dict[str, list[tuple[float, float]]] = {}
    for row in kept(run):
        for tag, value in row.items():
            if tag != "step":
                measured.setdefault(tag, []).append((row["step"], value))
    return page({**measured, **series}, events, run / "report.png", f"{'/'.join(run.resolve().parts[-3:])}: {word}")


def page(series: Series, events: Mapping[str, Sequence[float]], path: Path, title: str) -> Path:
    """Small multiples."""
    pyplot, groups = canvas(), panels(series)
    lines = max(1, math.ceil(len(groups) / COLUMNS))
    figure, axes = pyplot.subplots(lines, COLUMNS, squeeze=False, figsize=(5 * COLUMNS, 2.7 * lines + 0.8))
    for axis in axes.flat[len(groups) :]:
        axis.axis("off")
    for axis, (name, tags) in zip(axes.flat, groups.items(), strict=False):
        for tag in tags[:LINES]:
            x, y = zip(*sorted(series[tag]), strict=True)
            axis.plot(x, y, lw=1.1, marker="." if len(x) < 40 else None, label=short(tag, name))
        mark(axis, events)
        more = f" ({len(tags) - LINES} more)" if len(tags) > LINES else ""
        if FITTED in name:
            axis.set_ylim(bottom=max(axis.get_ylim()[0], FLOOR))
        axis.set_title(name + more, loc="left", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6, loc="best", framealpha=0.6)
        axis.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("agent steps", fontsize=9)
    figure.tight_layout()
    return saved(figure, path)


def panels(series: Series) -> dict[str, list[str]]:
    """{title: its tags}: a probe has a panel, each target of trainability too, any other tag that of its first word;
    wall time has none."""
    groups: dict[str, list[str]] = {}
    for tag in ordered(series):
        words = tag.split("/")
        fit = tag.startswith(f"probe/{FITTED}")
        if words[0] not in ("speed", "event") and not (fit and words[-1] in ("loss", "held")):
            depth = 3 if fit else 2 if words[0] == "probe" else 1
            groups.setdefault("/".join(words[:depth]), []).append(tag)
    return dict(sorted(groups.items(), key=lambda group: (group[0].startswith("probe/"), group[0])))


def ordered(series: Series) -> Iterator[str]:
    """Tags with a number, the shortest names first."""
    finite = [tag for tag, points in series.items() if any(math.isfinite(y) for _, y in points)]
    yield from sorted(finite, key=lambda tag: (tag.count("/"), tag))


def short(tag: str, panel: str) -> str:
    """The rest of a tag in its panel."""
    return tag.removeprefix(panel).removeprefix("/").strip() or panel


def saved(figure: Any, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    canvas().close(figure)
    return path


def events_of(run: Path) -> dict[str, list[float]]:
    """{event: its steps} as the run recorded them."""
    return picture.gather(run)[1] if (run / "metrics.jsonl").exists() else {}
