"""N games, stepped in turn, as one Env: exact, and per CPU-second as fast as a C++ vector of them.

Of a sequence of tasks all games play the same one. The row in which their steps cross the end of a task is LAST for
every game that acts in it, with the discount that its step gave; a game that begins in this row or later is of the next
task. So FIRST follows LAST and nothing else, and what is cut off can be told from what ended.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dm_env
import numpy as np

from envs.spec import Finished, Game
from envs.tasks import TaskSequence, visit_seed

FIRST, MID, LAST = (np.uint8(kind) for kind in dm_env.StepType)
FIELDS = (("env", np.int64), ("score", np.float64), ("steps", np.int64), ("task", np.int64))  # of Finished


class Games:
    """An Env of N games. Two TimeSteps are filled in turn, so `now` stays valid while `then` is made."""

    def __init__(self, games: Sequence[Game], sequence: TaskSequence | None = None) -> None:
        """games: the N of the first task."""
        self._sequence = sequence or TaskSequence((games[0].spec.name,))
        self.tasks, self.task, self.num_envs = self._sequence.tasks, 0, len(games)
        self.spec = replace(games[0].spec, name=",".join(self.tasks))
        self._games = list(games)
        self._visits = [0] * self.num_envs  # of the sequence, by game
        self._factors = np.full(self.num_envs, self._sequence.reward[0], np.float32)
        self._switches, self._scales = bool(self._sequence.every), any(x != 1 for x in self._sequence.reward)
        self._now, self._then = self._blank(), self._blank()
        self._last = np.ones(self.num_envs, bool)  # which games are at LAST: their next step is FIRST
        self._finished: list[Finished] = []
        self._started = False
        self._seed, self._steps, self._due = 0, 0, 0  # steps are counted only where tasks switch; due: a visit

    def reset(self, seed: int) -> dm_env.TimeStep:
        """Game i is seeded with the i-th child of `seed`, whatever N is."""
        self._seed, self._steps, self._due = seed, 0, 0
        for i in range(self.num_envs):
            self._turn(i, 0)
            self._games[i].seed(visit_seed(seed, i, 0))
        self._started = True
        self._finished.clear()
        self._last[:] = True
        return self.step(np.zeros(self.num_envs))

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        if not self._started:
            raise RuntimeError(f"{self.spec.name} has no game in play; call reset(seed) or load_state_dict first")
        self._now, self._then = self._then, self._now
        over = self._switches and self._advance()
        for i in range(self.num_envs):
            if self._last[i]:
                self._begin(i)
            else:
                self._act(i, action[i])
        if over:
            self._cut_off()
        if self._scales:
            np.multiply(self._now.reward, self._factors, out=self._now.reward)
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
            "visits": np.array(self._visits, np.int64),
            "steps": self._steps,
            "seed": self._seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["games"]) != self.num_envs:
            raise ValueError(f"the state holds {len(state['games'])} games of {self.spec.name}, not {self.num_envs}")
        for i, visit in enumerate(state["visits"].tolist()):
            self._turn(i, visit)
            self._games[i].load_state_dict(state["games"][str(i)])
        self._last[:] = state["last"]
        self._started = state["started"]
        self._seed, self._steps = state["seed"], state["steps"]
        self._due = self._sequence.due(self._steps)
        columns = (state["finished"][key].tolist() for key, _ in FIELDS)
        self._finished = [Finished(*row) for row in zip(*columns, strict=True)]

    def _blank(self) -> dm_env.TimeStep:
        n, space = self.num_envs, self.spec.observation
        obs = np.zeros((n, *space.shape), space.dtype)
        return dm_env.TimeStep(np.full(n, LAST), np.zeros(n, np.float32), np.ones(n, np.float32), obs)

    def _begin(self, i: int) -> None:
        if self._visits[i] != self._due:
            self._turn(i, self._due)
            self._games[i].seed(visit_seed(self._seed, i, self._due))
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
            self._finished.append(Finished(i, *whole, self._visits[i]))

    def _turn(self, i: int, visit: int) -> None:
        """A newly made game of another visit: nothing of an earlier visit can live on in it."""
        if visit == self._visits[i]:
            return
        task = self._sequence.at(visit)
        self._games[i] = self._sequence.make[task]()
        self._factors[i] = self._sequence.reward[task]
        self._visits[i] = visit
        self.task = min(self._visits)

    def _advance(self) -> bool:
        """Count the steps of the row to come; True if they cross the end of a task."""
        self._steps += self.num_envs - int(np.count_nonzero(self._last))
        before, self._due = self._due, self._sequence.due(self._steps)
        return self._due > before

    def _cut_off(self) -> None:
        """The row just made is the task's last."""
        acted = self._now.step_type != FIRST
        self._now.step_type[acted] = LAST
        self._last |= acted

    def _check(self) -> None:
        finite = np.isfinite(self._now.reward)  # [N]
        finite &= np.isfinite(self._now.observation).reshape(self.num_envs, -1).all(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite).tolist()
            raise FloatingPointError(f"{self.spec.name} gave a reward or observation that is not finite in envs {bad}")
