"""A log's rows on disk: immutable chunk files on a fixed grid, shared by checkpoints, and a tail in each checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zstandard

from runs import disk, faults, pack
from runs.manifest import Damaged, Rows, Span, fetch, file_of

CHUNK = 1 << 23  # bytes of a raw chunk: 1,024 rows of an 84 x 84 frame
SLACK = 1 << 16  # for the header
Arrays = Mapping[str, np.ndarray[Any, Any]]


class Log(Protocol):
    """Rows under absolute, growing numbers. Row stop-1 may still change, the rows before it never.

    Who rewrites older rows must give them new numbers and move `start` behind the old ones.
    """

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def row_bytes(self) -> int: ...
    def rows(self, lo: int, hi: int) -> Arrays:
        """Arrays whose first dimension is hi - lo."""
        ...

    def put_rows(self, lo: int, arrays: Arrays) -> None:
        """The inverse, in ascending order from `start` on; ValueError or KeyError for arrays not its own."""
        ...


def rows_per_chunk(row_bytes: int) -> int:
    """The power of two that fills a chunk: 7,056 bytes -> 1,024."""
    return 1 << max(CHUNK // max(row_bytes, 1), 1).bit_length() - 1


def grid(start: int, stop: int, rows: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """The ranges that are complete, and the rest: grid(5, 21, 8) -> [(5, 8), (8, 16)], (16, 21)."""
    sealed = max(stop - 1, start) // rows * rows
    ranges = [(max(lo, start), lo + rows) for lo in range(start // rows * rows, sealed, rows)]
    return ranges, (max(sealed, start), stop)


def kept(folder: Path, log: Log, before: Span | None) -> dict[int, Rows]:
    """The chunks of an earlier span that are good for this one, by their `hi`."""
    if before is None or log.start < before.start or log.stop < before.stop:
        return {}
    ranges, _ = grid(log.start, log.stop, rows_per_chunk(log.row_bytes))
    wanted = {hi: lo for lo, hi in ranges}
    chunks = [piece for piece in before.chunks if piece.hi in wanted and piece.lo <= wanted[piece.hi]]
    return {piece.hi: piece for piece in chunks if (folder / piece.file.name).is_file()}


def expected(folder: Path, log: Log, before: Span | None) -> int:
    """About how many bytes `freeze` will write, at the compression seen so far; nothing seen counts as nothing."""
    ranges, (lo, hi) = grid(log.start, log.stop, rows_per_chunk(log.row_bytes))
    old = kept(folder, log, before)
    rows = sum(b - a for a, b in ranges if b not in old) + hi - lo
    seen = before.pieces if before else ()
    raw, pressed = sum(piece.raw for piece in seen), sum(piece.file.size for piece in seen)
    return rows * log.row_bytes * pressed // max(raw, 1)


def freeze(folder: Path, log: Log, before: Span | None, mark: str) -> tuple[Span, bytes]:
    """Writes the chunks that are complete and not yet there; the tail's bytes are for the caller to write."""
    rows = rows_per_chunk(log.row_bytes)
    ranges, (lo, hi) = grid(log.start, log.stop, rows)
    disk.make(folder)
    old = kept(folder, log, before)
    chunks = [old[b] if b in old else _seal(folder, f"chunk-{a // rows:07d}-{mark}.zst", log, a, b) for a, b in ranges]
    disk.sync(folder)
    tail = [_press(f"tail-{folder.name}.zst", log, lo, hi)] if lo < hi else []
    span = Span(log.start, log.stop, rows, tuple(chunks), tuple(piece for piece, _ in tail))
    return span, b"".join(data for _, data in tail)


def _press(name: str, log: Log, lo: int, hi: int) -> tuple[Rows, bytes]:
    arrays = log.rows(lo, hi)
    wrong = [key for key, array in arrays.items() if array.shape[:1] != (hi - lo,)]
    if wrong:
        raise ValueError(f"rows({lo}, {hi}) gave {wrong[0]!r} the shape {arrays[wrong[0]].shape}")
    raw = pack.to_bytes(arrays)
    data = zstandard.ZstdCompressor(level=1).compress(raw)
    return Rows(file_of(name, data), len(raw), lo, hi), data


def thaw(folder: Path, piece: Rows, limit: int) -> Arrays:
    """The arrays of a piece; refuses to decompress more than `limit` bytes or other than its declared size."""
    data = fetch(folder, piece.file)
    try:
        size = zstandard.frame_content_size(data)
        if size != piece.raw or size > limit:
            raise ValueError(f"{size:,} bytes raw, {piece.raw:,} declared, {limit:,} allowed")
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        arrays = {name: tensor.numpy() for name, tensor in pack.from_bytes(raw).items()}
        if any(array.shape[:1] != (piece.hi - piece.lo,) for array in arrays.values()):
            raise ValueError(f"it does not hold the rows {piece.lo} to {piece.hi}")
    except (ValueError, TypeError, zstandard.ZstdError) as error:
        raise Damaged(f"{folder / piece.file.name} holds no rows of ours ({error})") from error
    return arrays


def restore(run_dir: Path, checkpoint: str, name: str, span: Span, log: Log) -> None:
    """Hands the rows of a span to an empty log, in order, without those that lie before its start."""
    limit = 2 * max(CHUNK, log.row_bytes) + SLACK
    for piece in span.pieces:
        folder = run_dir / (checkpoint if piece in span.tail else name)
        arrays = thaw(folder, piece, limit)
        skip = max(span.start - piece.lo, 0)
        try:
            log.put_rows(piece.lo + skip, {key: array[skip:] for key, array in arrays.items()})
        except (KeyError, ValueError) as error:
            raise Damaged(f"{folder / piece.file.name} holds no rows of ours ({error})") from error


def _seal(folder: Path, name: str, log: Log, lo: int, hi: int) -> Rows:
    piece, data = _press(name, log, lo, hi)
    temporary = folder / f"{name}.tmp"
    disk.write(temporary, data, "chunk-mid")
    faults.point("chunk-before-rename")
    temporary.rename(folder / name)
    return piece
