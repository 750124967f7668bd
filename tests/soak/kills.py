"""Runs that are killed again and again, called again by the same line, and compared with the run left alone."""

import fcntl
import random
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.soak import faults
from tests.soak.cases import Case
from tests.soak.compare import differences
from tests.soak.process import End, Failure, Life

ENTERED = "\nrun "  # the last line before the loop; signals are heard from here on
STOPS = {"term": signal.SIGTERM, "int": signal.SIGINT}
PATIENCE = 5.0  # seconds from one of them to the exit (docs/reliability.md, section 5)
LIVES = 60  # of one run; a run that needs more makes no progress
AT_ONCE = 6  # random blows to one run


@dataclass(frozen=True)
class Blow:
    """What ends a life early: a named point "part:2", the k-th change of a file, a signal after so many seconds."""

    kind: str  # point, change, kill, term, int
    at: str | int | float

    def strike(self, line: list[str], log: Path, real: bool) -> tuple[End, float]:
        """The end of the life it was dealt to, and the seconds from the signal to there."""
        if self.kind == "point":
            return Life(line, log, faults.point(str(self.at)), real, {"PERENNIAL_FAULT": str(self.at)}).end(), 0.0
        if self.kind == "change":
            return Life(line, log, faults.change(int(self.at))).end(), 0.0
        life = Life(line, log, faults.small, real)
        if (self.kind in STOPS and not life.says(ENTERED)) or life.ended(float(self.at)):
            return life.end(), 0.0
        life.send(STOPS.get(self.kind, signal.SIGKILL))
        start = time.monotonic()
        return life.end(), time.monotonic() - start

    @property
    def codes(self) -> tuple[int, int]:
        """0: the run was done before it fell."""
        return (75 if self.kind in STOPS else -signal.SIGKILL), 0


@dataclass
class Score:
    """A row of the summary. stops: exits with 75; resumes: lives after a run's first."""

    name: str
    kills: int = 0
    stops: int = 0
    resumes: int = 0
    runs: int = 0
    equal: int = 0
    slowest: float = 0.0  # seconds from SIGTERM or SIGINT to the exit
    failures: list[str] = field(default_factory=list)

    def count(self, blow: Blow, seconds: float) -> None:
        self.kills += blow.kind not in STOPS
        self.stops += blow.kind in STOPS
        if blow.kind in STOPS:
            self.slowest = max(self.slowest, seconds)


class Bench:
    """One case: its reference, and a fresh directory for each run. real: every life is a process of its own."""

    def __init__(self, case: Case, work: Path, real: bool = False) -> None:
        self.case, self.folder, self.real = case, work / case.name, real
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = self.folder / "reference"
        self.score = Score(case.name)

    def prepare(self) -> None:
        """The run left alone, as a process of its own; another task may be making it."""
        with (self.folder / "reference.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.reference / "DONE").exists():
                Life(self.case.line(self.reference), self.folder / "reference.log", real=True).end().expect(0)

    def run(self, blows: list[Blow], name: str) -> list[Blow]:
        """One directory from nothing to DONE, which must equal the reference; the blows that were not reached."""
        out, history = self.folder / name, list[str]()
        self.score.runs += 1
        try:
            left = self.lives(self.case.line(out), self.folder / f"{name}.log", list(blows), history)
            if found := differences(out, self.reference):
                raise Failure("; ".join(found[:8]))
        except Failure as failure:
            self.score.failures.append(f"{out} after {', '.join(history) or 'no blow'}: {failure}")
            return []
        self.score.equal += 1
        shutil.rmtree(out)
        return left

    def lives(self, line: list[str], log: Path, blows: list[Blow], history: list[str]) -> list[Blow]:
        """Blow after blow, then undisturbed, until a life ends with 0."""
        for life in range(LIVES):
            self.score.resumes += life > 0
            if not blows:
                Life(line, log, faults.small, self.real).end().expect(0)
                return []
            end, seconds = blows[0].strike(line, log, self.real)
            if end.expect(*blows[0].codes).code == 0:
                return blows
            self.score.count(blows[0], seconds)
            if blows[0].kind in STOPS and seconds > PATIENCE:
                raise Failure(f"{seconds:.1f} s from {STOPS[blows[0].kind].name} to the exit")
            history.append(f"{blows[0].kind} {blows.pop(0).at}")
        raise Failure(f"not done after {LIVES} lives")

    def undisturbed(self) -> float:
        """A run without a blow must equal the reference too; the seconds of its life."""
        start = time.monotonic()
        self.run([], "undisturbed")
        return time.monotonic() - start

    def silent(self) -> list[str]:
        """Interventions with a period of which the reference holds no event."""
        rows = (self.reference / "metrics.jsonl").read_text()
        periodic = [name for name, flags in self.case.methods.items() if flags[0].endswith("-every")]
        return [name for name in periodic if f'"event/{name}"' not in rows]

    def each(self, blows: Iterable[Blow], name: str) -> None:
        """A run for every blow."""
        for blow in blows:
            if self.run([blow], f"{name}-{blow.at}"):
                self.unreached(blow)

    def all(self, blows: list[Blow], name: str) -> None:
        """As many runs as it takes to deal every blow."""
        for number in range(len(blows)):
            left = self.run(blows, f"{name}-{number}") if blows else []
            if blows and left == blows:
                self.unreached(blows[0])
                return
            blows = left

    def some(self, blows: Iterator[Blow], count: int, name: str) -> None:
        """So many blows, in as many runs as it takes; those that come too late do not count."""
        for number in range(count):
            if count > 0:
                few = list(islice(blows, min(count, AT_ONCE)))
                count -= len(few) - len(self.run(few, f"{name}-{number}"))

    def unreached(self, blow: Blow) -> None:
        self.score.failures.append(f"{self.case.name}: {blow.kind} {blow.at} was never reached")


def points(names: Iterable[str], occurrences: int) -> list[Blow]:
    """Every named point at its first .. k-th occurrence; those of a chunk, which are rare, last."""
    blows = [Blow("point", f"{name}:{k}") for name in names for k in range(1, occurrences + 1)]
    return sorted(blows, key=lambda blow: str(blow.at).startswith("chunk"))


def signals(lifetime: float, rng: random.Random) -> Iterator[Blow]:
    """Without end: mostly SIGKILL at any time of a life, start-up included, early more often than late."""
    while True:
        kind = rng.choices(("kill", "term", "int", "change"), (65, 12, 8, 15))[0]
        yield Blow(kind, rng.randint(1, 80) if kind == "change" else rng.random() ** 2 * lifetime)
