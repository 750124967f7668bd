"""One process in a run directory: flock on LOCK, and a nonce in owner.json that every commit reads again."""

import fcntl
import json
import os
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runs import disk

_held: set[int] = set()


def _forget() -> None:
    """A forked child must not keep the lock of a parent that dies."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


class Locked(RuntimeError):
    """Another process owns the run directory."""

    code = 3


class RunLock:
    """The right to write in a run directory, from construction to `close`."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.nonce = secrets.token_hex(8)
        self._pid = os.getpid()
        with disk.reported(run_dir):
            disk.make(run_dir)
            self._descriptor = self._acquire()
            self._sign()

    def check(self) -> None:
        """Raises Locked if we are no longer the owner: a process that slept may wake to find a second one."""
        if os.getpid() != self._pid or self._descriptor not in _held:
            raise Locked(f"{self.run_dir} is locked by another process than this one; write from process {self._pid}")
        owner = read_owner(self.run_dir)
        if owner.get("nonce") != self.nonce:
            raise Locked(f"{self.run_dir} was taken over by {_spell(owner)}; this process may no longer write there")

    def close(self) -> None:
        if os.getpid() == self._pid and self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _acquire(self) -> int:
        descriptor = os.open(self.run_dir / "LOCK", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            owner = _spell(read_owner(self.run_dir))
            raise Locked(f"{self.run_dir} is in use by {owner}; wait for it to end or choose another --out") from None
        except OSError as error:
            os.close(descriptor)
            raise Locked(
                f"{self.run_dir} cannot be locked ({error.strerror}); choose an --out on a disk with flock"
            ) from error
        _held.add(descriptor)
        return descriptor

    def _sign(self) -> None:
        """In place: whoever reads half of it learns that it is not the owner, which is true."""
        owner = {"pid": self._pid, "host": socket.gethostname(), "nonce": self.nonce}
        try:
            (self.run_dir / "owner.json").write_text(json.dumps(owner))
        except BaseException:
            self.close()
            raise


def read_owner(run_dir: Path) -> dict[str, Any]:
    """What owner.json says; {} if it says nothing."""
    try:
        owner = json.loads((run_dir / "owner.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _spell(owner: dict[str, Any]) -> str:
    return f"process {owner['pid']} on {owner['host']}" if {"pid", "host"} <= owner.keys() else "another process"
