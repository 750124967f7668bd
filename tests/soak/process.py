"""One life of a run: a fork that trains, or a real `python -m agents.dqn`, `agents.sac` or `agents.classifier`.

Forks save the seconds of importing torch, so that a kill costs little. They are exact: the reference is a real process.
"""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from agents.config import AgentConfig
from agents.flags import parse
from agents.learner import Learner
from agents.main import run
from envs.data import load

ROOT = Path(__file__).resolve().parents[2]
HANG = 180.0  # seconds after which a life that should have ended is a failure
PDEATHSIG = 1  # prctl: a life ends with the harness


class Failure(Exception):
    """What the soak is there to find."""


@dataclass(frozen=True)
class End:
    """How a life ended. code: the exit code, or minus the signal that ended it."""

    code: int
    log: str

    def expect(self, *codes: int) -> "End":
        if self.code not in codes:
            raise Failure(f"ended with {self.code}, not {' or '.join(map(str, codes))}:\n{self.log[-2000:]}")
        return self


class Life:
    """A process that runs `python` with a line; `setup` is called in it first, a real one gets `variables` instead."""

    def __init__(
        self,
        line: list[str],
        log: Path,
        setup: Callable[[], None] = lambda: None,
        real: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        if (threads := len(os.listdir("/proc/self/task"))) != 1:
            raise RuntimeError(f"{threads} threads here: a fork would not be a clean process")
        self.log, self.start = log, time.monotonic()
        log.write_text("")
        self.pid = os.fork()
        if not self.pid:
            live(line, log, setup, real, variables or {})

    def wait(self, seconds: float = HANG, stopped: bool = False) -> End | None:
        """Its end; None if it is `stopped` by SIGSTOP instead."""
        if not self.ended(seconds, stopped):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise Failure(f"still there after {seconds:.0f} s:\n{self.log.read_text()[-2000:]}")
        return None if os.WIFSTOPPED(self.status) else self.end()

    def end(self, seconds: float = HANG) -> End:
        if not hasattr(self, "status") or os.WIFSTOPPED(self.status):
            self.wait(seconds)
        return End(os.waitstatus_to_exitcode(self.status), self.log.read_text())

    def ended(self, seconds: float, stopped: bool = False) -> bool:
        """Whether it ends (or stops) within so many seconds."""
        until = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | (os.WUNTRACED if stopped else 0))
            if pid:
                self.status = status
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.004)

    def says(self, text: str) -> bool:
        """Waits until it has said so; False if it ended first."""
        while text not in self.log.read_text():
            if self.ended(0.01):
                return False
            if time.monotonic() - self.start > HANG:
                raise Failure(f"never said {text!r}:\n{self.log.read_text()[-2000:]}")
        return True

    def send(self, *signals: signal.Signals) -> None:
        for which in signals:
            os.kill(self.pid, which)


def live(line: list[str], log: Path, setup: Callable[[], None], real: bool, variables: Mapping[str, str]) -> NoReturn:
    """The child's side."""
    code = 70
    try:
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if real:
            environment = {**os.environ, "PYTHONHASHSEED": "random", **variables}
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, *line], environment)
        setup()
        code = run(*defined(line[1]), line[2:])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def defined(module: str) -> tuple[type[Learner], type[AgentConfig]]:
    """The agent of a module, and its config."""
    mine = [x for x in vars(import_module(module)).values() if isinstance(x, type) and x.__module__ == module]
    (agent,) = (x for x in mine if issubclass(x, Learner))
    (config,) = (x for x in mine if issubclass(x, AgentConfig))
    return agent, config


def preload(agent: str) -> None:
    """What a life would import, look up or draw first, in the process that it is forked from."""
    parse(agent, defined(f"agents.{agent}")[1], [])
    if agent == "sac":
        os.environ.setdefault("MUJOCO_GL", "disable")  # as envs/suite.py
        for module in ("gymnasium.envs.mujoco.hopper_v5", "dm_control.suite.wrappers.action_scale"):
            import_module(module)
    if agent == "classifier":
        load("generated")
