"""Signals and the time limit: a flag, a save, exit code 75; a second SIGINT does not wait."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs import signals
from runs.checkpoint import load
from runs.signals import STOPS, Stop

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = (
    *("--env=toy:chain", "--hidden", "8", "--capacity=200", "--warmup=20", "--steps=1B", "--save-every=never"),
    *("--eval-every=never", "--probe-every=never", "--reset-every=1k"),
)


def python(*arguments):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def heard(process, word):
    """Read its lines up to the first with `word`."""
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"it ended with {process.wait()} before it said {word!r}")


@pytest.mark.parametrize("which", STOPS)
def test_a_signal_sets_a_flag_and_names_itself(which):
    with Stop() as stop:
        assert not stop
        os.kill(os.getpid(), which)
        assert stop
        assert str(stop) == which.name


def test_handlers_are_put_back():
    before = [signal.getsignal(which) for which in STOPS]
    with pytest.raises(KeyError), Stop():
        raise KeyError
    assert [signal.getsignal(which) for which in STOPS] == before


def test_the_time_limit_is_measured_from_the_start(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with Stop(10) as stop, Stop() as endless:
        now[0] = 60.0
        assert not stop
        now[0] = 60.1
        assert stop
        assert str(stop) == "the time limit"
        now[0] = 1e12
        assert not endless


@pytest.mark.parametrize("pair", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_two_different_signals_still_wait_for_the_save(pair, monkeypatch):
    left = []
    monkeypatch.setattr(signals.os, "_exit", left.append)
    with Stop() as stop:
        for which in pair:
            os.kill(os.getpid(), which)
        assert str(stop) == pair[1].name
    assert left == []


def test_a_second_sigint_does_not_wait():
    script = (
        "import os, signal, sys, time; from runs.signals import Stop; stop = Stop()\n"
        "os.kill(os.getpid(), signal.SIGINT); print(stop, file=sys.stderr)\n"
        "os.kill(os.getpid(), signal.SIGINT); time.sleep(60); print('late', file=sys.stderr)"
    )
    process = python("-c", script)
    assert process.communicate(timeout=50)[1] == "SIGINT\n"
    assert process.returncode == 130


def test_a_second_sigint_during_a_save_leaves_the_checkpoint_before(tmp_path):
    """Two signals to ourselves: one at step 30, the other in the middle of the save that it asks for."""
    script = f"""
import os, signal, sys
from agents.dqn import DQN, DQNConfig
from agents.main import run
from runs import checkpoint, loop

def point(name, real=checkpoint.faults.point, seen=[]):
    seen.append(name)
    if name == "dir-renamed" and seen.count(name) == 2:
        os.kill(os.getpid(), signal.SIGINT)

def crossed(self, name, step, real=loop.Timetable.due):
    if step == 30:
        os.kill(os.getpid(), signal.SIGINT)
    return real(self, name, step)

checkpoint.faults.point, loop.Timetable.due = point, crossed
run(DQN, DQNConfig, {[*ENDLESS, "--save-every=25"]!r} + ["--out=" + sys.argv[1]])
"""
    process = python("-c", script, str(tmp_path / "run"))
    process.communicate(timeout=100)
    assert process.returncode == 130
    assert load(tmp_path / "run").clock["steps"] == 25


def test_sigterm_saves_and_ends_with_75_and_the_same_line_continues(tmp_path):
    line = ("-m", "agents.dqn", *ENDLESS, f"--out={tmp_path / 'run'}")
    clocks = [0]
    for said in ("starting", "continuing at step"):
        process = python(*line)
        assert said in heard(process, "of 1,000,000,000 steps")
        heard(process, "run ")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert "stopped by SIGTERM at step" in process.communicate(timeout=60)[1]
        assert process.returncode == 75
        clocks.append(load(tmp_path / "run").clock["steps"])
    assert 0 < clocks[1] < clocks[2]
