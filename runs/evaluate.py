"""Evaluation: whole games with raw scores, on fresh environments; its steps are not in the clock."""

from collections.abc import Callable, Sequence
from typing import Protocol

import dm_env
import numpy as np


class Played(Protocol):
    """A whole game that ended in environment `env`."""

    @property
    def env(self) -> int: ...
    @property
    def score(self) -> float: ...


class Games(Protocol):
    num_envs: int

    def reset(self, seed: int) -> dm_env.TimeStep: ...
    def step(self, action: np.ndarray) -> dm_env.TimeStep: ...
    def finished(self) -> Sequence[Played]: ...


def play(
    act: Callable[[dm_env.TimeStep], np.ndarray], games: Games, seed: int, stop: Callable[[], bool] = bool
) -> np.ndarray | None:
    """The first whole game of each of the N environments, [N] raw scores; None if `stop` comes true before the end.
    One game each, so that none is favoured for being short; the same seed gives the same games."""
    scores = np.full(games.num_envs, np.nan)
    now = games.reset(seed)
    while np.isnan(scores).any():
        if stop():
            return None
        now = games.step(act(now))
        for game in games.finished():
            if np.isnan(scores[game.env]):
                scores[game.env] = game.score
    return scores
