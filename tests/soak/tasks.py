"""What one process of the soak does: the kills of a case, the accidents, or the mutants."""

import random
import traceback
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tests.soak import process
from tests.soak.accidents import befall
from tests.soak.cases import PROCESS, cases
from tests.soak.kills import Bench, Blow, points, signals
from tests.soak.mutants import verdicts
from tests.soak.process import Failure
from tests.soak.report import first_line

ACCIDENT = "atari-all-random"
MUTANTS = "mutants"  # and of which agent: mutants-sac
BIRTH = "cartpole-alone-greedy"  # whose first changes of files are each a kill of their own
Result = dict[str, Any]
Say = Callable[[str], None]


def kills(name: str, args: Namespace, say: Say) -> Result:
    """The named points, the first changes of a fresh directory, and signals at random times."""
    rng, bench = random.Random(f"{args.seed} {name}"), Bench(cases()[name], args.work, real=name == PROCESS)
    bench.prepare()
    named = [point for point in args.points if bench.case.plays or not point.startswith("chunk")]
    bench.score.failures += [f"{name}: {method} never fires" for method in bench.silent()]
    lifetime = bench.undisturbed()
    say(f"{name}: the reference stands; a life takes {lifetime:.1f} s")
    if bench.real:
        bench.all([*processes(lifetime, rng), *points(named, 1)], "points")
        return {"scores": [asdict(bench.score)]}
    blows = points(named, args.occurrences)
    bench.all(rng.sample(blows, len(blows)), "points")
    say(f"{name}: {bench.score.kills} kills at named points")
    if name == BIRTH:
        bench.each([Blow("change", k) for k in range(1, args.changes + 1)], "change")
    bench.some(signals(lifetime, rng), args.kills, "signals")
    return {"scores": [asdict(bench.score)]}


def processes(lifetime: float, rng: random.Random) -> list[Blow]:
    """A few signals to real processes, start-up included."""
    return [Blow("kill", rng.random() * lifetime / 3) for _ in range(3)] + [Blow("term", 0.1), Blow("term", 0.5)]


def accidents(args: Namespace, say: Say) -> Result:
    bench = Bench(cases()[ACCIDENT], args.work)
    bench.prepare()
    rows = []
    for row in befall(bench):
        rows.append(row)
        say(f"{row[0]}: {first_line(row[1]) or 'ok'}")
    return {"accidents": rows}


def mutants(agent: str, args: Namespace, say: Say) -> Result:
    """Of one agent's cases."""
    mutated = [cases()[name] for name in args.mutated]
    benches = [Bench(case, args.work) for case in mutated if case.agent == agent]
    if not benches:
        raise Failure(f"no case of {agent} among {', '.join(args.mutated)}")
    rows = []
    for row in verdicts(benches, args.mutants, args.marks):
        rows.append(row)
        if row["verdict"] != "constant":
            say(f"{row['verdict']}: {row['name']} {row['where']} {row['how']}")
    return {"verdicts": rows}


def preload(task: str) -> None:
    """What its lives need, in the process that they are forked from."""
    agent = (
        task.partition("-")[2] if task.startswith(MUTANTS) else cases()[ACCIDENT if task == "accidents" else task].agent
    )
    process.preload(agent)


def perform(task: str, args: Namespace, say: Say) -> Result:
    """A task to its result; whatever goes wrong outside of a run is a result too."""
    try:
        if task == "accidents":
            return accidents(args, say)
        kind, _, agent = task.partition("-")
        return mutants(agent, args, say) if kind == MUTANTS else kills(task, args, say)
    except Failure as failure:
        return {"broken": f"{task}: {failure}"}
    except Exception:
        return {"broken": f"{task}: {traceback.format_exc()}"}
