"""Checkpoints that are whole or absent (docs/reliability.md, section 2): temp, fsync, rename, manifest, collect.

save:  chunk files; ckpt-*.tmp with its parts, all fsynced; rename; MANIFEST.json replaced = commit; collect the rest
load:  MANIFEST.json, each file against its size and SHA-256; else MANIFEST.json.prev, with a note; else Damaged
"""

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runs import chunks, disk, faults, manifest, pack
from runs.chunks import Log
from runs.disk import DiskFull
from runs.lock import RunLock
from runs.manifest import CURRENT, PARTS, PREVIOUS, Damaged, Manifest, Span

__all__ = ("Damaged", "DiskFull", "Loaded", "Log", "Store", "load")

OURS = re.compile(r"(ckpt-\d{9,}|chunk-\d{7,}|MANIFEST)-[0-9a-f]{8}(\.zst|\.prev)?(\.tmp)?")
MARGIN = 1 << 20  # free space beyond the estimate: manifest, folders, rounding to blocks


@dataclass(frozen=True)
class Loaded:
    """A verified checkpoint; `notes` are sentences for the user."""

    run_dir: Path
    manifest: Manifest
    state: dict[str, Any]
    notes: list[str]
    restored: dict[str, Log] = field(default_factory=dict)

    @property
    def clock(self) -> dict[str, int]:
        return dict(self.manifest.clock)

    @property
    def extra(self) -> dict[str, Any]:
        return dict(self.manifest.extra)

    @property
    def exact(self) -> bool:
        return self.manifest.exact

    @property
    def reason(self) -> str:
        return self.manifest.reason

    @property
    def fingerprint(self) -> dict[str, str]:
        return dict(self.manifest.fingerprint)

    @property
    def digest(self) -> str:
        return self.manifest.digest

    def restore(self, name: str, log: Log) -> None:
        """Fills an empty log; from now on its chunks need not be written again."""
        if name not in self.manifest.logs:
            have = ", ".join(self.manifest.logs) or "none"
            raise Damaged(f"{self.run_dir} has no log {name!r} in its checkpoint; it has {have}")
        chunks.restore(self.run_dir, self.manifest.checkpoint, name, self.manifest.logs[name], log)
        self.restored[name] = log


def load(run_dir: Path) -> Loaded | None:
    """The newest whole checkpoint; None if there never was one. Writes nothing and needs no lock."""
    paths = [run_dir / CURRENT, run_dir / PREVIOUS]
    if not any(path.exists() for path in paths):
        if _lost(run_dir):
            raise Damaged(f"{run_dir} holds checkpoints but {CURRENT} is missing")
        return None
    failures: list[str] = []
    for path in paths:
        try:
            return _verified(run_dir, path, failures)
        except Damaged as error:
            failures.append(error.what)
    raise Damaged("; ".join(failures))


def _verified(run_dir: Path, path: Path, failures: list[str]) -> Loaded:
    """Reads every file of a checkpoint; chunks are read again when their log is restored."""
    found = manifest.read(path)
    folder = run_dir / found.checkpoint
    blob, text = (manifest.fetch(folder, part) for part in found.parts)
    try:
        state = pack.decode(blob, text)
    except ValueError as error:
        raise Damaged(f"{folder} holds no state of ours ({error})") from error
    for name, span in found.logs.items():
        for piece in span.pieces:
            manifest.fetch(folder if piece in span.tail else run_dir / name, piece.file)
    notes = [f"{failure}; continuing from the previous checkpoint, {found.checkpoint}" for failure in failures]
    return Loaded(run_dir, found, state, notes)


def _lost(run_dir: Path) -> bool:
    """Two checkpoints without a manifest: a first save that died leaves one at most."""
    names = [path.name for path in run_dir.glob("ckpt-*") if OURS.fullmatch(path.name)]
    return sum(not name.endswith(".tmp") for name in names) > 1


def _kept(run_dir: Path) -> set[str] | None:
    """What the manifests reference; None if one of them cannot be read."""
    paths = [path for path in (run_dir / CURRENT, run_dir / PREVIOUS) if path.exists()]
    try:
        return None if not paths and _lost(run_dir) else set[str]().union(*(manifest.read(p).files() for p in paths))
    except Damaged:
        return None


def _strays(run_dir: Path) -> list[Path]:
    """Our temporary files, and what no manifest references if that is known."""
    kept = _kept(run_dir)
    ours = [path for path in (*run_dir.iterdir(), *run_dir.glob("*/chunk-*")) if OURS.fullmatch(path.name)]
    named = {path: path.relative_to(run_dir).as_posix() for path in ours}
    return [path for path in ours if path.suffix == ".tmp" or (kept is not None and named[path] not in kept)]


