"""CPU seconds per agent step of whole processes: a long run minus a short one, so that start-up cancels."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

WARMUP, SHORT, LONG = 1_000, 1_100, 1_900  # agent steps; an update every 4 after the warm-up

Command = Callable[[int, str], list[str]]  # (steps, scratch directory) -> argv


def ours(steps: int, scratch: str) -> list[str]:
    """DQN on Pong with CleanRL's settings; a constant epsilon, so that all act equally often."""
    flags = f"--env Pong --preset cleanrl --steps {steps} --warmup {WARMUP} --capacity 10k --out {scratch}/run"
    return [sys.executable, "-m", "agents.dqn", *flags.split(), "--epsilon-start=.05", "--epsilon-final=.05"]


def sb3(steps: int, scratch: str) -> list[str]:
    """Stable-Baselines3 with the same settings."""
    return [sys.executable, "-m", "benchmarks.sb3", str(steps), str(WARMUP)]


def cleanrl(path: Path) -> Command:
    """CleanRL's dqn_atari.py from a checkout of the user's."""

    def command(steps: int, scratch: str) -> list[str]:
        flags = f"--env-id PongNoFrameskip-v4 --total-timesteps {steps} --learning-starts {WARMUP} --buffer-size 10000"
        more = "--start-e .05 --end-e .05 --no-track --no-capture-video --no-cuda"
        return [sys.executable, "-m", "benchmarks.peer", str(path.resolve()), *flags.split(), *more.split()]

    return command


def spent(command: Command, steps: int, threads: int, default: bool = False) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of one process."""
    with TemporaryDirectory() as scratch:
        argv = command(steps, scratch)
        environment = {**os.environ, "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": ""}
        environment |= {} if default else {"OMP_NUM_THREADS": str(threads)}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(argv, env=environment, cwd=scratch, capture_output=True, text=True, check=False)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def rate(command: Command, threads: int, default: bool = False) -> tuple[float, float]:
    """Agent steps per CPU second and per wall second after the warm-up."""
    short, long = spent(command, SHORT, threads, default), spent(command, LONG, threads, default)
    return (LONG - SHORT) / (long[0] - short[0]), (LONG - SHORT) / (long[1] - short[1])
