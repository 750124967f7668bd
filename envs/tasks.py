"""Sequences of tasks: "Pong,Breakout@mode=4,Pong" is three tasks in turn (Abbas et al. 2023, arXiv:2303.07507).

A task is a game and what is changed of it: NAME@key=value@key=value. mode and difficulty are Atari's own switches
(Machado et al. 2018, arXiv:1709.06009); friction multiplies that of every geom of a MuJoCo model (Dohare et al. 2024,
doi:10.1038/s41586-024-07711-7); reward multiplies the reward to learn from, after any clipping, so that reward=0 is a
phase without reward. Raw scores are of the game as it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import inf, isfinite
from typing import Any, Literal

import numpy as np

from envs.spec import Game
from runs.units import NEVER, Every, Period, broken

KEYS = {"atari": ("mode", "difficulty", "reward"), "mujoco": ("friction", "reward"), "data": ()}  # the rest: reward


@dataclass(frozen=True)
class TaskSettings:
    """Task sequences"""

    task_every: Every = NEVER
    """How long each task of a sequence lasts, in agent steps of all environments (minibatches for a stream), e.g. 5M
    (Abbas et al. 2023: 20M frames); or at which steps it changes, e.g. 20k,50k"""
    task_cycle: bool = True
    """Whether the sequence begins again after its last task (Abbas et al. 2023) or stays there"""
    task_replay: Literal["clear", "keep"] = "clear"
    """Whether the replay is emptied when the task changes (ours) or keeps what it has (Abbas et al. 2023)"""

    def problems(self) -> list[str]:
        return broken(self, {"task_every": (self.task_every.unit == "steps", "in agent steps, e.g. 1M or 20k,50k")})


@dataclass(frozen=True)
class Task:
    """A game by its canonical name, and what is changed of it; as a string, its name on the command line."""

    game: str
    mode: int | None = None
    difficulty: int | None = None
    friction: float = 1.0
    reward: float = 1.0

    def __str__(self) -> str:
        changed = [(f.name, getattr(self, f.name)) for f in fields(self)[1:] if getattr(self, f.name) != f.default]
        return "@".join((self.game, *(f"{key}={str(value).removesuffix('.0')}" for key, value in changed)))


@dataclass(frozen=True)
class TaskSequence:
    """T tasks, and which of them is due. Visit v is of task v mod T; visits go on counting when it begins again."""

    tasks: tuple[str, ...]
    make: tuple[Callable[[], Game], ...] = ()
    reward: tuple[float, ...] = (1.0,)  # the factor on each task's rewards
    every: Period = NEVER
    cycle: bool = True

    def due(self, steps: int) -> int:
        """The visit after so many steps."""
        visit = self.every.crossed(steps)
        return visit if self.cycle else min(visit, len(self.tasks) - 1)

    def at(self, visit: int) -> int:
        return visit % len(self.tasks)


def visit_seed(seed: int, env: int, visit: int) -> int:
    """The seed of one game: whatever N is, and for the first visit whatever T is."""
    key = (env, visit) if visit else (env,)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0])


def split(name: str) -> list[tuple[str, list[str]]]:
    """ "Pong@mode=1, Breakout" -> [("Pong", ["mode=1"]), ("Breakout", [])]."""
    return [(game.strip(), options) for game, *options in (part.split("@") for part in name.split(","))]


def changed(game: str, family: str, options: Sequence[str]) -> Task:
    """("Ant-v5", "mujoco", ["friction=.2"]) -> Task("Ant-v5", friction=0.2)."""
    values: dict[str, Any] = {}
    for option in options:
        key, _, text = option.partition("=")
        key = key.strip().lower()
        if key not in (known := KEYS.get(family, ("reward",))):
            raise ValueError(f"{game} has no {key!r} to change; {_nearest(key, known)}")
        if key in values:
            raise ValueError(f"{game} is given {key} twice; write it once")
        values[key] = _value(game, key, text.strip())
    return Task(game, **values)


def _value(game: str, key: str, text: str) -> int | float:
    if key in ("mode", "difficulty"):
        if text.isascii() and text.isdecimal():
            return int(text)
        raise ValueError(f"{game}: {key} is {text!r}, but must be a whole number, e.g. {game}@{key}=1")
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not isfinite(value) or (key == "friction" and value <= 0):
        least = " above 0" if key == "friction" else ""
        raise ValueError(f"{game}: {key} is {text!r}, but must be a number{least}, e.g. {game}@{key}=0.5")
    return value + 0.0  # 0, not -0


def _nearest(key: str, known: Sequence[str]) -> str:
    if not known:
        return "it is a stream of labelled data and takes no @"
    near = get_close_matches(key, known, 1)
    return f"did you mean {near[0]}?" if near else f"write e.g. @{known[0]}=1; there are {', '.join(known)}"
