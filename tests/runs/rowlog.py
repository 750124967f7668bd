"""What the checkpoint tests share: a small ring of rows, and comparison to the last bit."""

import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from runs import checkpoint
from runs.checkpoint import Loaded, Store
from runs.lock import RunLock

CHUNK = 256  # bytes, so that a chunk holds 8 of our rows
FINGERPRINT = {"torch": "2.13", "threads": "1"}


class RowLog:
    """The newest `capacity` rows. A row's frame says which row it is; its reward is completed one row later."""

    row_bytes = 32

    def __init__(self, capacity: int = 40, salt: int = 0) -> None:
        self.capacity, self.salt, self.start, self.stop = capacity, salt, 0, 0
        self.frame = np.zeros((capacity, 24), np.uint8)
        self.reward = np.zeros(capacity)

    def add(self, n: int) -> "RowLog":
        for _ in range(n):
            self.reward[(self.stop - 1) % self.capacity] += 0.5
            self.frame[self.stop % self.capacity] = (self.stop * 7 + self.salt + np.arange(24)) % 251
            self.reward[self.stop % self.capacity] = self.stop
            self.stop += 1
            self.start = max(self.start, self.stop - self.capacity)
        return self

    def thin(self, keep=0.0) -> None:
        self.start = self.stop

    def rows(self, lo: int, hi: int) -> dict[str, np.ndarray]:
        assert self.start <= lo < hi <= self.stop
        at = np.arange(lo, hi) % self.capacity
        return {"frame": self.frame[at], "reward": self.reward[at]}

    def put_rows(self, lo: int, arrays: dict[str, np.ndarray]) -> None:
        if {name: array.shape[1:] for name, array in arrays.items()} != {"frame": (24,), "reward": ()}:
            raise ValueError(f"arrays {', '.join(arrays)}")
        at = np.arange(lo, lo + len(arrays["frame"])) % self.capacity
        if self.start == self.stop:
            self.start = self.stop = lo
        assert lo == self.stop
        self.frame[at], self.reward[at] = arrays["frame"], arrays["reward"]
        self.stop += len(at)

    def content(self) -> tuple[int, int, bytes]:
        arrays = self.rows(self.start, self.stop) if self.stop > self.start else {}
        return self.start, self.stop, b"".join(array.tobytes() for array in arrays.values())


def state_at(step: int) -> dict[str, Any]:
    weights = torch.arange(12.0).reshape(3, 4) * step
    return {"net": {"weight": weights, "age": step}, "rng": (1 << 127) + step, "name": "dqn"}


def put(store: Store, step: int, log: RowLog, **options: Any) -> None:
    store.save(state_at(step), {"replay": log}, {"steps": step}, {"metrics": 10 * step}, **options)


def opened(run_dir: Any) -> Store:
    return Store(RunLock(run_dir), FINGERPRINT)


def restored(loaded: Loaded | None, capacity: int = 40) -> RowLog:
    assert loaded is not None
    log = RowLog(capacity)
    loaded.restore("replay", log)
    return log


def same(a: Any, b: Any) -> bool:
    """Equal in type and bits, at every depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return struct.pack("d", a) == struct.pack("d", b) if isinstance(a, float) else a == b


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.detach().flatten().view(torch.uint8).tolist() if tensor.numel() else []


def files(run_dir: Any) -> set[str]:
    return {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()}


def belongs(run_dir: Any) -> set[str]:
    """The files of a run directory in which nothing is astray."""
    names = {"LOCK", "owner.json"}
    for name in (checkpoint.CURRENT, checkpoint.PREVIOUS):
        if (run_dir / name).exists():
            found = checkpoint.manifest.read(run_dir / name)
            pieces = [(log, piece) for log, span in found.logs.items() for piece in span.chunks]
            tails = [piece.file for span in found.logs.values() for piece in span.tail]
            names |= {name, *(f"{log}/{piece.file.name}" for log, piece in pieces)}
            names |= {f"{found.checkpoint}/{file.name}" for file in (*found.parts, *tails)}
    return names


def forked(body: Callable[[], None]) -> int:
    """Runs `body` in a child; its exit code, negative for a signal. No import of torch to wait for."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
