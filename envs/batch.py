"""N games, stepped in turn, as one Env: exact, and per CPU-second as fast as a C++ vector of them."""

from collections.abc import Sequence
from typing import Any

import dm_env
import numpy as np

from envs.spec import Finished, Game

FIRST, MID, LAST = (np.uint8(kind) for kind in dm_env.StepType)
FIELDS = (("env", np.int64), ("score", np.float64), ("steps", np.int64))  # of Finished


class Games:
    """An Env of N games. Two TimeSteps are filled in turn, so `now` stays valid while `then` is made."""

    def __init__(self, games: Sequence[Game]) -> None:
        self.spec, self.num_envs = games[0].spec, len(games)
        self._games = list(games)
        self._now, self._then = self._blank(), self._blank()
        self._last = np.ones(self.num_envs, bool)  # which games are at LAST: their next step is FIRST
        self._finished: list[Finished] = []
        self._started = False

    def reset(self, seed: int) -> dm_env.TimeStep:
        """Game i is seeded with the i-th child of `seed`, whatever N is."""
        for game, child in zip(self._games, np.random.SeedSequence(seed).spawn(self.num_envs), strict=True):
            game.seed(int(child.generate_state(1, np.uint64)[0]))
        self._started = True
        self._finished.clear()
        self._last[:] = True
        return self.step(np.zeros(self.num_envs))

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        if not self._started:
            raise RuntimeError(f"{self.spec.name} has no game in play; call reset(seed) or load_state_dict first")
        self._now, self._then = self._then, self._now
        for i in range(self.num_envs):
            if self._last[i]:
                self._begin(i)
            else:
                self._act(i, action[i])
        if self.spec.observation.dtype.kind == "f":
            self._check()
        return self._now

    def finished(self) -> list[Finished]:
        finished, self._finished = self._finished, []
        return finished

    def state_dict(self) -> dict[str, Any]:
        """The TimeStep in the caller's hands is the caller's to save; nothing else of the buffers is needed."""
        return {
            "games": {str(i): game.state_dict() for i, game in enumerate(self._games)},
            "last": self._last.copy(),
            "started": self._started,
            "finished": {key: np.array([getattr(f, key) for f in self._finished], dtype) for key, dtype in FIELDS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["games"]) != self.num_envs:
            raise ValueError(f"the state holds {len(state['games'])} games of {self.spec.name}, not {self.num_envs}")
        for i, game in enumerate(self._games):
            game.load_state_dict(state["games"][str(i)])
        self._last[:] = state["last"]
        self._started = state["started"]
        columns = (state["finished"][key].tolist() for key, _ in FIELDS)
        self._finished = [Finished(*row) for row in zip(*columns, strict=True)]

    def _blank(self) -> dm_env.TimeStep:
        n, space = self.num_envs, self.spec.observation
        obs = np.zeros((n, *space.shape), space.dtype)
        return dm_env.TimeStep(np.full(n, LAST), np.zeros(n, np.float32), np.ones(n, np.float32), obs)

    def _begin(self, i: int) -> None:
        step_type, reward, discount, obs = self._now
        self._games[i].reset(obs[i])
        step_type[i], reward[i], discount[i] = FIRST, 0, 1
        self._last[i] = False

    def _act(self, i: int, action: Any) -> None:
        step_type, reward, discount, obs = self._now
        reward[i], discount[i], last = self._games[i].step(action, obs[i])
        step_type[i] = LAST if last else MID
        self._last[i] = last
        if whole := self._games[i].finished():
            self._finished.append(Finished(i, *whole))

    def _check(self) -> None:
        finite = np.isfinite(self._now.reward)  # [N]
        finite &= np.isfinite(self._now.observation).reshape(self.num_envs, -1).all(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite).tolist()
            raise FloatingPointError(f"{self.spec.name} gave a reward or observation that is not finite in envs {bad}")
