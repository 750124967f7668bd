"""Whether a run directory holds what the run left alone holds, to the last bit, and nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from runs import checkpoint, chunks, manifest, pack
from runs.manifest import Damaged, Span
from runs.record import METRICS

EXPECTED = re.compile(
    r"LOCK|owner\.json|config\.json|provenance\.json|metrics\.jsonl|events\.out\.tfevents\.[^/]+|run\.png|DONE"
    r"|MANIFEST\.json|MANIFEST\.json\.prev|snapshots/\d{9}/(state\.safetensors|state\.json|replay\.zst)"
)
SUMS = ("digest", "DONE", "clock")  # they say that something differs, not what


class Rows:
    """A log that keeps what it is given."""

    row_bytes = chunks.CHUNK

    def __init__(self, span: Span) -> None:
        self.start, self.stop = span.start, span.stop
        self.pieces: list[dict[str, np.ndarray]] = []

    def put_rows(self, lo: int, arrays: dict[str, np.ndarray]) -> None:
        self.pieces.append(dict(arrays))

    def columns(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate([piece[name] for piece in self.pieces]) for name in self.pieces[0]}


def differences(run_dir: Path, reference: Path) -> list[str]:
    """Sentences on what differs: state, replay, metrics, snapshots, DONE, files; [] if the runs are equal."""
    try:
        mine, theirs = content(run_dir), content(reference)
    except Damaged as error:
        return [str(error)]
    found = [f"only one has {key}" for key in sorted(mine.keys() ^ theirs.keys())]
    odd = {key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key]}
    found += [f"{key} differs" for key in sorted(odd, key=lambda key: (key in SUMS, key))]
    rows = metrics(run_dir), metrics(reference)
    if rows[0] != rows[1]:
        first = next((i for i, (a, b) in enumerate(zip(*rows, strict=False)) if a != b), min(map(len, rows)))
        found.append(f"{len(rows[0])} metrics rows for {len(rows[1])}; row {first} is the first to differ")
    return found + strays(run_dir)


def content(run_dir: Path) -> dict[str, Any]:
    """{path: value} of all that must be equal."""
    loaded = checkpoint.load(run_dir)
    assert loaded is not None
    tensors, rest = pack.split(loaded.state)
    values = {path: (str(x.dtype), tuple(x.shape), np.asarray(x).tobytes()) for path, x in tensors.items()}
    values |= dict(leaves(rest, "state"))
    for name, span in loaded.manifest.logs.items():
        rows = Rows(span)
        loaded.restore(name, rows)
        values |= {f"{name}/{column}": x.tobytes() for column, x in rows.columns().items()}
        values |= {f"{name}/span": (span.start, span.stop)}
    values |= {"digest": loaded.digest, "exact": (loaded.exact, loaded.reason), "clock": loaded.clock}
    files = [path for path in run_dir.glob("snapshots/*/*") if path.is_file()] + [run_dir / "DONE"]
    return values | {str(path.relative_to(run_dir)): path.read_bytes() for path in files}


def leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in a tree of JSON."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield path, node
    else:
        for key, item in items:
            yield from leaves(item, f"{path}/{key}")


def metrics(run_dir: Path) -> list[str]:
    """Every row as text, without the tags of wall time."""
    lines = (json.loads(line) for line in (run_dir / METRICS).read_text().splitlines())
    return [json.dumps({tag: x for tag, x in line.items() if not tag.startswith("speed/")}) for line in lines]


def strays(run_dir: Path) -> list[str]:
    """Files that no manifest names and no run leaves behind."""
    named = [manifest.read(path) for path in run_dir.glob("MANIFEST.json*")]
    kept = {name for each in named for name in each.files()}
    files = [str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()]
    odd = [name for name in files if not EXPECTED.fullmatch(name) and not {name, name.partition("/")[0]} & kept]
    missing = [name for name in kept if not (run_dir / name).exists()]
    return [f"stray file {name}" for name in odd] + [f"{name} is missing" for name in missing]
