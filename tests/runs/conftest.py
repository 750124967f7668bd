"""Chunks of 8 rows in place of 8 MB, so that a test of 30 rows has some; and a disk that does not make us wait."""

import os

import pytest
from rowlog import CHUNK, FINGERPRINT, RowLog, put

from runs import chunks
from runs.checkpoint import Store
from runs.lock import RunLock


@pytest.fixture(autouse=True)
def small_and_swift(request, monkeypatch):
    if "checkpoint" in request.module.__name__:
        monkeypatch.setattr(chunks, "CHUNK", CHUNK)
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test cuts the power


@pytest.fixture
def store(tmp_path):
    with RunLock(tmp_path) as lock:
        yield Store(lock, FINGERPRINT)


@pytest.fixture
def run(tmp_path):
    """A run directory with two checkpoints, at 1 and 2."""
    with RunLock(tmp_path / "run") as lock:
        store, log = Store(lock, FINGERPRINT), RowLog()
        for step in (1, 2):
            put(store, step, log.add(20))
    return tmp_path / "run"
