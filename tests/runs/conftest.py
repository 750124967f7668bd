"""Chunks of 8 rows in place of 8 MB, so that a test of 30 rows has some; and a disk that does not make us wait."""

import os

import pytest
from rowlog import CHUNK

from runs import chunks


@pytest.fixture(autouse=True)
def small_and_swift(request, monkeypatch):
    if "checkpoint" in request.module.__name__:
        monkeypatch.setattr(chunks, "CHUNK", CHUNK)
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test cuts the power
