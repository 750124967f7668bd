"""Games small enough to check by hand: a chain with a known Q*, catch with lives (after bsuite), a counter, a reach
that is felt or seen."""

from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.ale import plain
from envs.spec import EnvSpec, Game, Tally
from envs.toy_reach import Look, Reach


class Chain:
    """Five cells, one-hot float32; 0 goes left, 1 right. The right end ends the game with reward 1; a game starts at
    the left end and is cut off after 20 steps."""

    LENGTH, LIMIT = 5, 20

    def __init__(self) -> None:
        self.spec = EnvSpec("toy:chain", Box(0, 1, (self.LENGTH,), np.float32), Discrete(2))
        self._cell, self._tally = 0, Tally()

    def seed(self, seed: int) -> None:
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        self._cell, self._tally = 0, Tally(over=False)
        self._write(obs)

    def step(self, action: int, obs: np.ndarray) -> tuple[float, float, bool]:
        self._cell = max(self._cell + (1 if action == 1 else -1), 0)
        self._write(obs)
        won = self._cell == self.LENGTH - 1
        self._tally.add(float(won), won or self._tally.steps + 1 >= self.LIMIT)
        return float(won), float(not won), self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {"cell": self._cell, "tally": asdict(self._tally)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._cell, self._tally = state["cell"], Tally(**state["tally"])

    def _write(self, obs: np.ndarray) -> None:
        obs[:] = 0
        obs[self._cell] = 1


def chain_q_star(gamma: float) -> np.ndarray:
    """The optimal values of toy:chain, [5 cells, 2 actions]; zero at the right end, where nobody acts any more."""
    value = gamma ** np.arange(Chain.LENGTH - 2, -1, -1.0)  # of the cells 0..3: gamma^3, gamma^2, gamma, 1
    left = gamma * np.concatenate((value[:1], value[:-1]))
    return np.concatenate((np.stack((left, value), axis=1), np.zeros((1, 2))))


class Catch:
    """Catch (bsuite, Osband et al. 2020, arXiv:1908.03568) in 44x44 uint8 frames, a stack of 4.

    Actions: left, stay, right. A ball falls one row a step from a random column; caught it pays 1, missed it costs 1
    and a life, and the next one falls. A lost life ends the episode with discount 0, the last one ends the game too;
    the 35th step of a game is its last, with discount 1. Deviation: in bsuite a game is one ball on a board of 10x5.
    """

    SIDE, CELL, LIMIT = 11, 4, 35

    def __init__(self, name: str = "toy:catch", lives: int = 1) -> None:
        size = self.SIDE * self.CELL
        self.spec = EnvSpec(name, Box(0, 255, (4, size, size), np.uint8), Discrete(3), stack=4)
        self._rng = np.random.Generator(np.random.PCG64(0))
        self._all_lives, self._lives = lives, lives
        self._row, self._column, self._paddle = 0, 0, 0
        self._stack = np.zeros(self.spec.observation.shape, np.uint8)
        self._tally = Tally()

    def seed(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        if self._tally.over:
            self._tally, self._lives, self._paddle = Tally(over=False), self._all_lives, self.SIDE // 2
            self._drop()
        self._stack[:] = 0
        self._look(obs)

    def step(self, action: int, obs: np.ndarray) -> tuple[float, float, bool]:
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self.SIDE - 1)
        self._row += 1
        landed, caught = self._row == self.SIDE - 1, self._column == self._paddle
        missed = landed and not caught
        self._lives -= missed
        reward = float(landed and caught) - float(missed)
        self._tally.add(reward, self._lives == 0 or self._tally.steps + 1 >= self.LIMIT)
        self._look(obs)
        if landed:
            self._drop()
        return reward, float(not missed), missed or self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        board = {"row": self._row, "column": self._column, "paddle": self._paddle, "lives": self._lives}
        rng, stack = self._rng.bit_generator.state, self._stack.copy()
        return board | {"rng": rng, "stack": stack, "tally": asdict(self._tally)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._row, self._column, self._paddle = state["row"], state["column"], state["paddle"]
        self._lives, self._tally = state["lives"], Tally(**state["tally"])
        self._rng.bit_generator.state = state["rng"]
        self._stack[:] = state["stack"]

    def _drop(self) -> None:
        self._row, self._column = 0, int(self._rng.integers(self.SIDE))

    def _look(self, obs: np.ndarray) -> None:
        self._stack[:-1] = self._stack[1:]
        self._stack[-1] = 0
        for row, column in ((self._row, self._column), (self.SIDE - 1, self._paddle)):
            y, x = row * self.CELL, column * self.CELL
            self._stack[-1, y : y + self.CELL, x : x + self.CELL] = 255
        obs[...] = self._stack


class Counter:
    """obs = (t, game) float32, reward 10^(t mod 4): every return can be read off its digits. Even games truly end after
    11 steps, odd ones are cut off after 7; actions do nothing."""

    TERMINAL, LIMIT = 11, 7

    def __init__(self) -> None:
        self.spec = EnvSpec("toy:counter", Box(0, np.inf, (2,), np.float32), Discrete(2))
        self._game, self._tally = -1, Tally()

    def seed(self, seed: int) -> None:
        self._game, self._tally = -1, Tally()

    def reset(self, obs: np.ndarray) -> None:
        self._game, self._tally = self._game + 1, Tally(over=False)
        obs[:] = 0, self._game

    def step(self, action: int, obs: np.ndarray) -> tuple[float, float, bool]:
        reward, cut_off = 10.0 ** (self._tally.steps % 4), self._game % 2 == 1
        self._tally.add(reward, self._tally.steps + 1 == (self.LIMIT if cut_off else self.TERMINAL))
        obs[:] = self._tally.steps, self._game
        return reward, float(cut_off or not self._tally.over), self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {"game": self._game, "tally": asdict(self._tally)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._game, self._tally = state["game"], Tally(**state["tally"])


SIMPLE: dict[str, type[Chain | Counter | Look | Reach]] = {
    "toy:chain": Chain,
    "toy:counter": Counter,
    "toy:look": Look,
    "toy:reach": Reach,
}
NAMES = tuple(sorted((*SIMPLE, "toy:catch", "toy:lives")))


def canonical(name: str) -> str | None:
    """ "Toy:Chain" -> "toy:chain"; None if it is no toy."""
    return {plain(toy): toy for toy in NAMES}.get(plain(name))


def make_toy(name: str) -> Game:
    """A toy by its canonical name. toy:lives is catch with two lives: lost lives, ends and time limits in 35 steps."""
    if name in SIMPLE:
        return SIMPLE[name]()
    return Catch(name, lives=2 if name == "toy:lives" else 1)
