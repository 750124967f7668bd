"""A stop that is asked for in the middle of things: nothing due is lost, nothing is done twice."""

import json

import pytest

from runs.checkpoint import load
from runs.record import rows
from runs.signals import Stop
from tests.agents.test_run import contents

EVALUATED = ("--eval-every=30", "--eval-episodes=2", "--probe-every=30", "--replay-ratio=1")


@pytest.fixture
def stopped(monkeypatch):
    """stopped(n): the n-th question whether to stop is answered with yes, and every later one."""

    def at(n):
        asked = []
        monkeypatch.setattr(Stop, "__bool__", lambda stop: asked.append(1) or len(asked) >= n)

    return at


def evaluated(path):
    return [row["step"] for row in rows(path) if "return/eval" in row]


@pytest.mark.parametrize("question", [1, 10, 29, 33, 35])
def test_a_run_stopped_anywhere_equals_the_straight_one(command, stopped, monkeypatch, tmp_path, question):
    stopped(question)
    assert command("--steps=60", *EVALUATED, "--out=parts")[0] == 75
    monkeypatch.setattr(Stop, "__bool__", lambda stop: False)
    for out in ("parts", "straight"):
        assert command("--steps=60", *EVALUATED, f"--out={out}")[0] == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "straight")


def test_an_evaluation_that_was_cut_short_begins_the_resumed_run(command, stopped, monkeypatch, tmp_path):
    stopped(33)  # once a step, and at each move of the evaluation at step 30
    command("--steps=60", *EVALUATED, "--out=here")
    assert load(tmp_path / "here").clock["steps"] == 30
    assert evaluated(tmp_path / "here") == []
    monkeypatch.setattr(Stop, "__bool__", lambda stop: False)
    command("--steps=60", *EVALUATED, "--out=here")
    assert evaluated(tmp_path / "here") == [30, 60]


def test_an_evaluation_cut_short_at_the_last_step_is_not_lost(command, stopped, monkeypatch, tmp_path):
    flags = ("--eval-every=60", "--eval-episodes=2", "--steps=60", "--out=here")
    stopped(66)
    code, lines = command(*flags)
    assert code == 75
    assert lines[-1] == "stopped by the time limit at step 60; the same command line continues"
    assert not (tmp_path / "here/DONE").exists()
    monkeypatch.setattr(Stop, "__bool__", lambda stop: False)
    assert command(*flags)[0] == 0
    assert evaluated(tmp_path / "here") == [60]
    assert json.loads((tmp_path / "here/DONE").read_text())["steps"] == 60
