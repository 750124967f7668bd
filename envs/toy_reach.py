"""Toys of continuous actions: a reach that is felt, or seen."""

from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from envs.spec import EnvSpec, Tally


class Reach:
    """A point x on a line, float32 [1]. An action a in [-1, 1] moves it by 0.2 a and pays -|x|, after the move; a game
    starts evenly in [-1, 1], truly ends where |x| >= 1.5 and is cut off after 12 steps."""

    PACE, EDGE, LIMIT = 0.2, 1.5, 12

    def __init__(self) -> None:
        self.spec = EnvSpec("toy:reach", Box(-2, 2, (1,), np.float32), Box(-1, 1, (1,), np.float32))
        self._rng = np.random.Generator(np.random.PCG64(0))
        self._x, self._tally = 0.0, Tally()

    def seed(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        self._x, self._tally = float(self._rng.uniform(-1, 1)), Tally(over=False)
        obs[0] = self._x

    def step(self, action: np.ndarray, obs: np.ndarray) -> tuple[float, float, bool]:
        self._x += self.PACE * min(max(float(action[0]), -1.0), 1.0)
        obs[0] = self._x
        fell = abs(self._x) >= self.EDGE
        self._tally.add(-abs(self._x), fell or self._tally.steps + 1 >= self.LIMIT)
        return -abs(self._x), float(not fell), self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {"x": self._x, "rng": self._rng.bit_generator.state, "tally": asdict(self._tally)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._x, self._tally = state["x"], Tally(**state["tally"])
        self._rng.bit_generator.state = state["rng"]


class Look:
    """toy:reach, seen: a stack of 3 pictures of 24x24 in red, green and blue, uint8. A red bar of two columns stands at
    x, a blue one at the goal."""

    SIDE, STACK = 24, 3

    def __init__(self) -> None:
        self._reach, self._felt = Reach(), np.zeros(1, np.float32)
        self._stack = np.zeros((3 * self.STACK, self.SIDE, self.SIDE), np.uint8)
        space = Box(0, 255, self._stack.shape, np.uint8)
        self.spec = EnvSpec("toy:look", space, self._reach.spec.action, stack=self.STACK)

    def seed(self, seed: int) -> None:
        self._reach.seed(seed)

    def reset(self, obs: np.ndarray) -> None:
        self._reach.reset(self._felt)
        self._stack[:] = 0
        self._look(obs)

    def step(self, action: np.ndarray, obs: np.ndarray) -> tuple[float, float, bool]:
        row = self._reach.step(action, self._felt)
        self._look(obs)
        return row

    def finished(self) -> tuple[float, int] | None:
        return self._reach.finished()

    def state_dict(self) -> dict[str, Any]:
        return {"reach": self._reach.state_dict(), "stack": self._stack.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._reach.load_state_dict(state["reach"])
        self._stack[:] = state["stack"]

    def _look(self, obs: np.ndarray) -> None:
        self._stack[:-3] = self._stack[3:]
        self._stack[-3:] = 0
        for colour, x in ((0, float(self._felt[0])), (2, 0.0)):
            left = round((x + 2) / 4 * (self.SIDE - 2))  # x lies in [-2, 2]
            self._stack[colour - 3, :, left : left + 2] = 255
        obs[...] = self._stack
