"""A number that is not finite: exit code 5, the batch aside, no poisoned checkpoint, and the run goes on without it."""

import numpy as np
import pytest
import torch

from agents.losses import huber
from interventions.reset import Reset
from runs import pack
from runs.checkpoint import load
from runs.record import rows

# Probes that ask for no loss: `poison` counts the calls.
PROBED = ("--probe-every=20", "--probes=dormant,norm", "--replay-ratio=1", "--out=here")


@pytest.fixture
def poison(monkeypatch):
    """The loss of update 5 is not finite."""

    def at(value):
        calls = []

        def spoilt(td):
            calls.append(td)
            return huber(td) * (value if td.requires_grad and len(calls) == 8 else 1)

        monkeypatch.setattr("agents.goals.huber", spoilt)

    return at


def weights(path):
    parts = load(path).state["agent"]["parts"]["q"]
    return torch.cat([x.flatten() for where in ("net", "target") for x in parts[where].values()])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_run_stops_with_code_5_and_names_the_part(command, poison, value):
    poison(value)
    code, lines = command("--steps=60", *PROBED)
    assert code == 5
    assert lines[-1].startswith("error: the loss of part 'q' or its gradient is not finite")


def test_the_batch_is_kept_aside(command, poison, tmp_path):
    poison(torch.nan)
    command("--steps=60", *PROBED)
    (blob,) = (tmp_path / "here").glob("nonfinite-*.safetensors")
    (text,) = (tmp_path / "here").glob("nonfinite-*.json")
    batch = pack.decode(blob.read_bytes(), text.read_bytes())
    assert set(batch) == {"obs", "action", "reward", "discount", "next_obs", "weight", "index"}
    assert batch["obs"].shape == (8, 5)


def test_the_checkpoint_is_finite_and_says_that_it_is_not_exact(command, poison, tmp_path):
    poison(torch.nan)
    command("--steps=60", *PROBED)
    loaded = load(tmp_path / "here")
    assert weights(tmp_path / "here").isfinite().all()
    assert (loaded.clock["steps"], loaded.clock["updates"]) == (25, 4)
    assert not loaded.exact
    assert loaded.reason.startswith("stopped at step 25, in the middle of an update: the loss of part 'q'")
    assert not (tmp_path / "here/DONE").exists()


@pytest.mark.parametrize("flags", [(), ("--l2init-weight=0.01",)])
def test_the_run_goes_on_when_the_cause_is_gone(command, poison, tmp_path, monkeypatch, flags):
    """What a penalty told of the spoilt loss is not recorded with the next."""
    poison(torch.nan)
    command("--steps=60", *PROBED, *flags)
    monkeypatch.setattr("agents.goals.huber", huber)
    code, lines = command("--steps=60", *PROBED, *flags)
    assert code == 0
    assert any(line.startswith("continuing at step 25 of 60") for line in lines)
    assert weights(tmp_path / "here").isfinite().all()
    assert load(tmp_path / "here").clock["updates"] == 39  # none at the last step
    steps = [row["step"] for row in rows(tmp_path / "here")]
    assert steps == sorted(steps)


def test_weights_that_an_intervention_spoils_are_never_saved(command, monkeypatch, tmp_path):
    flags = ("--reset-every=40", "--save-every=30", "--replay-ratio=0", "--out=here")

    @torch.no_grad()
    def spoil(self, state, subject):
        subject.parts["q"].net.head.value.bias.fill_(torch.nan)

    monkeypatch.setattr(Reset, "apply", spoil)
    assert command("--steps=60", *flags)[0] == 5
    assert load(tmp_path / "here").clock["steps"] == 30
    assert weights(tmp_path / "here").isfinite().all()


def test_a_reward_that_is_not_finite_leaves_the_last_checkpoint(command, monkeypatch, tmp_path):
    from envs.toy import Chain

    step, calls = Chain.step, []

    def spoilt(self, action, obs):
        calls.append(action)
        reward, discount, last = step(self, action, obs)
        return (np.nan if len(calls) == 45 else reward), discount, last

    monkeypatch.setattr(Chain, "step", spoilt)
    code, lines = command("--steps=60", "--save-every=20", "--out=here")
    assert (code, load(tmp_path / "here").clock["steps"]) == (5, 40)
    assert lines[-1].endswith("the last checkpoint stands")


def test_probes_of_a_spoilt_network_are_null_in_the_record(command, monkeypatch, tmp_path):
    @torch.no_grad()
    def spoil(self, state, subject):
        subject.parts["q"].net.torso.fc1.writer.weight.fill_(torch.nan)

    monkeypatch.setattr(Reset, "apply", spoil)
    command("--steps=60", "--reset-every=30", "--probe-every=40", "--replay-ratio=0", "--out=here")
    (row,) = [row for row in rows(tmp_path / "here") if "probe/norm" in row and row["step"] == 40]
    probed = {tag: x for tag, x in row.items() if tag.startswith("probe/") and tag != "probe/norm/head.value"}
    assert len(probed) > 6
    assert all(np.isnan(x) for x in probed.values())
