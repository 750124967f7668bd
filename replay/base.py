"""What an agent asks of a replay. A stream of labelled data answers the same questions."""

from collections.abc import Mapping
from typing import Any, Protocol

import dm_env
import numpy as np
from torch import Tensor

from replay.batch import Batch


class Rows(Protocol):
    """An append-only store of rows start..stop-1 (absolute numbers); rows below stop-1 never change."""

    start: int
    stop: int

    @property
    def row_bytes(self) -> int: ...
    def rows(self, lo: int, hi: int) -> dict[str, np.ndarray]: ...
    def put_rows(self, lo: int, arrays: Mapping[str, np.ndarray]) -> None: ...


class Replay(Protocol):
    """Remembers transitions of N environments and hands out minibatches of them."""

    def add(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> None:
        """What followed `now` under `action`. Where `then` is FIRST it was a reset, which is no transition."""
        ...

    def sample(
        self,
        size: int,
        rng: np.random.Generator,
        n: int = 1,
        gamma: float = 0.99,
        out: Batch | None = None,
        k: int = 0,
    ) -> Batch:
        """A minibatch of `size` transitions of up to n steps to learn from, on the CPU; into `out` if given, which the
        next call may overwrite. obs and next_obs may share memory: nobody writes into them. With k it has the future of
        k steps, if one is kept."""
        ...

    def peek(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99, k: int = 0) -> Batch:
        """`size` transitions, each as likely as any other, in memory of their own; moves nothing but rng."""
        ...

    def held(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> Batch | None:
        """As `peek`, of the episodes held out from `sample` and `peek`; None if there are none."""
        ...

    def returns(
        self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99
    ) -> tuple[Batch, Tensor] | None:
        """As `peek`, of recent transitions whose outcome is known, and the discounted return from each, [B]; None if
        there are none."""
        ...

    def buffer(self, size: int, n: int = 0, k: int = 0) -> Batch:
        """A Batch to pass as `out` with this n, 0 for any, and this k."""
        ...

    def excerpt(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> dict[str, np.ndarray]:
        """A sample to be stored with a snapshot, each frame once."""
        ...

    def logs(self) -> Mapping[str, "Rows"]:
        """The stores of rows that a checkpoint appends to; state_dict holds the rest."""
        ...

    def reprioritize(self, index: Tensor, td: Tensor) -> None:
        """What a part's loss said of the transitions at index [B]: errors or losses, [B] or [K, B]."""
        ...

    def thin(self, keep: float = 0.0) -> None:
        """Keep the newest fraction of what can be sampled; nothing by default."""
        ...

    def __len__(self) -> int: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
