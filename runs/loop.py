"""The loop as a generator, and the timetable of what is measured along it."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import dm_env
import numpy as np

from runs.units import Period


class Actor(Protocol):
    """What the loop needs of an agent."""

    clock: dict[str, int]
    rng: dict[str, np.random.Generator]

    def act(self, now: dm_env.TimeStep, rng: np.random.Generator) -> np.ndarray: ...
    def remember(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> None: ...


class World(Protocol):
    """What the loop needs of an environment."""

    def step(self, action: np.ndarray) -> dm_env.TimeStep: ...


def interact(agent: Actor, env: World, now: dm_env.TimeStep, resumed: bool = False) -> Iterator[dm_env.TimeStep]:
    """Act, step, remember, count, yield. A resumed run enters at the yield: that step's updates are still owed.

    A step is a row whose `then` is not FIRST, counted over all N environments.
    """
    if resumed:
        yield now
    while True:
        action = agent.act(now, agent.rng["act"])
        then = env.step(action)
        agent.remember(now, action, then)
        agent.clock["steps"] += int(np.count_nonzero(then.step_type != dm_env.StepType.FIRST))
        now = then
        yield now


class Timetable:
    """Periods in agent steps; each fires on crossing, so that no resume and no batch of envs skips or repeats one."""

    def __init__(self, periods: Mapping[str, Period]) -> None:
        self.periods = dict(periods)
        self.fired = dict.fromkeys(periods, 0)

    def due(self, name: str, step: int) -> bool:
        """Whether `name` has come round since it was last due."""
        crossed = self.periods[name].crossed(step)
        fires = crossed > self.fired[name]
        self.fired[name] = crossed
        return fires

    def put_off(self, name: str) -> None:
        """What was due could not be done: it is due again."""
        self.fired[name] -= 1

    def state_dict(self) -> dict[str, Any]:
        return {name: [str(period), self.fired[name]] for name, period in self.periods.items()}

    def load_state_dict(self, state: Mapping[str, Any], step: int) -> None:
        """A period that was changed on resume starts where its clock stands."""
        for name, period in self.periods.items():
            text, fired = state.get(name, ("", 0))
            self.fired[name] = fired if text == str(period) else period.crossed(step)
