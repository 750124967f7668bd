"""make soak: kill and resume, bit for bit. Exit code 0 only if everything holds.

Each case is a process with a hash seed of its own, and so is each reference and each kill of the case `process`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runs.faults import POINTS
from tests.soak import report
from tests.soak.cases import PROCESS, cases

MUTATED = (  # of each agent the fastest first; the later ones see what it does not
    *("cartpole-all-random", "cartpole-all-greedy", "atari-all-random", "atari-all-greedy"),
    *("cartpole-alone-random", "tasks-all-greedy", "tasks-alone-random"),
    *("hopper-all-noisy", "hopper-alone-sharp", "walker-alone-noisy", "finger-all-sharp"),
    *("labels-all", "labels-alone", "classes-all"),
    "rainbow-all",
)
MUTANTS = [f"mutants-{agent}" for agent in dict.fromkeys(cases()[name].agent for name in MUTATED)]
EVERY = (*MUTANTS, *cases(), "accidents")  # the longest first
ROOT = Path(__file__).resolve().parents[2]
LEAST_KILLS, LEAST_MUTANTS = 300, 120


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def parse() -> argparse.Namespace:
    add = (parser := argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)).add_argument
    add("--kills", type=int, default=200, help="signals at random times, over all cases")
    add("--points", type=words, default=POINTS, help="named points of runs/faults.py; commas between")
    add("--occurrences", type=int, default=2, help="a kill at the first .. k-th passing of each point, in each case")
    add("--changes", type=int, default=14, help="kills before the first .. k-th change of a file in a new directory")
    add("--mutants", type=words, default=[], help="only these entries of the ledger")
    add("--mutated", type=words, default=MUTATED, help="the cases in which an entry is forgotten, one after the other")
    add("--marks", type=int, default=12, help="at the first so many stops of each of these cases")
    add("--only", type=words, default=EVERY, help=f"of {', '.join(EVERY)}")
    add("--seed", type=int, default=0, help="of the times and the order of kills")
    add("--jobs", type=int, default=2, help="cases at a time")
    add("--work", type=Path, help="where the runs lie; by default a temporary directory, kept if something fails")
    add("--task", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work and not args.task and args.work.exists() and any(args.work.iterdir()):
        parser.error(f"{args.work} is not empty")
    if unknown := {*args.only} - {*EVERY}:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(EVERY)}")
    return args


def main() -> int:
    args, start = parse(), time.monotonic()
    if args.task:
        return work(args, start)
    folder = args.work or Path(tempfile.mkdtemp(prefix="soak-"))
    results = together([*args.only], folder, args)
    text, wrong = report.summary(results)
    wrong += too_few(args, results)
    print(f"\n{text}\n\n{(time.monotonic() - start) / 60:.1f} minutes")
    for line in wrong:
        print(f"FAILED {line}")
    if not wrong and not args.work:
        shutil.rmtree(folder)
    print(f"the runs are kept in {folder}" if wrong else "every resumed run equals the uninterrupted one")
    return 1 if wrong else 0


def work(args: argparse.Namespace, start: float) -> int:
    """Tasks in this process; the result of each is a file."""
    import torch
    import torch._dynamo  # by the first optimizer otherwise, in each life anew

    from tests.soak.tasks import perform, preload

    torch.set_num_threads(1)
    say = lambda text: print(f"{time.monotonic() - start:6.0f} s  {text}", flush=True)
    for task in words(args.task):
        preload(task)
        (args.work / f"{task}.json").write_text(json.dumps(perform(task, args, say)))
    return 0


def together(tasks: list[str], folder: Path, args: argparse.Namespace) -> dict[str, report.Result]:
    """Every task as a process, so many at a time; one process for all of them if it is one."""
    folder.mkdir(parents=True, exist_ok=True)
    among = max(1, len({*tasks} & {*cases()} - {PROCESS}))
    waiting = list(tasks) if args.jobs > 1 else [",".join(tasks)]
    rng, running = random.Random(args.seed), dict[str, subprocess.Popen[bytes]]()
    try:
        while waiting or running:
            while waiting and len(running) < args.jobs:
                task = waiting.pop(0)
                running[task] = begin(task, folder, args, -(-args.kills // among), rng.randrange(1, 2**32))
            running = {task: process for task, process in running.items() if process.poll() is None}
            time.sleep(0.1)
    finally:
        for process in running.values():
            process.kill()  # its lives end with it
    return {task: outcome(folder / f"{task}.json", task) for task in tasks}


def begin(task: str, folder: Path, args: argparse.Namespace, kills: int, seed: int) -> "subprocess.Popen[bytes]":
    line = [sys.executable, "-m", "tests.soak", "--task", task, "--work", str(folder.resolve()), "--kills", str(kills)]
    for name in ("occurrences", "changes", "marks", "seed"):
        line += [f"--{name}", str(getattr(args, name))]
    for name in ("points", "mutants", "mutated"):
        line += [f"--{name}", ",".join(getattr(args, name))]
    # torch, BLAS and OpenMP with one thread: the digests are those of one thread, and a fork must have no other.
    variables = {"OMP_NUM_THREADS": "1", "GIT_OPTIONAL_LOCKS": "0", "PYTHONHASHSEED": str(seed)}
    return subprocess.Popen(line, cwd=ROOT, env={**os.environ, **variables})


def outcome(path: Path, task: str) -> report.Result:
    return json.loads(path.read_text()) if path.exists() else {"broken": f"{task} ended without a result"}


def too_few(args: argparse.Namespace, results: dict[str, report.Result]) -> list[str]:
    """The numbers that the whole soak promises, and the mutants that were asked for by name."""
    verdicts = [row for task in MUTANTS for row in results.get(task, {}).get("verdicts", [])]
    known = {row["name"].partition(" ")[2] for row in verdicts}
    unknown = [f"there is no mutant {name}" for name in args.mutants if name not in known]
    if {*args.only} != {*EVERY} or args.mutants:
        return unknown
    kills = sum(score["kills"] for result in results.values() for score in result.get("scores", []))
    caught = sum(row["verdict"] == "caught" for row in verdicts)
    rows = {f"{kills} kills of {LEAST_KILLS}": kills >= LEAST_KILLS}
    rows |= {f"{caught} mutants caught of {LEAST_MUTANTS}": caught >= LEAST_MUTANTS}
    return [f"only {text}" for text, enough in rows.items() if not enough]


if __name__ == "__main__":
    sys.exit(main())
