"""CPU seconds per agent step of whole processes: a long run minus a short one, so that start-up cancels."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

Command = Callable[[int, str], list[str]]  # (steps, scratch directory) -> argv


@dataclass(frozen=True)
class Match:
    """One task for several systems. short, long: agent steps of two runs; the rate is over their difference."""

    short: int
    long: int
    systems: dict[str, Command]


def ours(agent: str, flags: str) -> Command:
    return lambda steps, scratch: [
        *(sys.executable, "-m", f"agents.{agent}", *flags.split()),
        *(f"--steps={steps}", f"--out={scratch}/run"),
    ]


def stable(algorithm: str, warmup: int, python: str = sys.executable) -> Command:
    """Stable-Baselines3, or SBX (jax) where python has it, with the same settings (benchmarks/sb3.py)."""
    return lambda steps, scratch: [python, "-m", "benchmarks.sb3", algorithm, str(steps), str(warmup)]


def cleanrl(path: Path, warmup: int) -> Command:
    """CleanRL's dqn_atari.py from a checkout of the user's."""
    flags = f"--env-id PongNoFrameskip-v4 --learning-starts {warmup} --buffer-size 10000 --start-e .05 --end-e .05"
    more = "--no-track --no-capture-video --no-cuda"
    return lambda steps, scratch: [
        *(sys.executable, "-m", "benchmarks.peer", str(path.resolve()), *flags.split(), *more.split()),
        *("--total-timesteps", str(steps)),
    ]


def dqn(peer: str) -> Match:
    """DQN on Pong with CleanRL's settings, an update every 4 steps; epsilon constant, so that all act equally often."""
    warmup = 1_000
    flags = f"--env Pong --preset cleanrl --warmup {warmup} --capacity 10k --epsilon-start .05 --epsilon-final .05"
    systems = {"ours": ours("dqn", flags), "sb3": stable("dqn", warmup)}
    return Match(1_100, 1_900, systems | ({"cleanrl": cleanrl(Path(peer), warmup)} if peer else {}))


def sac(sbx: str) -> Match:
    """SAC on HalfCheetah with SB3's settings, an update a step."""
    warmup = 500
    flags = f"--env HalfCheetah --preset sb3 --warmup {warmup} --capacity 10k --eval-every never"
    systems = {"ours": ours("sac", flags), "sb3": stable("sac", warmup)}
    return Match(700, 2_700, systems | ({"sbx": stable("sbx", warmup, sbx)} if sbx else {}))


def spent(command: Command, steps: int, threads: int) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of one process; 0 threads leaves the system's default."""
    with TemporaryDirectory() as scratch:
        argv = command(steps, scratch)
        environment = {**os.environ, "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        if threads == 1:  # jax has no other way
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(argv, env=environment, cwd=scratch, capture_output=True, text=True, check=False)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def rate(match: Match, system: str, threads: int) -> tuple[float, float]:
    """Agent steps per CPU second and per wall second after the warm-up."""
    short, long = (spent(match.systems[system], steps, threads) for steps in (match.short, match.long))
    steps = match.long - match.short
    return steps / (long[0] - short[0]), steps / (long[1] - short[1])
