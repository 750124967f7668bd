"""Command lines in a directory of their own, without the time that pictures and disks take."""

import os

import pytest

from tests.agents import tiny


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """command(*flags) -> (exit code, lines of stderr); files land in tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.session.draw", lambda path: path / "run.png")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    def call(*flags):
        code = tiny.called(*flags)
        return code, capsys.readouterr().err.splitlines()

    return call
