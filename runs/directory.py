"""A run directory: one config, one process at a time, and a note when it is done.

run/  LOCK  owner.json  config.json  provenance.json  metrics.jsonl  events...  run.png  MANIFEST.json  DONE
run/ckpt-*/  run/replay/  run/snapshots/
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from runs import disk
from runs.fingerprint import provenance

CONFIG, DONE = "config.json", "DONE"


def changes(path: Path, config: Mapping[str, Any], odd: Collection[str], free: Collection[str]) -> list[str]:
    """Why this command line cannot continue the run at `path`; [] if it can, or if there is none.

    odd: settings that differ from their defaults, so that a flag younger than the run counts only if it is used.
    """
    if not (path / CONFIG).exists():
        return [f"{path} is not a run directory and not empty; choose another --out"] if strangers(path) else []
    try:
        saved = dict(json.loads((path / CONFIG).read_text()))
    except (ValueError, TypeError) as error:
        return [f"{path / CONFIG} cannot be read ({error}); put it back or choose another --out"]
    rows = []
    for key in [k for k in config if k not in free and (k in saved or k in odd)]:
        if saved.get(key) != config[key]:
            rows.append(f"cannot resume: {key} is {saved.get(key)} in {path}, {config[key]} in the command")
    return rows and [*rows, "choose another --out, or leave it out: every configuration then has its own directory"]


def strangers(path: Path) -> bool:
    return path.exists() and (
        not path.is_dir() or any(p.name not in ("LOCK", "owner.json") and p.suffix != ".tmp" for p in path.iterdir())
    )


def finished(path: Path) -> int:
    """The agent steps at which the run was done; 0 if it is not, or if its mark cannot be read."""
    try:
        return int(json.loads((path / DONE).read_text())["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def describe(path: Path, config: Mapping[str, Any], root: Path) -> None:
    """config.json (flags as typed) and provenance.json (line, versions, commit, dirty diff)."""
    write(path / CONFIG, config)
    write(path / "provenance.json", provenance(root))


def mark_done(path: Path, clock: Mapping[str, int]) -> None:
    write(path / DONE, clock)


def reopen(path: Path) -> None:
    """An extended run is no longer done."""
    (path / DONE).unlink(missing_ok=True)


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with disk.reported(path.parent):
        try:
            temporary.write_text(json.dumps(value, indent=1) + "\n")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
