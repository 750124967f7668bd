"""What an environment is: N games behind one batched dm_env.TimeStep (https://github.com/google-deepmind/dm_env)."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import dm_env
import numpy as np
from gymnasium.spaces import Box, Discrete


@dataclass(frozen=True)
class EnvSpec:
    """One game's spaces. `stack` past frames lie along axis 0 of an observation; 0 where it is no stack."""

    name: str
    observation: Box
    action: Discrete | Box
    frames_per_step: int = 1
    stack: int = 0


class Finished(NamedTuple):
    """A whole game that ended: raw, unclipped score and length in agent steps (life losses do not end a game).
    task counts the visits of a sequence: the game was of tasks[task % T]."""

    env: int
    score: float
    steps: int
    task: int = 0


class Env(Protocol):
    """N games stepped in turn. step_type, reward, discount: [N]; observation: [N, *O].

    After LAST the next step returns FIRST and ignores the action (dm_env's own rule); FIRST has reward 0 and
    discount 1. discount is 0 only where the episode truly ended; a time limit is LAST with discount 1.
    A TimeStep stays valid until the step after next.
    """

    spec: EnvSpec
    num_envs: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the sequence of T tasks; one name where there is no sequence."""
        ...

    @property
    def task(self) -> int:
        """How often the task has changed, in the environment where it is the least: all have begun tasks[task % T]."""
        ...

    def reset(self, seed: int) -> dm_env.TimeStep: ...
    def step(self, action: np.ndarray) -> dm_env.TimeStep: ...
    def finished(self) -> list[Finished]:
        """Whole games that ended since the last call."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Game(Protocol):
    """One game, unbatched: what a new family of environments implements; envs/batch.py makes an Env of N of them."""

    spec: EnvSpec

    def seed(self, seed: int) -> None:
        """Start all randomness anew; the next reset begins a new game."""
        ...

    def reset(self, obs: np.ndarray) -> None:
        """Begin the next episode (after a life loss the same game goes on); write its first observation into obs."""
        ...

    def step(self, action: Any, obs: np.ndarray) -> tuple[float, float, bool]:
        """Act and write the observation into obs: reward to learn from, discount (0 = truly ended), last."""
        ...

    def finished(self) -> tuple[float, int] | None:
        """(raw score, steps) if the step just made ended a whole game."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class Tally:
    """The game in play: its raw score and agent steps so far, and whether it is over (then a reset begins another)."""

    score: float = 0.0
    steps: int = 0
    over: bool = True

    def add(self, reward: float, over: bool) -> None:
        self.score, self.steps, self.over = self.score + float(reward), self.steps + 1, bool(over)

    def finished(self) -> tuple[float, int] | None:
        return (self.score, self.steps) if self.over else None
