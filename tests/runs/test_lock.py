"""One process in a run directory, and a sentence for the second."""

import errno
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from rowlog import forked

from runs import lock
from runs.disk import DiskFull
from runs.lock import Locked, RunLock

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def refused(call):
    with pytest.raises(Locked):
        call()


def test_a_second_lock_names_the_process_that_has_the_first(tmp_path):
    before = set(lock._held)
    with RunLock(tmp_path / "run"), pytest.raises(Locked) as caught:
        RunLock(tmp_path / "run")
    assert f"in use by process {os.getpid()} on {socket.gethostname()}" in str(caught.value)
    assert "--out" in str(caught.value)
    assert caught.value.code == 3
    assert lock._held == before


def test_a_second_process_is_refused(tmp_path):
    with RunLock(tmp_path):
        assert forked(lambda: refused(lambda: RunLock(tmp_path))) == 0


def test_a_closed_lock_can_be_taken_again(tmp_path):
    nonces = set()
    for _ in range(3):
        with RunLock(tmp_path) as held:
            held.check()
            nonces.add(held.nonce)
    assert len(nonces) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"LOCK", "owner.json"}


def test_a_new_directory_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    RunLock(tmp_path / "a" / "b").close()
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_a_killed_owner_leaves_the_directory_free(tmp_path):
    def die():
        RunLock(tmp_path)
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(die) == -signal.SIGKILL
    RunLock(tmp_path).close()


def test_a_child_does_not_hold_the_lock_of_its_dead_parent(tmp_path):
    go, held = os.pipe()
    born, tell = os.pipe()

    def parent():
        RunLock(tmp_path)
        if os.fork() == 0:
            os.close(held)
            os.write(tell, b"!")
            os.read(go, 1)  # lives until the test lets go
        os._exit(0)

    assert forked(parent) == 0
    os.read(born, 1)
    RunLock(tmp_path).close()
    for end in (go, held, born, tell):
        os.close(end)


def test_a_child_may_not_write_for_its_parent(tmp_path):
    with RunLock(tmp_path) as held:
        assert forked(lambda: refused(held.check)) == 0
        held.check()


def test_a_child_that_closes_leaves_its_parent_the_lock(tmp_path):
    with RunLock(tmp_path):
        before = os.listdir("/proc/self/fd")
        assert forked(lock._forget) == 0
        assert os.listdir("/proc/self/fd") == before
        refused(lambda: RunLock(tmp_path))


def test_a_zombie_learns_who_took_over(tmp_path):
    with RunLock(tmp_path) as zombie:
        (tmp_path / "LOCK").unlink()
        with RunLock(tmp_path) as heir:
            heir.check()
            with pytest.raises(Locked, match=f"taken over by process {os.getpid()}"):
                zombie.check()


def test_a_closed_lock_checks_no_more(tmp_path):
    held = RunLock(tmp_path)
    held.close()
    held.close()
    refused(held.check)


@pytest.mark.parametrize("text", [None, b"", b"\xff", b"[]", b"{}", b'{"pid": 1}', json.dumps([1] * 9).encode()])
def test_an_illegible_owner_is_another_process(tmp_path, text):
    with RunLock(tmp_path) as held:
        (tmp_path / "owner.json").unlink() if text is None else (tmp_path / "owner.json").write_bytes(text)
        with pytest.raises(Locked, match="in use by another process"):
            RunLock(tmp_path)
        refused(held.check)


def test_a_full_disk_at_the_start_frees_the_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(DiskFull, match=r"no room in .*make room") as caught:
            RunLock(tmp_path)
    assert caught.value.code == 4
    RunLock(tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == {"LOCK", "owner.json"}
