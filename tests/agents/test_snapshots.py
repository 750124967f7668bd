"""Snapshots become agents again, without the run's replay."""

import json
import shutil

import numpy as np
import pytest
import torch

from agents import snapshots
from agents.flags import BadInput
from agents.snapshots import steps, thaw
from probes import chosen
from replay.excerpt import Excerpt
from runs.checkpoint import load
from runs.rng import stream
from runs.snapshot import TRANSITIONS
from tests.laws.members import AGENTS, homes, same, trained

KINDS = [("dqn", "toy:chain"), ("dqn", "toy:catch"), ("sac", "toy:reach"), ("classifier", "labels:generated")]


@pytest.fixture
def run(tmp_path):
    """run(agent, env, *flags) -> directory of a short run with two snapshots."""

    def train(name="dqn", env="toy:chain", *flags):
        trained(name, tmp_path / "run", env, 60, "--snapshot-every=30", "--num-envs=1", *flags)
        return tmp_path / "run"

    yield train
    snapshots.place.cache_clear()
    snapshots.thaw.cache_clear()


@pytest.mark.parametrize(("name", "env"), KINDS)
def test_an_agent_stands_as_it_was_without_its_replay(run, name, env):
    path = run(name, env)
    last = load(path).state["agent"]
    for gone in [*path.glob("ckpt-*"), *path.glob("replay")]:
        shutil.rmtree(gone)
    frozen = thaw(path, 60)
    assert steps(path) == [30, 60]
    for part, saved in last["parts"].items():
        assert same(frozen.learner.parts[part].state_dict(), saved)
    assert frozen.learner.clock == last["clock"]
    assert frozen.optimizer
    assert len(frozen.states.obs) == TRANSITIONS


def test_networks_stand_as_the_methods_have_shaped_them(run):
    path = run("dqn", "toy:chain", "--popart-rate=0.1", "--loss=mse", "--redo-every=7:updates")
    learner = thaw(path, 60).learner
    assert [m.name() for m in learner.chain.methods] == ["popart"]
    writer = learner.parts["q"].net.outputs()[0]
    assert torch.equal(
        writer.output_lens.sigma, load(path).state["agent"]["parts"]["q"]["net"]["head.value.output_lens.sigma"]
    )


def test_observations_are_normalised_as_they_were(run):
    path = run("sac", "toy:reach", "--norm-obs")
    learner = thaw(path, 60).learner
    assert same(learner.seen.state_dict(), load(path).state["agent"]["seen"])


def test_a_snapshot_without_optimizer_says_so(run):
    assert not thaw(run("dqn", "toy:chain", "--snapshot-optim=no"), 60).optimizer


@pytest.mark.parametrize("name", AGENTS)
def test_probes_read_a_snapshot(run, name):
    learner = thaw(run(name, homes(name)[0]), 60).learner
    subject = learner.view(stream(0, "probe"))
    for probe in chosen("dormant,norm").values():
        assert probe.measure(subject, subject.batch(64), {})


def test_an_excerpt_is_sampled_with_replacement_and_takes_nothing():
    frames = np.arange(5, dtype=np.float32)[:, None]
    rows, zero = np.arange(4, dtype=np.int32), np.zeros(4, np.float32)
    excerpt = Excerpt(
        {"frames": frames, "obs": rows, "next_obs": rows + 1, "action": rows, "reward": zero, "discount": zero}
    )
    batch = excerpt.peek(100, np.random.default_rng(0))
    assert set(batch.obs.flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert torch.equal(batch.next_obs, batch.obs + 1)
    assert len(excerpt) == 4
    with pytest.raises(ValueError, match="learn from a replay"):
        excerpt.add(None, None, None)


@pytest.mark.parametrize(("spoil", "sentence"), [
    (lambda path: shutil.rmtree(path / "snapshots"), "has no snapshots; name a run that was started with"),
    (lambda path: (path / "config.json").unlink(), "is not a run directory"),
])  # fmt: skip
def test_a_run_without_snapshots_is_refused_with_the_mend(run, spoil, sentence):
    path = run()
    spoil(path)
    with pytest.raises(BadInput, match=sentence):
        steps(path)


def test_a_damaged_snapshot_is_named(run):
    path = run()
    (path / "snapshots/000000060/replay.zst").unlink()
    with pytest.raises(BadInput, match="000000060 cannot be read"):
        thaw(path, 60)
    assert json.loads((path / "config.json").read_text())["agent"] == "dqn"
