"""Updates that come before an agent's first one (QDagger's offline phase): shown, billed, saved, stopped among them."""

import io
import os
import signal
import sys
import time

import pytest
import torch

from agents.build import build
from agents.estimate import total_seconds
from agents.main import run
from agents.session import Session
from interventions import qdagger
from interventions.chain import Chain
from runs.checkpoint import load
from runs.progress import Progress
from runs.signals import Stop
from tests.laws.members import AGENTS, learn, parsed, past, same, small, taken, trained

ENV = "CartPole-v1"
FIRING = ("--redo-every=42", "--shrink-every=1:targets", "--target-every=5:updates")  # the first with the first update


def line(*flags):
    return [
        f"--qdagger-from={past('dqn', ENV)}",
        "--qdagger-updates=12",
        "--eval-every=50",
        "--eval-episodes=1",
        *flags,
    ]


def called(out, *flags):
    """The exit code of 60 steps, of which the 43rd owes the first update."""
    every = [f"--env={ENV}", "--preset=none", *small("dqn"), "--steps=60", f"--out={out}", *line(*flags)]
    return run(*AGENTS["dqn"], every)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    past("dqn", ENV)
    monkeypatch.setattr("agents.session.draw", lambda path: path / "run.png")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def at(monkeypatch):
    """at(k, act): act as soon as k updates of the prelude have been made from here on."""
    plain = Chain.pretrain

    def put(k, act):
        made = []

        def counted(chain):
            shown = plain(chain)
            made.append(1)
            if len(made) == k:
                act()
            return shown

        monkeypatch.setattr(Chain, "pretrain", counted)

    return put


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("flags", [(), FIRING], ids=["alone", "firing"])
def test_a_run_stopped_among_them_equals_the_straight_one(flags, at, monkeypatch, tmp_path):
    straight, straight_rows = trained("dqn", tmp_path / "straight", ENV, 60, *line(*flags))
    assert straight["agent"]["clock"]["extra"] == 12
    for k, extra in ((1, 1), (7, 8), (4, 12)):
        at(k, terminate)
        assert called(tmp_path / "parts", *flags) == 75
        assert load(tmp_path / "parts").clock["extra"] == extra
        monkeypatch.undo()
    parts, rows = trained("dqn", tmp_path / "parts", ENV, 60, *line(*flags))
    assert rows == straight_rows
    assert same(parts, straight)
    assert any("event/redo" in row for row in rows) == bool(flags)


def test_they_are_those_that_an_agent_makes_by_itself(tmp_path):
    flags = line("--qdagger-score=train", "--eval-every=never")  # lambda stays 1
    world, agent = taken("dqn", ENV, *flags)
    learn(agent, world, 9)
    state, _ = trained("dqn", tmp_path / "run", ENV, 60, *flags)
    assert same(state["agent"]["parts"], agent.state_dict()["parts"])
    assert state["agent"]["clock"]["targets"] == agent.clock["targets"]


def test_a_stop_is_obeyed_before_the_next_of_them(at, tmp_path, capsys):
    at(3, terminate)
    assert called(tmp_path / "run") == 75
    assert capsys.readouterr().err.splitlines()[-1].startswith("stopped by SIGTERM at step 43; the same command line")
    clock = load(tmp_path / "run").clock
    assert (clock["steps"], clock["extra"], clock["updates"]) == (43, 3, 0)


def test_the_time_limit_ends_them_too(at, monkeypatch, tmp_path):
    late = []
    at(2, lambda: late.append(1))
    monkeypatch.setattr(Stop, "__bool__", lambda stop: bool(late))
    assert called(tmp_path / "run") == 75
    assert load(tmp_path / "run").clock["extra"] == 2


def test_they_are_shown_and_billed(monkeypatch, tmp_path, capsys):
    notes, remark = [], Progress.remark
    monkeypatch.setattr(Progress, "remark", lambda self, text: notes.append(text) or remark(self, text))
    assert called(tmp_path / "run") == 0
    shown = [x for x in notes if x.startswith("qdagger")]
    assert shown == [f"qdagger: {n} of 12 offline updates" for n in range(1, 13)]
    assert " steps and 12 extra updates in " in capsys.readouterr().err
    clock = load(tmp_path / "run").clock
    assert (clock["extra"], clock["updates"]) == (12, 9)


def test_the_bar_is_drawn_though_no_step_passes(at, monkeypatch, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    begin = Progress.__init__

    def busy(self, *args):
        begin(self, *args)
        self.bar.miniters = 1_000  # as after many steps a second

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(Progress, "__init__", busy)
    at(5, lambda: time.sleep(0.15))
    called(tmp_path / "run")
    assert "qdagger: 5 of 12 offline updates" in screen.getvalue()


def test_they_are_saved_as_often_as_the_steps_that_owe_as_many(monkeypatch, tmp_path):
    saved, save = [], Session.save

    def noted(session):
        saved.append((session.agent.clock["extra"], session.agent.clock["updates"]))
        save(session)

    monkeypatch.setattr(Session, "save", noted)
    assert called(tmp_path / "run", "--save-every=10") == 0  # at half an update a step
    assert [extra for extra, updates in saved if extra and not updates] == [5, 10]


def test_a_number_that_is_not_finite_leaves_a_finite_checkpoint_from_which_they_go_on(monkeypatch, tmp_path):
    calls, gap = [], qdagger.policy_gap

    def poisoned(*args):
        calls.append(gap(*args))
        if len(calls) == 4:
            calls[-1].register_hook(lambda grad: grad * torch.nan)
        return calls[-1]

    monkeypatch.setattr(qdagger, "policy_gap", poisoned)
    assert called(tmp_path / "run") == 5
    loaded = load(tmp_path / "run")
    assert all(x.isfinite().all() for x in loaded.state["agent"]["parts"]["q"]["net"].values())
    assert not loaded.exact
    assert loaded.state["agent"]["chain"]["links"]["qdagger"]["state"]["made"] == 3
    monkeypatch.undo()
    assert called(tmp_path / "run") == 0
    assert load(tmp_path / "run").state["agent"]["chain"]["links"]["qdagger"]["state"]["made"] == 12


def test_the_outlook_counts_them(monkeypatch):
    monkeypatch.setattr("agents.estimate.acting", lambda world, agent: 1.0)
    monkeypatch.setattr("agents.estimate.learning", lambda agent, batch: 100.0)
    flags = parsed("dqn", f"--env={ENV}", "--preset=none", *small("dqn"), *line(), "--steps=60")
    world, agent = build(AGENTS["dqn"][0], flags)
    assert total_seconds(world, agent, 60) == 60 + (10 + 12) * 100
    assert total_seconds(world, agent, 40) == 40  # none is owed before the warm-up is over
