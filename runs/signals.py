"""Signals and the time limit ask for a stop; the loop saves at its next safe point. A second SIGINT does not wait."""

import math
import os
import signal
import time
from types import FrameType
from typing import Self

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
STOPPED, INTERRUPTED = 75, 130  # exit codes: call me again; the user would not wait


class Stop:
    """Truthy once a signal or the time limit (seconds, 0 for none) asks for a stop; str() says which."""

    def __init__(self, limit: float = 0) -> None:
        self.asked = ""
        self.end = time.monotonic() + limit if limit else math.inf
        self.before = {which: signal.signal(which, self.hear) for which in STOPS}

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked == "SIGINT" and number == signal.SIGINT:
            os._exit(INTERRUPTED)  # the previous checkpoint stands: a save is committed by one rename
        self.asked = signal.Signals(number).name

    def __bool__(self) -> bool:
        return bool(self.asked) or time.monotonic() > self.end

    def __str__(self) -> str:
        return self.asked or "the time limit"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for which, handler in self.before.items():
            signal.signal(which, handler)
