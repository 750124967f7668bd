"""Snapshots: networks, optimizer, config, clock and replay transitions of one step, for probes that come later."""

import errno

import numpy as np
import pytest
import torch

from agents.build import build
from agents.dqn import DQN
from replay.excerpt import restore_excerpt
from runs import pack, snapshot
from runs.checkpoint import DiskFull, load
from runs.snapshot import TRANSITIONS
from tests.agents.tiny import called, parsed

STATE = {"clock": {"steps": 5}, "parts": {"q": {"net": {"w": torch.arange(3.0)}, "opt": {}}}}
REPLAY = {"frames": np.arange(6, dtype=np.uint8).reshape(3, 2), "obs": np.array([[0, -1]], np.int32)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(*flags) trains in tmp_path/run and gives {step: (state, replay)} of its snapshots."""
    monkeypatch.setattr("agents.session.draw", lambda path: path / "run.png")

    def train(*flags):
        assert called("--steps=60", f"--out={tmp_path / 'run'}", *flags) == 0
        return {int(p.name): snapshot.load(p) for p in sorted((tmp_path / "run/snapshots").iterdir())}

    return train


def test_what_was_saved_is_loaded(tmp_path):
    path = snapshot.save(tmp_path, 5, STATE, REPLAY)
    state, replay = snapshot.load(path)
    assert path == tmp_path / "snapshots/000000005"
    assert pack.digest(state) == pack.digest(STATE)
    assert all(replay[k].dtype == REPLAY[k].dtype and np.array_equal(replay[k], REPLAY[k]) for k in REPLAY)


def test_a_snapshot_is_written_once(tmp_path):
    path = snapshot.save(tmp_path, 5, STATE, REPLAY)
    before = {p: p.stat().st_mtime_ns for p in path.iterdir()}
    snapshot.save(tmp_path, 5, {"other": 1}, {})
    assert {p: p.stat().st_mtime_ns for p in path.iterdir()} == before


def test_half_a_snapshot_is_written_anew(tmp_path):
    half = tmp_path / "snapshots/000000005.tmp"
    half.mkdir(parents=True)
    (half / "state.safetensors").write_bytes(b"half")
    assert snapshot.load(snapshot.save(tmp_path, 5, STATE, REPLAY))[0]["clock"] == {"steps": 5}
    assert not half.exists()


def test_a_full_disk_leaves_no_snapshot_that_looks_whole(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot.disk, "write", full)
    with pytest.raises(DiskFull, match="make room there and start the same command again"):
        snapshot.save(tmp_path, 5, STATE, REPLAY)
    assert not (tmp_path / "snapshots/000000005").exists()


@pytest.mark.parametrize("env", ["toy:chain", "toy:catch"])
def test_a_run_keeps_transitions_that_become_a_batch_again(run, env):
    flags = (f"--env={env}", "--width=0.25", "--n-step=3", "--gamma=0.5")
    shape, width = {"toy:chain": ((5,), "8"), "toy:catch": ((4, 44, 44), "32")}[env]
    _, replay = run(*flags, "--hidden", width, "--snapshot-every=30")[60]
    batch = restore_excerpt(replay)
    assert batch.obs.shape == batch.next_obs.shape == (TRANSITIONS, *shape)
    assert batch.action.dtype == torch.int64
    assert set(batch.discount.tolist()) <= {0, 0.5, 0.25, 0.125}
    assert len(replay["frames"]) <= 67  # each once: 60 steps, and games of 10 steps or more


def test_a_run_keeps_the_networks_of_that_step_and_how_it_came_to_be(run, tmp_path):
    snapshots = run("--snapshot-every=30", "--replay-ratio=1")
    assert list(snapshots) == [30, 60]
    state, _ = snapshots[60]
    last = load(tmp_path / "run").state["agent"]
    assert pack.digest(state["parts"]["q"]) == pack.digest(last["parts"]["q"])
    assert state["clock"] == last["clock"]
    assert (state["config"]["agent"], state["config"]["snapshot_every"]) == ("dqn", "30")
    early = snapshots[30][0]["parts"]["q"]
    assert not torch.equal(early["net"]["head.value.weight"], last["parts"]["q"]["net"]["head.value.weight"])


def test_a_snapshot_rebuilds_the_agent_that_made_it(run):
    state, replay = run("--snapshot-every=60", "--hidden", "8", "6")[60]
    agent = build(DQN, parsed("--hidden", "8", "6", "--seed=9"))[1]
    agent.parts["q"].load_state_dict(state["parts"]["q"])
    batch = restore_excerpt(replay)
    assert agent.run("q", batch).shape == (TRANSITIONS, 2)


def test_without_the_optimizer_a_snapshot_is_smaller_and_still_holds_the_networks(run):
    state, _ = run("--snapshot-every=60", "--snapshot-optim=no")[60]
    part = state["parts"]["q"]
    assert part["opt"] == {}
    assert (
        set(part["net"])
        == set(part["target"])
        == {f"{n}.{p}" for n in ("torso.fc1.writer", "head.value") for p in ("weight", "bias")}
    )


def test_a_period_as_a_list_keeps_those_steps(run):
    assert list(run("--snapshot-every=1,25,40")) == [1, 25, 40]


def test_a_snapshot_moves_no_bit_of_the_run(run, tmp_path):
    run("--snapshot-every=10")
    with_snapshots = load(tmp_path / "run").state["agent"]
    assert called("--steps=60", f"--out={tmp_path / 'plain'}") == 0
    assert pack.digest(load(tmp_path / "plain").state["agent"]) == pack.digest(with_snapshots)
