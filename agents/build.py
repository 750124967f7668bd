"""From settings to an environment and an agent."""

from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import torch
from gymnasium.spaces import Discrete

from agents.flags import Settings
from agents.learner import Learner
from envs.make import make_env
from envs.spec import Env, EnvSpec
from interventions.chain import Chain
from replay.uniform import Uniform


def problems(settings: Settings) -> list[str]:
    """Every problem of a command line that can be seen without building it."""
    rows = settings.run.problems() + settings.config.problems()
    for make in (lambda: make_env(settings.run.env, 1, settings.game), lambda: device(settings.run.device)):
        try:
            make()
        except ValueError as error:
            rows += str(error).splitlines()
    capacity, envs = settings.config.learn.capacity, settings.run.num_envs
    return rows + ([f"capacity {capacity} holds no transition of {envs} envs"] if capacity < 2 * envs else [])


def build(kind: type[Learner], settings: Settings) -> tuple[Env, Learner]:
    """ValueError names every setting that this environment or agent cannot take."""
    env = make_env(settings.run.env, settings.run.num_envs, settings.game)
    kind.accepts(env.spec)
    learn = settings.config.learn
    agent = kind(
        spec=env.spec,
        config=settings.config,
        replay=memory(env.spec, learn.capacity, settings.run.num_envs),
        chain=Chain(settings.methods),
        seed=settings.run.seed,
        device=device(settings.run.device),
    )
    return env, agent


def examination(settings: Settings) -> Env:
    """Fresh environments for one evaluation: as in training, but a lost life never ends a game."""
    return make_env(settings.run.env, settings.run.eval_episodes, replace(settings.game, life_loss=False))


def memory(spec: EnvSpec, capacity: int, num_envs: int) -> Uniform:
    """A replay for these spaces: of a stack it keeps the newest frame."""
    shape, action = spec.observation.shape, spec.action
    return Uniform(
        capacity,
        shape[1:] if spec.stack else shape,
        spec.observation.dtype,
        spec.stack,
        () if isinstance(action, Discrete) else action.shape,
        np.int32 if isinstance(action, Discrete) else np.float32,
        num_envs,
    )


def device(name: str) -> torch.device:
    """auto takes a GPU if there is one."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if here["cuda"] else "cpu")
    kind, _, number = name.partition(":")
    if kind not in here or not (number.isdecimal() or not number):
        near = get_close_matches(kind, here, 1)
        raise ValueError(
            f"no device {name!r}; " + (f"did you mean {near[0]}?" if near else "write auto, cpu or cuda:0")
        )
    if not here[kind] or (kind == "cuda" and int(number or 0) >= torch.cuda.device_count()):
        raise ValueError(f"device {name} is not available on this machine; use --device auto or cpu")
    return torch.device(name)
