"""Pieces in this process: the update beside its FLOP limit, replay sampling beside SB3's, what recording costs."""

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import dm_env
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from agents.bbf import BBF, BBFConfig
from agents.build import build
from agents.classifier import Classifier, ClassifierConfig
from agents.dqn import DQN, DQNConfig
from agents.flags import parse
from agents.learner import Learner
from agents.sac import SAC, SACConfig
from agents.session import Session
from agents.world import World
from nets.product import linear
from replay.prioritized import Prioritized
from replay.uniform import Uniform
from runs.lock import RunLock
from runs.signals import Stop


def seconds(call: Callable[[], Any], times: int, repeat: int = 1) -> float:
    """CPU seconds of one call: the median over `times` of the mean over `repeat`."""
    rows = []
    for _ in range(times):
        start = time.process_time()
        for _ in range(repeat):
            call()
        rows.append((time.process_time() - start) / repeat)
    return median(rows)


def peak() -> float:
    """FLOP/s of a single-precision matrix product on this many threads, per CPU second."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 2 * 1024**3 / seconds(lambda: linear(a, b, None), 20)


def dqn_update() -> dict[str, float]:
    """On 84x84 images, batch 32."""
    return update(build(DQN, parse("dqn", DQNConfig, ["--env=Pong", "--warmup=200", "--capacity=2k"])))


def sac_update() -> dict[str, float]:
    """On HalfCheetah, 256x256, batch 256."""
    return update(build(SAC, parse("sac", SACConfig, ["--env=HalfCheetah", "--warmup=200", "--capacity=2k"])))


def bbf_update() -> dict[str, float]:
    """BBF whole: Impala x4, batch 32, K = 5, priorities, augmentation; and what a game of Atari-100k takes."""
    flags = ["--env=Pong", "--preset=rr2", "--warmup=200", "--capacity=2k"]
    row = update(build(BBF, parse("bbf", BBFConfig, flags)), times=3)
    updates, h100 = 2 * 98_000, 2e14  # FLOP/s that convolutions in TF32 reach of its 4.9e14 (an assumption: 40 %)
    flops = row["limit ms"] * 1e-3 * row["peak GFLOP/s"] * 1e9
    return row | {
        "limit / update": row["limit ms"] / row["update ms"],
        "CPU days for 100k steps": updates * row["update ms"] / 1e3 / 86_400,
        "hours on an H100": updates * flops / h100 / 3_600,
    }


def update(made: tuple[World, Learner], times: int = 40) -> dict[str, float]:
    """An update beside the time its FLOPs take at the peak of a matrix product."""
    world, agent = made
    world.begin()
    for _ in world.loop(agent):
        if agent.clock["steps"] >= 300:
            break
    for _ in range(min(times, 5)):
        agent.update()
    with FlopCounterMode(display=False) as counter:
        agent.update()
    took, best = seconds(agent.update, times), peak()
    limit, size = counter.get_total_flops() / best, {"GFLOP": counter.get_total_flops() / 1e9}
    timed = {"update ms": 1e3 * took, "limit ms": 1e3 * limit, "update / limit": took / limit}
    return size | {"peak GFLOP/s": best / 1e9} | timed


def priorities(rows: int = 1_000_000, size: int = 64) -> dict[str, float]:
    """Drawing by priority among a million rows, and writing the new ones: small frames, as only the tree grows."""
    replay = Prioritized(Uniform(rows, (1,), np.float32))
    keys = np.arange(rows - 1)
    replay.ring.stop = rows
    replay.tree.set(keys, np.random.default_rng(0).random(rows - 1, np.float32))
    rng, index = np.random.default_rng(0), torch.from_numpy(keys[:size].copy())
    td = torch.rand(size)
    drawn = seconds(lambda: replay.tree.sample(size, rng), 9, 100)
    written = seconds(lambda: replay.reprioritize(index, td), 9, 100)
    return {"draw of 64 us": 1e6 * drawn, "update of 64 us": 1e6 * written}


def classifier() -> dict[str, float]:
    """A step of the classifier, batch 16 of MNIST into an MLP 2x128, beside the same in bare torch."""
    flags = ["--env=labels:mnist", "--hidden", "128", "128", "--task-every=never"]
    world, agent = build(Classifier, parse("classifier", ClassifierConfig, flags))
    world.begin()
    steps = iter(world.loop(agent))
    data = agent.replay.peek(1_200, np.random.default_rng(0))
    x, y = data.obs.flatten(1).float() / 255, data.action
    sizes = (x.shape[1], 128, 128, 10)
    layers = [layer for pair in pairwise(sizes) for layer in (torch.nn.Linear(*pair), torch.nn.ReLU())][:-1]
    net = torch.nn.Sequential(*layers)
    opt = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
    order = torch.randperm(len(y)).view(-1, 16)

    def ours() -> None:
        next(steps)
        agent.update()

    def bare() -> None:
        index = order[agent.clock["steps"] % len(order)]
        opt.zero_grad()
        torch.nn.functional.cross_entropy(net(x[index]), y[index]).backward()  # type: ignore[no-untyped-call]
        opt.step()

    rows = [(seconds(ours, 5, 100), seconds(bare, 5, 100)) for _ in range(9)]
    ratio = median(a / b for a, b in rows)
    return {"step us": 1e6 * median(a for a, _ in rows), "bare us": 1e6 * median(b for _, b in rows), "ratio": ratio}


def replay(rows: int = 10_000) -> dict[str, float]:
    """Sampling 32 transitions of 4x84x84 frames: ours and SB3's ReplayBuffer, filled with the same number of rows."""
    from gymnasium.spaces import Box, Discrete
    from stable_baselines3.common.buffers import ReplayBuffer

    rng = np.random.default_rng(0)
    mine = Uniform(rows, (84, 84), np.uint8, 4)
    theirs = ReplayBuffer(rows, Box(0, 255, (4, 84, 84), np.uint8), Discrete(6), device="cpu")
    obs = rng.integers(255, size=(2, 1, 4, 84, 84), dtype=np.uint8)
    kinds = [dm_env.StepType.FIRST, *[dm_env.StepType.MID] * (rows - 1)]
    zero, one, action = np.zeros(1, np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    for k, kind in enumerate(kinds):
        now = dm_env.TimeStep(np.array([kind]), zero, one, obs[k % 2])
        mine.add(now, action, dm_env.TimeStep(np.array([dm_env.StepType.MID]), zero, one, obs[1 - k % 2]))
        theirs.add(obs[k % 2], obs[1 - k % 2], action, zero, np.zeros(1), [{}])
    out = mine.buffer(32, n=1)
    ours, peer = [], []
    for _ in range(5):
        ours.append(seconds(lambda: mine.sample(32, rng, out=out), 200))
        peer.append(seconds(lambda: theirs.sample(32), 200))
    ratio = median(a / b for a, b in zip(ours, peer, strict=True))
    width = {"bytes a transition": float(mine.ring.row_bytes), "SB3 bytes": 2 * 4 * 84 * 84 + 17.0}
    return {"sample us": 1e6 * median(ours), "SB3 us": 1e6 * median(peer), "sample / SB3": ratio} | width


def overhead() -> dict[str, float]:
    """What measuring, recording, progress and the empty hooks cost, as a share of a DQN step on Pong."""
    with TemporaryDirectory() as scratch:
        os.environ.setdefault("COLUMNS", "100")
        settings = parse("dqn", DQNConfig, ["--env=Pong", "--warmup=100", "--capacity=2k", f"--out={scratch}/run"])
        world, agent = build(DQN, settings)
        with (
            RunLock(Path(scratch) / "run") as lock,
            Stop() as stop,
            Session(settings, world, agent, lock, stop) as session,
        ):
            steps = iter(world.loop(agent))
            for _ in range(400):
                next(steps)
            idle = seconds(session.measure, 20, repeat=1_000)
            empty = seconds(agent.chain.tick, 20, repeat=1_000)
            agent.update()
            row = seconds(lambda: session.recorder.write(session.step, session.row()), 20)
            step = seconds(lambda: next(steps), 40) + seconds(agent.update, 40) / 4
    every = settings.run.record_every.n
    return {"step ms": 1e3 * step, "recording and hooks / step": (idle + 2 * empty + row / every) / step}
