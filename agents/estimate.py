"""What a run will cost, said before it begins: time by a few gradients and actions that change nothing, and memory."""

import time
from pathlib import Path

import dm_env
import numpy as np
import torch

from agents.flags import Settings
from agents.learner import Learner
from runs.progress import clock

TRIES = 3


def outlook(settings: Settings, agent: Learner, path: Path) -> str:
    """The first lines on the screen: who, where, how long, how large."""
    weights = sum(p.numel() for part in agent.parts.values() for p in part.net.parameters())
    left = max(0, settings.run.steps - agent.clock["steps"])
    seconds = left * step_seconds(settings, agent)
    rows = min(settings.config.learn.capacity, settings.run.steps) / settings.run.num_envs
    size = rows * sum(log.row_bytes for log in agent.replay.logs().values())
    begun = f"continuing at step {agent.clock['steps']:,}" if agent.clock["steps"] else "starting"
    return (
        f"{settings.agent} on {settings.run.env}, preset {settings.run.preset}, {', '.join(settings.active) or 'no'} "
        f"interventions, {weights / 1e6:.2f}M parameters, {agent.device}, {torch.get_num_threads()} threads\n"
        f"{begun} of {settings.run.steps:,} steps: about {clock(seconds)} for acting and learning; "
        f"the replay grows to {size / 1e9:.2g} GB\nrun {path}"
    )


def step_seconds(settings: Settings, agent: Learner) -> float:
    """Seconds of acting and learning per agent step. Reads only: no weight, no optimizer, no generator moves."""
    spec, learn = agent.spec, agent.learn
    obs = np.zeros((settings.run.num_envs, *spec.observation.shape), spec.observation.dtype)
    now = dm_env.TimeStep(np.ones(len(obs)), np.zeros(len(obs)), np.ones(len(obs)), obs)
    batch = agent.replay.buffer(learn.batch_size)
    for x in batch:
        x.zero_()
    rng = np.random.default_rng(0)
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        agent.act(now, rng, greedy=True)
        acted = time.perf_counter()
        for loss in agent.losses(agent.place(batch), agent.generator(0)):
            torch.autograd.grad(loss.value, agent.parts[loss.part].trainable, allow_unused=True)
        times.append((acted - start) / len(obs) + (time.perf_counter() - acted) * learn.replay_ratio)
    return min(times)
