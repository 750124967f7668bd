"""Whole command lines: done, finished, extended, refused; the exit codes."""

import json

import numpy as np
import pytest

from agents.build import build
from agents.dqn import DQN
from agents.flags import parse
from agents.main import run
from runs import pack
from runs.checkpoint import DiskFull, load
from runs.lock import RunLock
from runs.record import rows
from tests.agents.tiny import parsed
from tests.laws.members import AGENTS, small


def contents(path, *flags):
    """Everything a run has kept, but wall time: digest of the state, rows of the replay, rows of the record."""
    loaded, log = load(path), build(DQN, parsed(*flags))[1].replay.ring
    log.load_state_dict(loaded.state["agent"]["replay"])
    loaded.restore("replay", log)
    record = [{k: v for k, v in row.items() if not k.startswith("speed/")} for row in rows(path)]
    return loaded.digest, pack.digest(log.rows(log.start, log.stop)), record


def files(path):
    return {p.relative_to(path): (p.stat().st_mtime_ns, p.read_bytes()) for p in path.rglob("*") if p.is_file()}


def test_a_run_ends_with_code_0_and_says_where_it_lies(command, tmp_path):
    code, lines = command("--steps=30", "--out=here")
    assert code == 0
    assert lines[0].startswith("dqn on toy:chain, preset none, no interventions")
    assert any(line.startswith("done: 30 steps") for line in lines)
    assert json.loads((tmp_path / "here/DONE").read_text())["steps"] == 30


def test_the_first_line_counts_the_parameters_of_the_networks_worked_out_by_hand(command):
    """5 inputs, two layers of 1,024 and 2 actions: 6,144 + 1,049,600 + 2,050; the slow network is not counted."""
    lines = command("--steps=5", "--hidden", "1024", "1024", "--out=here")[1]
    assert lines[0].startswith("dqn on toy:chain, preset none, no interventions, 1.06M parameters, cpu")


