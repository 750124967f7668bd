"""Chunks of 8 rows in place of 8 MB, so that a test of 30 rows has some."""

import pytest
from rowlog import CHUNK

from runs import chunks


@pytest.fixture(autouse=True)
def small_chunks(request, monkeypatch):
    if "checkpoint" in request.module.__name__:
        monkeypatch.setattr(chunks, "CHUNK", CHUNK)
