"""A DQN with one hidden layer of 8 on toy:chain: as a value, along the loop, and as a whole command line."""

import dm_env
import numpy as np
import torch

from agents.config import LearnConfig, RLConfig
from agents.dqn import DQN, DQNConfig
from agents.flags import Settings, parse
from agents.main import run
from agents.memory import memory
from envs.make import make_env
from interventions.chain import Chain
from nets.encoders import NetConfig
from nets.optim import OptimConfig
from replay.batch import Batch
from runs.loop import interact

LINE = (
    *("--env=toy:chain", "--preset=none", "--hidden", "8", "--batch-size=8", "--capacity=200", "--warmup=20"),
    *("--record-every=20", "--eval-every=never", "--probe-every=never", "--save-every=never", "--lr=1e-3"),
    "--target-every=7",
)


def agent(env="toy:chain", num_envs=1, learn=None, optim=None, net=None, methods=(), seed=0, **options):
    """(environment, DQN) without a command line."""
    world = make_env(env, num_envs)
    rl = {"warmup": 20, "capacity": 500, **(learn or {})}
    learn = LearnConfig(rl.pop("batch_size", 8), OptimConfig(**{"lr": 1e-3, **(optim or {})}))
    config = DQNConfig(learn=learn, rl=RLConfig(**rl), net=NetConfig(**{"hidden": (8,), **(net or {})}), **options)
    chain, cpu = Chain(methods), torch.device("cpu")
    return world, DQN(world.spec, config, memory(world.spec, config.rl.capacity, num_envs), chain, seed, cpu)


def along(world, learner, steps, seed=0):
    """The loop of agents/main.py without a session; yields after the updates of each step."""
    for now in interact(learner, world, world.reset(seed)):
        learner.chain.tick()
        while learner.owed() > 0:
            learner.update()
        yield now
        if learner.clock["steps"] >= steps:
            return


def walked(world, learner, steps):
    for _ in along(world, learner, steps):
        pass
    return learner


def played(world, learner, steps):
    """As `walked`, in a World."""
    world.begin()
    for _ in world.loop(learner):
        learner.chain.tick()
        while learner.owed() > 0:
            learner.update()
        if learner.clock["steps"] >= steps:
            return learner


def parsed(*flags) -> Settings:
    return parse("dqn", DQNConfig, [*LINE, *flags])


def called(*flags) -> int:
    return run(DQN, DQNConfig, [*LINE, *flags])


def timestep(obs, kind=1):
    n = len(obs)
    return dm_env.TimeStep(np.full(n, kind, np.uint8), np.zeros(n, np.float32), np.ones(n, np.float32), obs)


def batch(obs, action, reward, discount, next_obs):
    n = len(action)
    return Batch(obs, action, torch.tensor(reward), torch.tensor(discount), next_obs, torch.ones(n), torch.arange(n))