@pytest.mark.parametrize(("name", "env"), [("sac", "toy:reach"), ("classifier", "labels:generated")])
def test_the_first_line_counts_the_parameters_of_all_networks(command, capsys, name, env):
    kind, config = AGENTS[name]
    line = [f"--env={env}", "--preset=none", *small(name), "--hidden", "512", "512", "--width=1", "--steps=5"]
    assert run(kind, config, [*line, "--out=here"]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    agent = build(kind, parse(name, config, line))[1]
    count = sum(p.numel() for part in agent.parts.values() for p in part.net.parameters())
    assert f" {count / 1e6:.2f}M parameters, " in first
    assert count > 250_000


def test_a_finished_run_says_so_and_touches_nothing(command, tmp_path):
    command("--steps=30", "--out=here")
    before = files(tmp_path / "here")
    for steps in (30, 20):
        code, lines = command(f"--steps={steps}", "--out=here")
        assert (code, lines) == (0, ["finished: here stands at 30 steps; raise --steps to go on"])
    assert files(tmp_path / "here") == before


@pytest.mark.parametrize("flags", [[], ["--num-envs=3", "--reset-every=30,60", "--save-every=25"]])
def test_an_extended_run_equals_the_straight_one(command, tmp_path, flags):
    flags = ["--probe-every=40", "--eval-every=60", "--eval-episodes=2", "--epsilon-decay=50", *flags]
    for line in (["--steps=60", "--out=parts"], ["--steps=120", "--out=parts"], ["--steps=120", "--out=straight"]):
        assert command(*flags, *line)[0] == 0
    assert contents(tmp_path / "parts", *flags) == contents(tmp_path / "straight", *flags)


def test_an_extended_run_that_is_stopped_is_no_longer_done(command, tmp_path, monkeypatch):
    command("--steps=30", "--out=here")
    monkeypatch.setattr("runs.signals.Stop.__bool__", lambda stop: True)
    assert command("--steps=60", "--out=here")[0] == 75
    assert not (tmp_path / "here/DONE").exists()
    monkeypatch.undo()
    assert load(tmp_path / "here").clock["steps"] < 60


def test_a_run_saved_between_two_records_continues(command, tmp_path):
    command("--steps=33", "--record-every=20", "--out=here")
    assert command("--steps=45", "--record-every=20", "--out=here")[0] == 0
    assert [row["step"] for row in rows(tmp_path / "here") if "loss/q" in row] == [40]


def test_a_changed_setting_is_refused_with_its_name_both_values_and_the_mend(command, tmp_path):
    command("--steps=30", "--out=here")
    before = files(tmp_path / "here")
    code, lines = command("--steps=60", "--out=here", "--gamma=0.5", "--reset-every=9")
    assert code == 2
    assert lines == [
        "error: cannot resume: gamma is 0.99 in here, 0.5 in the command",
        "error: cannot resume: reset_every is never in here, 9 in the command",
        "error: choose another --out, or leave it out: every configuration then has its own directory",
    ]
    assert files(tmp_path / "here") == before


def test_free_settings_may_change_on_resume(command):
    command("--steps=30", "--out=here")
    assert command("--steps=40", "--out=here", "--save-every=7", "--record-every=3", "--eval-episodes=1")[0] == 0


def test_a_directory_of_something_else_is_refused(command, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/thesis.tex").touch()
    code, lines = command("--out=here")
    assert (code, lines) == (2, ["error: here is not a run directory and not empty; choose another --out"])


@pytest.mark.parametrize("flag", ["--out=/proc/here", "--root=/proc/here", "--out=file/here", "--root=file"])
def test_a_directory_that_cannot_be_made_is_refused_with_the_mend(command, tmp_path, flag):
    (tmp_path / "file").touch()
    code, lines = command(flag)
    assert code == 2
    assert lines[-1].startswith("error: ")
    assert lines[-1].endswith("; choose another --out or --root")


def test_a_directory_in_use_is_code_3(command, tmp_path):
    with RunLock(tmp_path / "here"):
        code, lines = command("--out=here")
    assert code == 3
    assert lines[0].startswith("error: here is in use by process")


def test_a_full_disk_is_code_4(command, monkeypatch):
    def full(*args):
        raise DiskFull(28, "no room in here; make room there")

    monkeypatch.setattr("runs.checkpoint.Store.save", full)
    code, lines = command("--steps=30")
    assert code == 4
    assert lines[-1] == "error: [Errno 28] no room in here; make room there"


def test_a_reward_that_is_not_finite_is_code_5(command, monkeypatch):
    from envs.toy import Chain

    monkeypatch.setattr(Chain, "step", lambda self, action, obs: (np.nan, 1.0, False))
    code, lines = command("--steps=30")
    assert code == 5
    assert lines[-1].startswith("error: toy:chain gave a reward or observation that is not finite in envs [0]")


def test_a_bug_of_ours_is_code_70_with_a_traceback(command, monkeypatch):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("agents.main.build", broken)
    code, lines = command("--steps=30")
    assert code == 70
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: a bug"


def test_a_damaged_checkpoint_is_code_2_and_names_the_mend(command, tmp_path):
    command("--steps=30", "--out=here")
    (state,) = (tmp_path / "here").glob("ckpt-*/state.json")
    state.write_text(state.read_text()[:-5])
    code, lines = command("--steps=40", "--out=here")
    assert code == 2
    assert "restore it from a copy, or start again in another directory with --out" in lines[-1]


def test_the_time_limit_is_code_75_and_the_same_line_continues(command, monkeypatch, tmp_path):
    from runs.signals import Stop

    monkeypatch.setattr(Stop, "__bool__", lambda stop: stop.end < float("inf"))
    code, lines = command("--steps=30", "--max-time=1s", "--out=here")
    assert code == 75
    assert lines[-1] == "stopped by the time limit at step 1; the same command line continues"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "here").clock["steps"] == 1


def test_the_seed_of_an_evaluation_is_always_the_same(command, tmp_path):
    flags = ("--env=toy:catch", "--width=0.1", "--eval-every=20", "--eval-episodes=3", "--lr=1e-12", "--steps=60")
    assert command(*flags, "--out=here", "--epsilon-eval=0")[0] == 0
    returns = [row["return/eval"] for row in rows(tmp_path / "here") if "return/eval" in row]
    assert len(returns) == 3
    assert len(set(returns)) == 1
