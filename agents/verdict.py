"""What the fits of a network come to, beside those of fresh ones (Lyle et al. 2023, arXiv:2303.01486)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from probes.fit import Record, interval

GATE = 0.5  # of the fresh networks' score: below, the budget is too small to tell
VERDICTS = ("lost", "worn", "plastic", "unclear", "unmeasured")  # the worst first
Row = dict[str, Any]


def spread(name: str, values: np.ndarray) -> Row:
    """The mean over repeats with its 95 % bootstrap interval; one repeat has none."""
    row: Row = {name: float(values.mean())}
    return row | {f"{name}_interval": list(interval(values.tolist()))} if len(values) > 1 else row


def levels(prefix: str, records: Sequence[Record]) -> Row:
    """Means over fits: P = b - loss, the last losses, the learning curve, accuracy and the updates to 99 % of it."""
    kinds = [kind for kind in records[0] if kind != "const"]
    curve = {k: {m: float(np.mean([row[k][m] for row in records])) for m in records[0][k]} for k in kinds}
    last = {kind: list(marks.values())[-1] for kind, marks in curve.items()}
    const = float(np.mean([row["const"] for row in records]))
    row: Row = {"const": const, "P": const - last["fit"], "loss": last["fit"], "curve": curve}
    row |= {kind.replace("/", "_"): x for kind, x in last.items() if kind != "fit"}
    if "accuracy" in curve:
        reached = [next((int(m) for m, x in r["accuracy"].items() if x >= 0.99), None) for r in records]
        row["updates_to_99"] = None if None in reached else float(np.mean([m for m in reached if m is not None]))
    return {prefix + name: x for name, x in row.items()}


def verdict(row: Row, repeats: int) -> str:
    """unclear: the budget is too small to tell. plastic: no worse than fresh networks; worn: worse; lost: by half."""
    if repeats < 2 or not row["fresh"] >= GATE:
        return "unclear"
    if row["gap_interval"][0] <= 0:
        return "plastic"
    return "worn" if row["score"] > row["fresh"] / 2 else "lost"
