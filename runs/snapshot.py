"""Snapshots for later probes: networks, optimizer state, config, clock, and replay transitions with each frame once.

snapshots/000010000/  state.safetensors  state.json  replay.zst
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from runs import disk, pack

TRANSITIONS = 4096  # replay transitions kept with a snapshot
LEVEL = 3


def save(run_dir: Path, step: int, state: Mapping[str, Any], replay: Mapping[str, np.ndarray]) -> Path:
    """Written once: a resumed run meets the same snapshot again and leaves it."""
    path = run_dir / "snapshots" / f"{step:09d}"
    if path.exists():
        return path
    temporary = path.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with disk.reported(run_dir):
        try:
            temporary.mkdir(parents=True)
            tensors, rest = pack.encode(state)
            disk.write(temporary / "state.safetensors", tensors)
            disk.write(temporary / "state.json", rest)
            disk.write(temporary / "replay.zst", zstandard.ZstdCompressor(LEVEL).compress(pack.to_bytes(replay)))
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return path


def load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(state, replay arrays) of one snapshot."""
    state = pack.decode((path / "state.safetensors").read_bytes(), (path / "state.json").read_bytes())
    blob = zstandard.ZstdDecompressor().decompress((path / "replay.zst").read_bytes())
    return state, {name: tensor.numpy() for name, tensor in pack.from_bytes(blob).items()}
