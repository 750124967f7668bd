"""What was read off snapshots: RUN/probes/<probe>.jsonl, a row a snapshot, and the same numbers for TensorBoard."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from runs import disk

FITS = "fits.jsonl"  # the fits that are done: no rows
Row = Mapping[str, float]  # step and tags


def keep(run: Path, name: str, rows: Sequence[Row]) -> Path:
    """Rows of one probe, in place of older ones."""
    path = run / "probes" / f"{name}.jsonl"
    lines = [json.dumps({tag: x if math.isfinite(x) else None for tag, x in row.items()}) + "\n" for row in rows]
    write(path, "".join(lines))
    board(run)
    return path


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with disk.reported(path.parent):
        path.parent.mkdir(exist_ok=True)
        temporary.write_text(text)
        os.replace(temporary, path)


def kept(run: Path) -> Iterator[dict[str, float]]:
    """All rows of all probes of a run's snapshots, null read as NaN."""
    for path in sorted((run / "probes").glob("*.jsonl")):
        if path.name != FITS:
            for line in path.read_text().splitlines():
                yield {tag: math.nan if x is None else x for tag, x in json.loads(line).items()}


def board(run: Path) -> None:
    """TensorBoard shows RUN/probes as a run of its own, written anew from the rows."""
    folder = run / "probes"
    for stale in folder.glob("events.out.tfevents*"):
        stale.unlink()
    writer = SummaryWriter(str(folder))
    for row in kept(run):
        for tag, x in row.items():
            if tag != "step":
                writer.add_scalar(tag, x, int(row["step"]))
    writer.close()
