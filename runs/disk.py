"""Writes that survive a crash, and one sentence when the disk is full."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runs import faults

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """No room for a checkpoint; the previous one stands."""

    code = 4


def write(path: Path, data: bytes, middle: str = "") -> None:
    """A new file, on the disk when this returns; `middle` names the fault point between its halves."""
    half = len(data) // 2
    with open(path, "xb") as file:
        file.write(memoryview(data)[:half])
        file.flush()
        if middle:
            faults.point(middle)
        file.write(memoryview(data)[half:])
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Names are data of their folder: a rename is on the disk only after this."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make(folder: Path) -> None:
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in FULL


def require(folder: Path, size: int) -> None:
    """Raises what a full disk would, before anything is written."""
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free < size:
        raise OSError(errno.ENOSPC, f"{size:,} bytes wanted, {free:,} free")


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """A full disk becomes DiskFull, with the folder and the mend."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DiskFull) or not full(error):
            raise
        mend = "make room there and start the same command again"
        raise DiskFull(error.errno, f"no room in {folder} ({error.strerror}); {mend}") from error
