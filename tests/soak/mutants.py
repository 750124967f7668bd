"""Mutants of the state ledger: a run resumed without one entry must be told from the run left alone.

Each entry is forgotten twice: by the load alone, which the digest check of agents/session.py must refuse, and by save
and load together (no digest check), which only the comparison of the finished runs can notice.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from runs import checkpoint
from runs.record import METRICS
from tests.soak import faults, forget, ledger
from tests.soak.cases import Case
from tests.soak.compare import Rows, differences
from tests.soak.kills import Bench
from tests.soak.process import Failure, Life

FIRST, LAST = 0, 2
RESIDUE = '{"step": 1000000000, "residue": 1}\n'  # a row behind the cursor, as a killed process leaves it
TRIES, FEW = 30, 5  # places at which an entry is forgotten before it counts as missed; as redundant, if it is listed


@dataclass(frozen=True)
class Mark:
    """A run stopped at a step, in a directory that is copied for each mutant. switching: the row of another task."""

    bench: Bench
    step: int
    switching: bool = False

    @property
    def path(self) -> Path:
        return self.bench.folder / f"mark-{self.step}{'-switching' * self.switching}"

    def __str__(self) -> str:
        return f"{self.bench.case.name}@{self.step}{' (switching)' * self.switching}"


@dataclass
class Verdict:
    """What became of a mutant: caught, redundant, constant or missed. name: with the agent's before the entry's."""

    name: str
    verdict: str
    where: str = ""
    how: str = ""
    loaded: bool = False  # a load that forgets it passes the digest check


def places(case: Case, reference: Path) -> list[tuple[int, bool]]:
    """Where to stop: mid-game, before and at the ends of games and of a task, and shortly before the run's own end."""
    found = {(case.steps * 5 // 9 + 1, False), (case.steps - 3, False)}
    if ends := [step for step in switches(reference) if step < case.steps - 8]:
        step = ends[(len(ends) - 1) // 2]
        found |= {(step - 3, False), (step, case.plays)}
    return sorted(found | {(step, False) for step in endings(case, reference)} if case.plays else found)


def switches(reference: Path) -> list[int]:
    """The steps at which a task ended."""
    rows = map(json.loads, (reference / METRICS).read_text().splitlines())
    return [row["step"] for row in rows if {"visit/number", "task/number"} & row.keys()]


def endings(case: Case, reference: Path) -> set[int]:
    """Steps before the ends of three games, and one at the end of the second."""
    loaded = checkpoint.load(reference)
    assert loaded is not None
    rows = Rows(loaded.manifest.logs["replay"])
    loaded.restore("replay", rows)
    kinds = rows.columns()["step_type"]  # [T, N]
    ahead = (kinds[::-1] != FIRST).sum(1).cumsum()[::-1]  # steps from before a row to the run's end
    ends = [i for i in range(8, len(kinds) - 8) if (kinds[i] == LAST).any() and (kinds[i - 1] != FIRST).all()]
    if not ends:
        return set()
    middle = ends[len(ends) // 2]
    return {case.steps - int(ahead[i]) for i in (ends[len(ends) // 4], middle, ends[3 * len(ends) // 4], middle + 1)}


def marks(bench: Bench, most: int) -> list[Mark]:
    """One life after the other, each stopped at the next mark; who forgets nothing there must not differ."""
    bench.prepare()
    out = bench.folder / "prefix"
    found = [Mark(bench, *place) for place in places(bench.case, bench.reference)[:most]]
    for mark in found:
        setup = faults.stop_at(mark.step, mark.switching)
        Life(bench.case.line(out), out.with_suffix(".log"), setup).end().expect(75)
        shutil.copytree(out, mark.path)
        with (mark.path / METRICS).open("a") as file:
            file.write(RESIDUE)
        if how := resumed(mark, forget.entry("")):
            raise Failure(f"{mark}: a resume that forgets nothing differs: {how}")
    return found


def resumed(mark: Mark, setup: forget.Setup) -> str:
    """How a mutant's run differs from the run left alone; "" if it does not."""
    out = mark.path.with_suffix(".mutant")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(mark.path, out)
    try:
        end = Life(mark.bench.case.line(out), out.with_suffix(".log"), setup).end()
    except Failure as hang:
        return str(hang).partition("\n")[0]
    found = differences(out, mark.bench.reference) if end.code == 0 else [f"exit {end.code}: {last_line(end.log)}"]
    shutil.rmtree(out)
    return found[0] if found else ""


def last_line(log: str) -> str:
    return log.strip().rpartition("\n")[2]


def refused(mark: Mark, name: str) -> bool:
    """Whether a load that forgets the entry is noticed before the first step."""
    out = mark.path.with_suffix(".refused")
    shutil.copytree(mark.path, out)
    end = Life(mark.bench.case.line(out), out.with_suffix(".log"), forget.entry(name, checked=True)).end()
    shutil.rmtree(out)
    return end.code != 0


def lacking(marks: Iterable[Mark]) -> dict[str, list[Mark]]:
    """{entry: the marks at which a fresh object lacks it}."""
    found: dict[str, list[Mark]] = {}
    for mark in marks:
        path = mark.path.with_suffix(".json")
        Life(mark.bench.case.line(mark.path), mark.path.with_suffix(".log"), forget.survey(path)).end().expect(0)
        for name, live in json.loads(path.read_text()).items():
            found.setdefault(name, []).extend([mark] if live else [])
    return found


def judge(name: str, places: list[Mark], setup: forget.Setup, entry: str = "") -> Verdict:
    """Forget it at one mark after the other until it is noticed."""
    if not places:
        why = ledger.reason(name, ledger.CONSTANT)
        return Verdict(name, "constant" if why else "missed", how=why or "a fresh object never lacks it here")
    why = ledger.reason(name, ledger.REDUNDANT)
    for mark in places[: FEW if why else TRIES]:
        if how := resumed(mark, setup):
            return Verdict(name, "caught", str(mark), how, bool(entry) and not refused(mark, entry))
    return Verdict(name, "redundant" if why else "missed", how=why or f"nothing differs at {len(places)} marks")


def spread(places: list[Mark]) -> list[Mark]:
    """A mark of each case, then a second one of each: the profiles see different things."""
    of_case: dict[str, list[Mark]] = {}
    for mark in places:
        of_case.setdefault(mark.bench.case.name, []).append(mark)
    return [mark for row in zip_longest(*of_case.values()) for mark in row if mark]


def verdicts(benches: list[Bench], only: Sequence[str], most: int) -> Iterator[dict[str, object]]:
    """The verdict on every entry and act of one agent, as they fall."""
    every, case = [mark for bench in benches for mark in marks(bench, most)], benches[0].case
    wanted = lambda name: not only or name in only
    for name, places in sorted(lacking(every).items()):
        if wanted(name):
            yield asdict(judge(f"{case.agent} {name}", spread(places), forget.entry(name), name))
    for name, setup in forget.acts(case).items():
        if wanted(name):
            yield asdict(judge(f"{case.agent} {name}", spread(every), setup))
