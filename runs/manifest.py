"""MANIFEST.json: which files are the checkpoint, with size and SHA-256 of each; whoever replaces it commits."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

SCHEMA = 1
CURRENT, PREVIOUS = "MANIFEST.json", "MANIFEST.json.prev"
PARTS = ("state.safetensors", "state.json")
MEND = "restore it from a copy, or start again in another directory with --out"
T = TypeVar("T")


class Damaged(ValueError):
    """A checkpoint that must not be loaded; `what` is the sentence without the mend."""

    code = 2

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; {MEND}")
        self.what = what


@dataclass(frozen=True)
class File:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Rows:
    """A file with the rows lo .. hi-1 of a log; `raw` is its size decompressed."""

    file: File
    raw: int
    lo: int
    hi: int


@dataclass(frozen=True)
class Span:
    """A log's rows start .. stop-1: chunks of `rows` rows on a fixed grid, then a tail in the checkpoint."""

    start: int
    stop: int
    rows: int
    chunks: tuple[Rows, ...]
    tail: tuple[Rows, ...]  # none or one

    @property
    def pieces(self) -> tuple[Rows, ...]:
        return self.chunks + self.tail


@dataclass(frozen=True)
class Manifest:
    checkpoint: str
    parts: tuple[File, ...]
    logs: Mapping[str, Span]
    digest: str
    clock: Mapping[str, int]
    extra: Mapping[str, Any]
    exact: bool
    reason: str
    fingerprint: Mapping[str, str]

    def files(self) -> set[str]:
        """What may not be deleted, relative to the run directory."""
        chunks = {f"{log}/{piece.file.name}" for log, span in self.logs.items() for piece in span.chunks}
        return {self.checkpoint} | chunks


def file_of(name: str, data: bytes) -> File:
    return File(name, len(data), hashlib.sha256(data).hexdigest())


def fetch(folder: Path, file: File) -> bytes:
    """The bytes of a file, exactly those that were written, or Damaged."""
    path = folder / file.name
    if not path.is_file():
        raise Damaged(f"{path} is missing")
    size = path.stat().st_size
    if size != file.size:
        raise Damaged(f"{path} is damaged ({size:,} bytes instead of {file.size:,})")
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise Damaged(f"{path} is damaged (its SHA-256 differs from the manifest's)")
    return data


def render(manifest: Manifest) -> bytes:
    """A manifest has one spelling, and holds the SHA-256 of the rest of itself."""
    return _sealed(asdict(manifest) | {"schema": SCHEMA})


def read(path: Path) -> Manifest:
    if not path.is_file():
        raise Damaged(f"{path} is missing")
    data = _read(path)
    try:
        body = json.loads(data)
        del body["sha256"]
        if _take(body, "schema", int) != SCHEMA:
            raise ValueError(f"it has schema {body['schema']}, this version reads {SCHEMA}")
        if _sealed(body) != data:
            raise ValueError("its SHA-256 differs")
        return _manifest(body)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Damaged(f"{path} is not a manifest of ours or damaged ({error})") from error


def plain(name: str) -> str:
    """A file name that stays in its folder."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(f"{name[:40]!r} is not a plain name; use letters, digits, '_', '.' and '-'")
    return name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})") from error


def _sealed(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, allow_nan=False)
    sealed = body | {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    return json.dumps(sealed, sort_keys=True, allow_nan=False, indent=1).encode()


def _take(body: dict[str, Any], key: str, kind: type[T]) -> T:
    value = body[key]
    if type(value) is not kind:
        raise ValueError(f"{key!r} is no {kind.__name__}")
    return value


def _count(body: dict[str, Any], key: str) -> int:
    n = _take(body, key, int)
    if n < 0:
        raise ValueError(f"{key!r} is {n}")
    return n


def _file(body: dict[str, Any]) -> File:
    return File(plain(_take(body, "name", str)), _count(body, "size"), _take(body, "sha256", str))


def _rows(body: dict[str, Any]) -> Rows:
    return Rows(_file(_take(body, "file", dict)), _count(body, "raw"), _count(body, "lo"), _count(body, "hi"))


def _span(body: dict[str, Any]) -> Span:
    chunks, tail = (tuple(_rows(piece) for piece in _take(body, key, list)) for key in ("chunks", "tail"))
    span = Span(_count(body, "start"), _count(body, "stop"), _count(body, "rows"), chunks, tail)
    edges = [max(piece.lo, span.start) for piece in span.pieces] + [span.stop]
    ends = [span.start] + [piece.hi for piece in span.pieces]
    if edges != ends or any(lo >= hi for lo, hi in pairwise(edges)):
        raise ValueError(f"the rows {span.start} to {span.stop} have gaps")
    return span


def _parts(body: dict[str, Any]) -> tuple[File, ...]:
    parts = tuple(_file(part) for part in _take(body, "parts", list))
    if tuple(part.name for part in parts) != PARTS:
        raise ValueError(f"its parts are not {' and '.join(PARTS)}")
    return parts


def _manifest(body: dict[str, Any]) -> Manifest:
    clock = _take(body, "clock", dict)
    return Manifest(
        checkpoint=plain(_take(body, "checkpoint", str)),
        parts=_parts(body),
        logs={plain(name): _span(log) for name, log in _take(body, "logs", dict).items()},
        digest=_take(body, "digest", str),
        clock={unit: _count(clock, unit) for unit in clock},
        extra=_take(body, "extra", dict),
        exact=_take(body, "exact", bool),
        reason=_take(body, "reason", str),
        fingerprint=_take(body, "fingerprint", dict),
    )
