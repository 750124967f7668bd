"""Runs that are killed again and again, called again by the same line, and compared with the run left alone."""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runs.faults import POINTS
from tests.soak import faults
from tests.soak.cases import Case
from tests.soak.compare import differences
from tests.soak.process import End, Failure, Life

ENTERED = "\nrun "  # the last line before the loop; signals are heard from here on
PATIENCE = 5.0  # seconds from SIGTERM to the exit (docs/reliability.md, section 5)
TOUGHNESS = 60  # lives of one run; a run that needs more makes no progress


@dataclass(frozen=True)
class Blow:
    """What ends a life early: a named point "part:2", the k-th change of a file, a signal after so many seconds."""

    kind: str  # point, change, kill, term
    at: str | int | float

    def strike(self, line: list[str], log: Path, real: bool) -> tuple[End, float]:
        """The life it was dealt to, and the seconds from a SIGTERM to the exit."""
        if self.kind == "point":
            return Life(line, log, faults.point(str(self.at)), real, {"PERENNIAL_FAULT": str(self.at)}).end(), 0.0
        if self.kind == "change":
            return Life(line, log, faults.change(int(self.at))).end(), 0.0
        life = Life(line, log, faults.small, real)
        if (self.kind == "term" and not life.says(ENTERED)) or life.ended(float(self.at)):
            return life.end(), 0.0
        life.send(signal.SIGTERM if self.kind == "term" else signal.SIGKILL)
        start = time.monotonic()
        return life.end(), time.monotonic() - start

    @property
    def codes(self) -> tuple[int, int]:
        """0: the run was done before it fell."""
        return (75 if self.kind == "term" else -signal.SIGKILL), 0


@dataclass
class Score:
    """What a row of the summary says."""

    name: str
    kills: int = 0
    stops: int = 0
    resumes: int = 0
    runs: int = 0
    equal: int = 0
    slowest: float = 0.0  # seconds from SIGTERM to the exit
    failures: list[str] = field(default_factory=list)


class Bench:
    """One case: its reference, and a fresh directory for each run."""

    def __init__(self, case: Case, work: Path, real: bool = False) -> None:
        self.case, self.work, self.real = case, work, real
        self.reference = work / case.name / "reference"
        self.score = Score(case.name)

    def prepare(self) -> None:
        """The run left alone, as a process of its own."""
        if not self.reference.exists():
            self.reference.parent.mkdir(parents=True, exist_ok=True)
            Life(self.case.line(self.reference), self.reference.parent / "log", real=True).end().expect(0)

    def lifetime(self) -> float:
        """The seconds of an undisturbed life, which must equal the reference."""
        start = time.monotonic()
        self.run([], "undisturbed")
        return time.monotonic() - start

    def run(self, blows: list[Blow], name: str) -> list[Blow]:
        """One directory from nothing to DONE; the blows that were not reached. A difference is a failure."""
        out, log = self.work / self.case.name / name, self.work / self.case.name / f"{name}.log"
        history: list[str] = []
        self.score.runs += 1
        try:
            left = self.lives(self.case.line(out), log, list(blows), history)
            if found := differences(out, self.reference):
                raise Failure("; ".join(found[:8]))
            Life(self.case.line(out), log).end().expect(0)  # a finished run says so and changes nothing
            if found := differences(out, self.reference):
                raise Failure(f"after DONE: {'; '.join(found[:8])}")
        except Failure as failure:
            self.score.failures.append(f"{self.case.name}/{name} after {', '.join(history) or 'no blow'}: {failure}")
            return []
        self.score.equal += 1
        shutil.rmtree(out)
        return left

    def lives(self, line: list[str], log: Path, blows: list[Blow], history: list[str]) -> list[Blow]:
        """Blow after blow, then undisturbed, until a life ends with 0."""
        for life in range(TOUGHNESS):
            self.score.resumes += life > 0
            blow = blows.pop(0) if blows else None
            if blow is None:
                Life(line, log, faults.small, self.real).end().expect(0)
                return []
            end, seconds = blow.strike(line, log, self.real)
            if end.expect(*blow.codes).code == 0:
                return [blow, *blows]
            history.append(f"{blow.kind} {blow.at}")
            self.score.kills += blow.kind != "term"
            self.score.stops += blow.kind == "term"
            self.score.slowest = max(self.score.slowest, seconds)
            if blow.kind == "term" and seconds > PATIENCE:
                raise Failure(f"{seconds:.1f} s from SIGTERM to the exit")
        raise Failure(f"not done after {TOUGHNESS} lives")

    def all_of(self, blows: list[Blow], name: str) -> None:
        """As many runs as it takes to deal every blow; one that a whole run does not reach is a failure."""
        number = 0
        while blows:
            left = self.run(blows, f"{name}-{number}")
            if len(left) == len(blows):
                self.score.failures.append(f"{self.case.name}: {blows[0].kind} {blows[0].at} was never reached")
                return
            blows, number = left, number + 1


def points(occurrences: int, rng: random.Random) -> list[Blow]:
    """Every named point at its first .. k-th occurrence, in any order."""
    blows = [Blow("point", f"{name}:{k}") for name in POINTS for k in range(1, occurrences + 1)]
    return rng.sample(blows, len(blows))


def signals(count: int, lifetime: float, rng: random.Random) -> Iterator[Blow]:
    """SIGKILL at any time of a life, start-up included, early ones more often; one in five is a SIGTERM."""
    for i in range(count):
        yield Blow("term" if i % 5 == 4 else "kill", rng.random() ** 2 * lifetime)
