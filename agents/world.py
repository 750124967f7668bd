"""What a learner lives in: an environment it acts in, or a stream of labelled data. main treats both alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import dm_env

from agents.learner import Learner
from envs.spec import EnvSpec
from replay.base import Replay

Row = dict[str, float]


class World(ABC):
    """Owns the run's environment or stream, and everything of it that a checkpoint must hold."""

    spec: EnvSpec
    now: dm_env.TimeStep | None = None  # what an agent acts on; None where nobody acts
    about: str = ""  # a sentence for the first lines on the screen

    @abstractmethod
    def replay(self) -> Replay:
        """What the agent learns from."""

    @abstractmethod
    def begin(self) -> None:
        """A new run: state_dict and loop can then be called, as after load_state_dict."""

    @abstractmethod
    def loop(self, agent: Learner, resumed: bool = False) -> Iterator[None]:
        """Yields once per agent step, before the updates of that step."""

    @abstractmethod
    def news(self, agent: Learner) -> list[Row]:
        """Rows of what ended since the last call: games, visits of a task, tasks."""

    @abstractmethod
    def evaluate(self, agent: Learner, stop: Callable[[], bool]) -> Row | None:
        """The row of an evaluation; None if `stop` came true before its end."""

    @abstractmethod
    def closing(self) -> list[Row]:
        """Rows of what the end of the run cuts short."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
