"""`make bench`: every figure of docs/performance.md.

BENCH="--peer PATH/cleanrl/dqn_atari.py --sbx PYTHON" adds CleanRL, and SBX from a Python that has sbx-rl.
"""

import subprocess
import sys
from dataclasses import dataclass
from statistics import median

import torch
import tyro

from agents.main import flushed
from benchmarks import methods
from benchmarks.pieces import bbf_update, classifier, dqn_update, overhead, priorities, replay, sac_update
from benchmarks.processes import Match, dqn, rate, sac
from runs.progress import say

BUSY = "while True: pass"


@dataclass(frozen=True)
class Bench:
    """Which figures."""

    peer: str = ""
    """Path of CleanRL's dqn_atari.py, measured beside SB3"""
    sbx: str = ""
    """A Python with sbx-rl (jax) and gymnasium's MuJoCo, measured beside SB3"""
    alternations: int = 5
    """Runs of each system, in turn"""
    only: tuple[str, ...] = ("pieces", "bbf", "methods", "dqn", "sac", "busy")
    """pieces: updates, replay, recording. bbf: its update (minutes). methods: what each intervention costs. dqn, sac:
    end to end beside peers. busy: DQN beside a busy process"""


def alternate(title: str, match: Match, threads: int, times: int) -> None:
    """Steps per CPU second of each system, in turn, and the median of ours over each peer."""
    rates: dict[str, list[float]] = {name: [] for name in match.systems}
    walls: dict[str, list[float]] = {name: [] for name in match.systems}
    for _ in range(times):
        for name in match.systems:
            cpu, wall = rate(match, name, threads)
            rates[name].append(cpu)
            walls[name].append(wall)
    for name in match.systems:
        ratio = median(a / b for a, b in zip(rates["ours"], rates[name], strict=True))
        say(
            f"{title}, {threads} threads  {name:8} {median(rates[name]):6.1f} steps/CPU-s ({min(rates[name]):.1f}.."
            f"{max(rates[name]):.1f})  {median(walls[name]):6.1f} steps/s  ours / {name} {ratio:.2f}"
        )


def busy(times: int) -> None:
    """Our default threads, quiet and beside a process that never rests: wall time must not collapse."""
    rows = []
    for _ in range(times):
        quiet = rate(dqn(""), "ours", 0)[1]
        neighbour = subprocess.Popen([sys.executable, "-c", BUSY])
        try:
            rows.append(rate(dqn(""), "ours", 0)[1] / quiet)
        finally:
            neighbour.kill()
            neighbour.wait()
    say(f"default threads beside a busy process: {median(rows):.2f} of quiet ({min(rows):.2f}..{max(rows):.2f})")


def main(bench: Bench) -> None:
    with flushed():  # as in a run
        measure(bench)


def measure(bench: Bench) -> None:
    if "pieces" in bench.only:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            say(f"DQN, {threads} threads  " + show(dqn_update()))
            say(f"SAC, {threads} threads  " + show(sac_update()))
        torch.set_num_threads(1)
        say("1 thread   " + show(classifier()))
        say("1 thread   " + show(replay()))
        say("1 thread   " + show(overhead()))
        say("1 thread   " + show(priorities()))
    for threads in (1, 2) if "bbf" in bench.only else ():
        torch.set_num_threads(threads)
        say(f"BBF, {threads} threads  " + show(bbf_update()))
    for row in methods.table() if "methods" in bench.only else ():
        say(row)
    for title, match in (("dqn", dqn(bench.peer)), ("sac", sac(bench.sbx))):
        for threads in (1, 2) if title in bench.only else ():
            alternate(title, match, threads, bench.alternations)
    if "busy" in bench.only:
        busy(max(1, bench.alternations // 2))


def show(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())


if __name__ == "__main__":
    main(tyro.cli(Bench, description=__doc__))
