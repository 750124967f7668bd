"""From settings to a world and an agent that learns in it."""

from collections.abc import Callable
from difflib import get_close_matches

import torch

from agents.arena import Arena
from agents.flags import Settings
from agents.learner import Learner
from agents.school import School
from agents.world import World
from envs.streams import StreamSettings
from interventions.chain import Chain


def problems(settings: Settings) -> list[str]:
    """Every problem of a command line that can be seen without building it."""
    rows = settings.run.problems() + settings.config.problems()
    tries: tuple[Callable[[], object], ...] = (lambda: world(settings), lambda: device(settings.run.device))
    for make in tries:
        try:
            make()
        except ValueError as error:
            rows += str(error).splitlines()
    capacity, envs = settings.config.rl.capacity, settings.run.num_envs
    return rows + ([f"capacity {capacity} holds no transition of {envs} envs"] if capacity < 2 * envs else [])


def world(settings: Settings) -> World:
    """Where the agent learns; ValueError names every setting that it cannot take."""
    run, game, tasks, config = settings.run, settings.game, settings.tasks, settings.config
    if isinstance(game, StreamSettings):
        return School(run, game, tasks, config.learn.batch_size)
    return Arena(run, game, tasks, config.rl)


def build(kind: type[Learner], settings: Settings) -> tuple[World, Learner]:
    """ValueError names every setting that this environment or agent cannot take."""
    place = world(settings)
    kind.accepts(place.spec)
    chain, where = Chain(settings.methods), device(settings.run.device)
    return place, kind(place.spec, settings.config, place.replay(), chain, settings.run.seed, where)


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
