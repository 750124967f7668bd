"""What a forked life does to itself: die at a named point or at its k-th change of a file, stop, seal small chunks."""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import agents.arena
import agents.session
import runs.directory
from runs import chunks, faults

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}  # os.replace is audited as os.rename


def small() -> None:
    """Chunks of 16 rows, so that sealing and collecting them happens all the time; no picture, no call of git."""
    chunks.rows_per_chunk = lambda row_bytes: 16
    agents.session.draw = lambda path: path / "run.png"
    runs.directory.provenance = lambda root: {}


def point(text: str) -> Callable[[], None]:
    """Die at a named point of runs/faults.py: "part:2"."""

    def setup() -> None:
        small()
        faults.arm(text)

    return setup


def change(k: int) -> Callable[[], None]:
    """Die just before the k-th opening for writing, rename or removal of a file: between any two of them."""

    def setup() -> None:
        small()
        left = k

        def hook(event: str, args: tuple[Any, ...]) -> None:
            nonlocal left
            if event in CHANGES or (event == "open" and args[2] & WRITES):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return setup


def halt(*texts: str) -> Callable[[], None]:
    """Stop (SIGSTOP) at each of these points: halt("part:3", "dir-renamed:3")."""

    def setup() -> None:
        small()
        left = {name: int(k) for name, _, k in (text.partition(":") for text in texts)}

        def stop(name: str) -> None:
            if name in left:
                left[name] -= 1
                if left[name] == 0:
                    os.kill(os.getpid(), signal.SIGSTOP)

        faults.point = stop

    return setup


def stop_at(step: int, switching: bool = False) -> Callable[[], None]:
    """SIGTERM from within when this step has been measured; or the first from there in which the task has switched."""

    def setup() -> None:
        small()
        measure = agents.session.Session.measure

        def measured(self: agents.session.Session) -> None:
            measure(self)
            if self.step >= step and (not switching or getattr(self.world, "stale", False)):
                os.kill(os.getpid(), signal.SIGTERM)

        agents.session.Session.measure = measured

    return setup


def stop_in_evaluation(number: int) -> Callable[[], None]:
    """SIGTERM from within at the third action of an evaluation."""

    def setup() -> None:
        small()
        play, played = agents.arena.play, itertools.count(1)

        def stopped(act: Callable[[Any], Any], *rest: Any) -> Any:
            moves = itertools.count(1) if next(played) == number else itertools.repeat(0)

            def acting(now: Any) -> Any:
                if next(moves) == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                return act(now)

            return play(acting, *rest)

        agents.arena.play = stopped

    return setup