class Store:
    """The checkpoints of one run directory, under its lock."""

    def __init__(self, lock: RunLock, fingerprint: Mapping[str, str]) -> None:
        self.run_dir = lock.run_dir
        self.lock = lock
        self.fingerprint = dict(fingerprint)
        self._base: Manifest | None = None  # what is committed, or was loaded
        self._known: dict[str, Log] = {}  # logs whose rows are those of the base
        self._collect()

    def load(self) -> Loaded | None:
        loaded = load(self.run_dir)
        if loaded:
            self._base, self._known = loaded.manifest, loaded.restored
        return loaded

    def save(
        self,
        state: Mapping[str, Any],
        logs: Mapping[str, Log],
        clock: Mapping[str, int],
        extra: Mapping[str, Any],
        exact: bool = True,
        reason: str = "",
    ) -> None:
        """Commits a checkpoint. `extra` is JSON; `reason` says why a resume will not be exact."""
        if self._base is None and any((self.run_dir / name).exists() for name in (CURRENT, PREVIOUS)):
            raise Damaged(f"{self.run_dir} holds a checkpoint that was not loaded")
        logs = {manifest.plain(name): log for name, log in logs.items()}
        parts = dict(zip(PARTS, pack.encode(state), strict=True))
        about: dict[str, Any] = {
            "digest": pack.encoded_digest(*parts.values()),
            "clock": dict(clock),
            "extra": dict(extra),
        }
        about |= {"exact": exact, "reason": reason, "fingerprint": self.fingerprint}
        with disk.reported(self.run_dir):
            try:
                self._attempt(parts, logs, about)
            except OSError as error:
                if not disk.full(error):
                    raise
                self._attempt(parts, logs, about)  # our own temporary files are gone now

    def _attempt(self, parts: dict[str, bytes], logs: Mapping[str, Log], about: dict[str, Any]) -> None:
        try:
            self._commit(parts, logs, about)
        except BaseException:
            self._collect()
            raise

    def _commit(self, parts: dict[str, bytes], logs: Mapping[str, Log], about: dict[str, Any]) -> None:
        self.lock.check()
        self._require_room(parts, logs)
        mark = secrets.token_hex(4)
        checkpoint = f"ckpt-{about['clock'].get('steps', 0):09d}-{mark}"
        frozen = {
            name: chunks.freeze(self.run_dir / name, log, self._before(name, log), mark) for name, log in logs.items()
        }
        spans = {name: span for name, (span, _) in frozen.items()}
        tails = {piece.file.name: tail for span, tail in frozen.values() for piece in span.tail}
        self._write(checkpoint, parts | tails)
        files = tuple(manifest.file_of(name, data) for name, data in parts.items())
        self._publish(Manifest(checkpoint=checkpoint, parts=files, logs=spans, **about), mark)
        self._known = dict(logs)
        self._collect()
        faults.point("saved")

    def _before(self, name: str, log: Log) -> Span | None:
        """The committed span of a log, if it is the very log that was saved or restored: else its rows may differ."""
        return self._base.logs.get(name) if self._base and self._known.get(name) is log else None

    def _require_room(self, parts: Mapping[str, bytes], logs: Mapping[str, Log]) -> None:
        rows = sum(chunks.expected(self.run_dir / name, log, self._before(name, log)) for name, log in logs.items())
        disk.require(self.run_dir, rows + sum(map(len, parts.values())) + MARGIN)

    def _write(self, checkpoint: str, parts: Mapping[str, bytes]) -> None:
        temporary = self.run_dir / f"{checkpoint}.tmp"
        temporary.mkdir()
        for name, data in parts.items():
            disk.write(temporary / name, data)
            faults.point("part")
        disk.sync(temporary)
        temporary.rename(self.run_dir / checkpoint)
        disk.sync(self.run_dir)
        faults.point("dir-renamed")

    def _publish(self, new: Manifest, mark: str) -> None:
        """The old manifest is kept as .prev, the new one takes its place: that is the commit."""
        temporary, older = self.run_dir / f"MANIFEST-{mark}.tmp", self.run_dir / f"MANIFEST-{mark}.prev.tmp"
        disk.write(temporary, manifest.render(new), "manifest-mid")
        if self._base:
            disk.write(older, manifest.render(self._base))
        faults.point("manifest-before-rename")
        self.lock.check()
        if self._base:
            os.replace(older, self.run_dir / PREVIOUS)
        os.replace(temporary, self.run_dir / CURRENT)
        faults.point("manifest-after-rename")
        disk.sync(self.run_dir)
        self._base = new

    def _collect(self) -> None:
        for path in _strays(self.run_dir):
            self.lock.check()
            faults.point("gc")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
