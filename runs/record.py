"""The record of a run: metrics.jsonl is the source for analysis, TensorBoard the same numbers for the eye.

One JSON object a row: `step` (agent steps) and tags; null where a number is not finite. Tags under speed/ hold wall
time: they are the only ones that a resumed or repeated run does not reproduce.
"""

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from runs import disk

METRICS = "metrics.jsonl"
DASHBOARD = {
    "Run": {
        "return": ["Multiline", ["return/.*"]],
        "accuracy": ["Multiline", ["accuracy", "task/(final/)?accuracy.*"]],
        "loss": ["Multiline", ["loss/.*"]],
        "Q": ["Multiline", ["q/.*"]],
        "dormant units": ["Multiline", ["probe/dormant.*"]],
        "resets": ["Multiline", ["event/[^/]*$"]],
    }
}


class Recorder:
    """Appends rows. `cursor`: bytes of metrics.jsonl that a checkpoint vouches for; what lies behind is cut off.
    `own` raises where another process has taken the run directory over."""

    def __init__(self, run_dir: Path, cursor: int = 0, step: int = 0, own: Callable[[], None] = lambda: None) -> None:
        self.own = own
        self.path = run_dir / METRICS
        self.path.touch()
        os.truncate(self.path, min(cursor, self.path.stat().st_size))
        self.file = self.path.open("ab", buffering=0)
        self.late = b""  # rows that could not be written yet
        if not cursor:  # nothing is kept of a run that died before its first checkpoint
            for stale in run_dir.glob("events.out.tfevents*"):
                stale.unlink()
        self.board = SummaryWriter(str(run_dir), purge_step=step + 1 if cursor else None)
        self.events: Any = self.board._get_file_writer()  # type: ignore[no-untyped-call]  # one Summary for a whole row
        if not cursor:
            self.board.add_custom_scalars(DASHBOARD)

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """A row at `step` agent steps; nothing is written for an empty one."""
        if not row:
            return
        finite = {tag: value if math.isfinite(value) else None for tag, value in row.items()}
        self.late += json.dumps({"step": step, **finite}).encode() + b"\n"
        self.push()
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in row.items()]
        try:
            self.events.add_summary(Summary(value=values), step)
        except OSError as error:  # its thread has died; metrics.jsonl has the row
            warnings.warn(f"TensorBoard in {self.path.parent} cannot be written: {error}", stacklevel=2)

    def push(self) -> None:
        """A record that cannot be written warns and waits: the run goes on."""
        self.own()
        try:
            while self.late:
                self.late = self.late[self.file.write(self.late) :]
        except OSError as error:
            warnings.warn(f"{self.path} cannot be written, its rows wait: {error}", stacklevel=3)

    def flush(self) -> int:
        """Everything to the disk; the bytes of metrics.jsonl for the checkpoint."""
        self.push()
        with disk.reported(self.path.parent):
            if self.late:
                raise OSError(ENOSPC, f"{self.path} cannot be written")
            os.fsync(self.file.fileno())
            self.board.flush()
        return self.path.stat().st_size

    def close(self) -> None:
        with suppress(OSError):  # of a full disk, which has been reported
            self.board.close()
        self.file.close()


def rows(run_dir: Path) -> Iterator[dict[str, float]]:
    """The rows of a run, null read as NaN; a last line cut off by a crash is left out."""
    with (run_dir / METRICS).open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield {tag: math.nan if value is None else value for tag, value in json.loads(line).items()}
