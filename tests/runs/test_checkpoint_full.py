"""A full disk: our own temporary files go, the old checkpoint stands, one sentence names the folder and the mend."""

import errno
import os
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from rowlog import RowLog, belongs, files, opened, put, restored, same, state_at

from runs import chunks, disk
from runs.checkpoint import DiskFull


@pytest.fixture
def small(tmp_path):
    """A file system of 3 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def noisy(step):
    return {"net": np.random.default_rng(step).bytes(600_000)}


@pytest.mark.parametrize("estimated", [True, False])
def test_a_full_tmpfs(small, monkeypatch, estimated):
    """With the estimate, and with the disk's own word in the middle of a write."""
    if not estimated:
        monkeypatch.setattr(disk, "require", lambda folder, size: None)
    store, log = opened(small / "run"), RowLog().add(20)
    store.save(noisy(1), {"replay": log}, {"steps": 1}, {})
    (small / "filler").write_bytes(bytes(2_000_000))
    before = files(small / "run")
    for _ in range(3):
        with pytest.raises(DiskFull, match=rf"no room in {small}/run .*; make room there") as caught:
            store.save(noisy(2), {"replay": log.add(9)}, {"steps": 2}, {})
        assert caught.value.code == 4
        assert files(small / "run") == before
    assert same(store.load().state, noisy(1))
    (small / "filler").unlink()
    store.save(noisy(2), {"replay": log}, {"steps": 2}, {})
    assert restored(store.load()).content() == log.content()
    assert files(small / "run") == belongs(small / "run")
    store.lock.close()


def test_a_full_tmpfs_at_the_start_of_a_run(small):
    (small / "run").mkdir()
    with open(small / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    with pytest.raises(DiskFull, match="no room"):
        opened(small / "run")
    assert files(small / "run") <= {"LOCK", "owner.json"}


class Disk:
    """os.fsync that runs out of space at its calls `full`."""

    def __init__(self, *full):
        self.full, self.calls = full, 0

    def __call__(self, descriptor):
        self.calls += 1
        if self.calls in self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("at", range(1, 12))
def test_a_disk_that_is_full_once_is_tried_again(tmp_path, monkeypatch, at):
    store, log = opened(tmp_path), RowLog()
    put(store, 1, log.add(20))
    monkeypatch.setattr(os, "fsync", counted := Disk(at))
    put(store, 2, log.add(20))
    assert counted.calls > at
    assert store.load().clock["steps"] == 2
    assert restored(store.load()).content() == log.content()
    assert files(tmp_path) == belongs(tmp_path)
    store.lock.close()


@pytest.mark.parametrize("at", range(1, 12))
def test_a_disk_that_stays_full_leaves_the_old_checkpoint(tmp_path, monkeypatch, at):
    store, log = opened(tmp_path), RowLog()
    put(store, 1, log.add(20))
    content, before = log.content(), files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Disk(*range(at, 99)))
        with pytest.raises(DiskFull):
            put(store, 2, log.add(20))
    if store.load().clock["steps"] == 1:
        assert files(tmp_path) == before
        assert same(store.load().state, state_at(1)) and restored(store.load()).content() == content
    assert files(tmp_path) == belongs(tmp_path)
    put(store, 3, log)
    assert restored(store.load()).content() == log.content()
    store.lock.close()


def test_a_save_that_cannot_fit_writes_nothing(tmp_path, monkeypatch):
    store, log = opened(tmp_path), RowLog().add(20)
    put(store, 1, log)
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=255, f_frsize=4096))
    monkeypatch.setattr(disk, "write", None)
    with pytest.raises(DiskFull, match=r"bytes wanted, 1,044,480 free"):
        put(store, 2, log.add(20))
    store.lock.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
def test_another_error_is_not_called_a_full_disk(tmp_path, monkeypatch, number):
    store = opened(tmp_path)
    put(store, 1, RowLog().add(20))
    before = files(tmp_path)

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        put(store, 2, RowLog().add(30))
    assert not isinstance(caught.value, DiskFull)
    assert files(tmp_path) == before
    store.lock.close()


def test_the_estimate_counts_new_rows_at_the_compression_seen(tmp_path):
    store, log = opened(tmp_path), RowLog(capacity=1000)
    folder = tmp_path / "replay"
    assert chunks.expected(folder, log.add(20), None) == 0
    put(store, 1, log)
    span = store.load().manifest.logs["replay"]
    store.load().restore("replay", log := RowLog(capacity=1000))
    ratio = sum(piece.file.size for piece in span.pieces) / sum(piece.raw for piece in span.pieces)
    log.add(100)  # rows 16 .. 119 are new: 2 chunks of 8 stay
    assert chunks.expected(folder, log, span) == int(104 * 32 * ratio)
    store.lock.close()
