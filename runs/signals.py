"""Signals set a flag; the loop saves at its next safe point and stops. A second SIGINT does not wait."""

import os
import signal
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
STOPPED, INTERRUPTED = 75, 130  # exit codes: call me again; the user would not wait


class Stop:
    """Truthy once a signal or the time limit asks for a stop; str() says which."""

    def __init__(self) -> None:
        self.asked = ""
        self.before = {which: signal.signal(which, self.hear) for which in STOPS}

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked == "SIGINT" and number == signal.SIGINT:
            os._exit(INTERRUPTED)  # the previous checkpoint stands: a save is committed by one rename
        self.asked = signal.Signals(number).name

    def __bool__(self) -> bool:
        return bool(self.asked)

    def __str__(self) -> str:
        return self.asked

    def close(self) -> None:
        for which, handler in self.before.items():
            signal.signal(which, handler)
