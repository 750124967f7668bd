"""From the command line to the last step, and the exit codes: the same line again continues, a finished run says so.

0 done, 2 bad input, 3 directory in use, 4 disk full, 5 a number that is not finite, 70 a bug of ours, 75 call me again,
141 whoever read the output has left (as a shell reports SIGPIPE).
"""

import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import torch

from agents.build import build, problems
from agents.config import AgentConfig
from agents.estimate import outlook
from agents.flags import BadInput, Settings, parse, refusals
from agents.learner import Learner
from agents.session import Session
from agents.tally import NotFinite
from agents.world import World
from interventions.chain import Unheard
from nets.subject import TeacherChanged
from runs import directory, disk
from runs.checkpoint import Damaged, DiskFull
from runs.lock import Locked, RunLock
from runs.progress import clock, say
from runs.signals import STOPPED, Stop

SOURCE = Path(__file__).resolve().parent.parent


def main(agent: type[Learner], config: type[AgentConfig]) -> NoReturn:
    """The process: parse, run, exit."""
    sys.exit(run(agent, config, sys.argv[1:]))


def run(agent: type[Learner], config: type[AgentConfig], argv: Sequence[str]) -> int:
    """One command line to its exit code; a known failure is one sentence each, without a traceback."""
    try:
        return train(agent, parse(agent.__name__.lower(), config, argv))
    except (BadInput, Damaged, Locked, DiskFull, NotFinite, Unheard, TeacherChanged) as error:
        for line in str(error).splitlines():
            say(f"error: {line}")
        return error.code
    except FloatingPointError as error:
        say(f"error: {error}; the last checkpoint stands")
        return NotFinite.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the interpreter flushes at its end
        return 141
    except Exception:
        traceback.print_exc()
        return 70


def train(kind: type[Learner], settings: Settings) -> int:
    path, config = settings.directory, settings.saved()
    if wrong := problems(settings) or directory.changes(path, config, settings.odd, settings.free):
        raise BadInput("\n".join(wrong))
    if (done := directory.finished(path)) and done >= settings.run.steps:
        say(f"finished: {path} stands at {done:,} steps; raise --steps to go on")
        return 0
    with Stop(settings.run.max_time) as stop, disk.reported(path), flushed():
        with refusals():
            world, agent = build(kind, settings)
        return train_in(path, settings, world, agent, stop)


@contextmanager
def flushed() -> Iterator[None]:
    """Denormal numbers are 0 within: the moments of a dead unit decay into them, and a CPU is slow with them (a whole
    step of the classifier: 1.6 times). Entered before the first operation, so that torch's threads inherit it."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train_in(path: Path, settings: Settings, world: World, agent: Learner, stop: Stop) -> int:
    """Under the lock of the run directory."""
    with owned(path) as lock:
        directory.reopen(path)
        directory.describe(path, settings.saved(), SOURCE)
        with Session(settings, world, agent, lock, stop) as session:
            say(outlook(settings, world, agent, path))
            try:
                return learn(session)
            except NotFinite as error:
                session.wreck(error)
                raise


def owned(path: Path) -> RunLock:
    try:
        return RunLock(path)
    except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}); choose another --out or --root") from error


def learn(session: Session) -> int:
    """The loop of interventions/base.py."""
    agent, run, start = session.agent, session.run, time.monotonic()
    for _ in session.world.loop(agent, session.resumed):
        session.measure()
        over = session.step >= run.steps
        if session.pause(session.table.due("save", session.step) or over):
            return STOPPED  # at the last step, too: an evaluation may have been cut short
        if over:
            break
        if not session.ticked:
            agent.chain.tick()
        while agent.owed() > 0:
            if session.pretrain():
                return STOPPED
            agent.update()
    picture = session.finish()
    extra = f" and {agent.clock['extra']:,} extra updates" if agent.clock["extra"] else ""
    say(f"done: {session.step:,} steps{extra} in {clock(time.monotonic() - start)}")
    say(f"run       {session.path}\npicture   {picture}\ndashboard tensorboard --logdir {run.out or run.root}")
    return 0
