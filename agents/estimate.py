"""What a run will cost, said before it begins: time by a few gradients and actions that change nothing, and memory."""

import time
from pathlib import Path

import numpy as np
import torch

from agents.flags import Settings
from agents.learner import Learner
from agents.world import World
from replay.batch import Batch
from runs.progress import clock

TRIES = 3


def outlook(settings: Settings, world: World, agent: Learner, path: Path) -> str:
    """The first lines on the screen: who, where, how long, how large."""
    weights = sum(p.numel() for part in agent.parts.values() for p in part.net.parameters())
    left = max(0, settings.run.steps - agent.clock["steps"])
    seconds = total_seconds(world, agent, left)
    rows = min(settings.config.rl.capacity, settings.run.steps) / settings.run.num_envs
    size = rows * sum(log.row_bytes for log in agent.replay.logs().values())
    begun = f"continuing at step {agent.clock['steps']:,}" if agent.clock["steps"] else "starting"
    return (
        f"{settings.agent} on {settings.run.env}, preset {settings.run.preset}, {', '.join(settings.active) or 'no'} "
        f"interventions, {weights / 1e6:.2f}M parameters, {agent.device}, {torch.get_num_threads()} threads\n"
        f"{begun} of {settings.run.steps:,} steps: about {clock(seconds)} for acting and learning; "
        f"{world.about or f'the replay grows to {size / 1e9:.2g} GB'}\nrun {path}"
    )


def total_seconds(world: World, agent: Learner, steps: int) -> float:
    """Seconds of acting and learning for so many more agent steps, of which those of the warm-up learn nothing, with
    the updates that methods make before the first. Reads only: no weight, no optimizer, no generator moves."""
    batch = agent.replay.buffer(agent.learn.batch_size).each(torch.Tensor.zero_)
    updates = agent.pace.owed({**agent.clock, "steps": agent.clock["steps"] + steps})
    updates = max(0, updates) + (agent.chain.ahead() if updates > 0 else 0)
    return min(steps * acting(world, agent) + updates * learning(agent, batch) for _ in range(TRIES))


def acting(world: World, agent: Learner) -> float:
    """Seconds of one action of one environment."""
    start = time.perf_counter()
    if world.now is None:
        return 0.0
    agent.act(world.now, np.random.default_rng(0), greedy=True)
    return (time.perf_counter() - start) / len(world.now.step_type)


def learning(agent: Learner, batch: Batch) -> float:
    """Seconds of one update, without its optimizer steps."""
    start = time.perf_counter()
    for loss in agent.losses(agent.place(batch), agent.generator(0)):
        torch.autograd.grad(loss.value, agent.parts[loss.part].trainable, allow_unused=True)
    return time.perf_counter() - start
