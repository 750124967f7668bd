"""From settings to environments, replay, agent and the first lines on the screen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agents.build import build, device
from agents.dqn import DQN
from agents.estimate import outlook, total_seconds
from agents.memory import memory
from envs.make import make_env
from runs import pack
from tests.agents.tiny import parsed, walked


@pytest.mark.parametrize(
    ("env", "frame", "stack", "dtype"), [("toy:chain", (5,), 0, np.float32), ("toy:catch", (44, 44), 4, np.uint8)]
)
def test_the_replay_keeps_one_frame_a_row(env, frame, stack, dtype):
    ring = memory(make_env(env).spec, 100, 1).ring
    assert (ring.frame.shape[1:], ring.stack, ring.frame.dtype) == (frame, stack, dtype)


def test_actions_of_pendulum_are_kept_as_they_are():
    ring = memory(make_env("Pendulum-v1").spec, 100, 1).ring
    assert (ring.action.shape[1:], ring.action.dtype) == ((1,), np.float32)


def test_each_environment_has_its_place():
    arena, agent = build(DQN, parsed("--num-envs=3"))
    assert (arena.env.num_envs, agent.replay.ring.num_envs) == (3, 3)


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device("auto").type == name


@pytest.mark.parametrize("name", ["cuda:1", "cuda:7"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=f"device {name} is not available on this machine; use --device auto or cpu"):
        device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x", "cuda:-1", "CPU"])
def test_a_device_that_does_not_exist_is_refused(name):
    with pytest.raises(ValueError, match="no device"):
        device(name)


def test_the_outlook_moves_no_bit():
    settings = parsed("--steps=100", "--reset-every=50")
    world, agent = build(DQN, settings)
    walked(world.env, agent, 40)
    before = pack.digest(agent.state_dict())
    torch.manual_seed(3)
    state = torch.get_rng_state()
    outlook(settings, world, agent, Path("here"))
    assert pack.digest(agent.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None or p.grad.isfinite().all() for p in agent.parts["q"].trainable)


def test_the_outlook_says_who_where_and_how_much():
    settings = parsed("--steps=100", "--reset-every=50", "--redo-every=50")
    first, second, third = outlook(settings, *build(DQN, settings), Path("here")).splitlines()
    assert first.startswith("dqn on toy:chain, preset none, redo, reset interventions, ")
    assert second.startswith("starting of 100 steps: about ")
    assert third == "run here"


def test_the_outlook_of_a_run_in_progress_says_where_it_continues():
    settings = parsed("--steps=100")
    world, agent = build(DQN, settings)
    walked(world.env, agent, 40)
    assert "\ncontinuing at step 40 of 100 steps: about " in outlook(settings, world, agent, Path("here"))


@pytest.mark.parametrize(("envs", "capacity", "gigabytes"), [(1, "1M", "7.1"), (4, "1M", "7.1"), (1, "100k", "0.71")])
def test_the_outlook_names_the_memory_of_atari(envs, capacity, gigabytes, monkeypatch):
    monkeypatch.setattr("agents.estimate.total_seconds", lambda world, agent, steps: 1.0)
    flags = ("--env=Pong", f"--capacity={capacity}", f"--num-envs={envs}", "--steps=50M", "--width=0.1")
    settings = parsed(*flags)
    assert f"the replay grows to {gigabytes} GB" in outlook(settings, *build(DQN, settings), Path("here"))


def test_the_outlook_counts_the_updates_that_will_be_owed(monkeypatch):
    monkeypatch.setattr("agents.estimate.acting", lambda world, agent: 1.0)
    monkeypatch.setattr("agents.estimate.learning", lambda agent, batch: 100.0)
    settings = parsed("--warmup=60", "--replay-ratio=0.5")
    made = build(DQN, settings)
    assert total_seconds(*made, 50) == 50
    assert total_seconds(*made, 100) == 100 + 20 * 100
