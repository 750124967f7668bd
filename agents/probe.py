"""Probes on the snapshots of runs, long after: `python -m agents.probe WORD RUN [RUN...]`.

trainability   fits targets from every snapshot, beside fresh networks (agents/trainability.py)
report         a page of everything that was recorded and measured
dormant,rank   these probes, or cheap, mid or all, on every snapshot

Everything lies in RUN/probes: rows as JSON lines and for TensorBoard, a picture, and the summary of trainability.
Exit codes are those of agents/main.py: 0 done, 2 bad input, 4 disk full, 70 a bug of ours, 75 interrupted.
"""

import contextlib
import io
import json
import math
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import tyro
from tqdm import tqdm
from tyro.conf import Positional

from agents import report, shelf
from agents.config import RunConfig
from agents.flags import BadInput, sentence
from agents.main import flushed
from agents.readings import readings
from agents.snapshots import steps, thaw
from agents.trainability import Trainability, measure
from agents.verdict import VERDICTS
from probes import COSTS, chosen, measurements
from probes.base import Memory, Probe
from runs.checkpoint import DiskFull
from runs.progress import clock, say
from runs.signals import STOPPED

FITTING, PAGE = "trainability", "report"
F = TypeVar("F")


@dataclass(frozen=True)
class Report:
    """A page of everything that a run recorded and that was measured on its snapshots"""

    runs: Positional[tuple[Path, ...]]
    """Run directories"""


@dataclass(frozen=True)
class Measure:
    """Probes on the snapshots of runs"""

    runs: Positional[tuple[Path, ...]]
    """Run directories with snapshots"""
    probe_batch: int = RunConfig.probe_batch
    """States per probe, from the 4,096 that a snapshot keeps (ours: 512)"""


def run(argv: Sequence[str]) -> int:
    """One command line to its exit code; a known failure is one sentence each, without a traceback."""
    try:
        with flushed():
            called(argv)
    except (BadInput, DiskFull) as error:
        for line in str(error).splitlines():
            say(f"error: {line}")
        return error.code
    except KeyboardInterrupt:
        say("interrupted; the same command line continues")
        return STOPPED
    except Exception:
        traceback.print_exc()
        return 70
    return 0


def called(argv: Sequence[str]) -> None:
    """The first word says what."""
    word, rest = (argv[0], argv[1:]) if argv else ("", [])
    if word in ("", "-h", "--help"):
        say(f"{__doc__ or ''}\nprobes: {', '.join([*COSTS, *measurements()])}")
        return
    match word:
        case "trainability":
            fit(understood(Trainability, rest, word))
        case "report":
            for path in understood(Report, rest, word).runs:
                page(path)
        case _:
            probes = named(word)
            flags = understood(Measure, rest, word)
            for path in flags.runs:
                read(path, probes, flags.probe_batch)


def named(words: str) -> Mapping[str, Probe]:
    try:
        return chosen(words)
    except ValueError as error:
        near = get_close_matches(words, (FITTING, PAGE), 1)
        raise BadInput(f"no word {words!r}; did you mean {near[0]}?" if near else str(error)) from None


def understood(kind: type[F], args: Sequence[str], word: str) -> F:
    """tyro; what it prints of an error becomes one sentence."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            flags = tyro.cli(kind, prog=f"python -m agents.probe {word}", args=list(args))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise BadInput(sentence(said.getvalue(), list(kind.__dataclass_fields__))) from None  # type: ignore[attr-defined]
    if not flags.runs:  # type: ignore[attr-defined]
        raise BadInput(f"{word} of which run? Name one or several run directories")
    return flags


# ---- trainability


def fit(flags: Trainability) -> None:
    if problems := flags.problems():
        raise BadInput("\n".join(problems))
    begun = time.monotonic()
    summaries = measure(flags)
    for path, summary in summaries.items():
        shelf.write(path / "probes" / f"{flags.name}.json", json.dumps(finite(summary), indent=1) + "\n")
        shelf.keep(path, flags.name, rows(flags.name, summary))
        drawn = report.trainability({path.name: summary}, report.events_of(path), path / "probes" / f"{flags.name}.png")
        say(f"{path}: {summary['states']['fit']:,} states to fit, {summary['states']['held']:,} held out\n{drawn}")
        for line in told(summary):
            say(line)
        say(summary["verdict"])
    if len(summaries) > 1:
        labels = {"/".join(path.resolve().parts[-2:]): summary for path, summary in summaries.items()}
        say(str(report.trainability(labels, {}, Path(f"{flags.name}.png"))))
    say(f"in {clock(time.monotonic() - begun)}")


def rows(name: str, summary: Mapping[str, Any]) -> list[dict[str, float]]:
    """A row a snapshot: probe/<name>/<part>/<target> and what belongs to it."""
    table: dict[int, dict[str, float]] = {}
    several = len({track["part"] for track in summary["tracks"]}) > 1
    for track in summary["tracks"]:
        tag = f"{track['part']}.{track['target']}" if several else track["target"]
        tag += f"@{track['rate']:g}" if track["rate"] != 1 else ""
        for row in track["snapshots"]:
            mine = table.setdefault(row["step"], {"step": row["step"]})
            mine[f"probe/{name}/{tag}"] = row["score"]
            for kind in ("fresh", "gap", "loss", "held", "accuracy"):
                if kind in row:
                    mine[f"probe/{name}/{tag}/{kind}"] = row[kind]
    return list(table.values())


def told(summary: Mapping[str, Any]) -> list[str]:
    """A line for each part and target: from the first snapshot to the last, beside fresh networks."""
    lines = []
    for track in summary["tracks"]:
        first, last = track["snapshots"][0], track["snapshots"][-1]
        rate = f", learning rate x {track['rate']:g}" if track["rate"] != 1 else ""
        move = f"{first['score']:.2f} at step {first['step']:,} -> {last['score']:.2f} at {last['step']:,}"
        gap = "({:+.2f}..{:+.2f})".format(*last["gap_interval"]) if "gap_interval" in last else "(no interval)"
        beside = f"fresh {last['fresh']:.2f}, gap {last['gap']:+.2f} {gap}"
        word = {"unclear": "unclear, the budget is too small to tell"}.get(track["verdict"], track["verdict"])
        lines.append(f"{track['part']} on {track['target']}{rate}: {move}; {beside}: {word}")
    return lines


def finite(x: Any) -> Any:
    """JSON has no NaN: null."""
    match x:
        case dict():
            return {str(key): finite(value) for key, value in x.items()}
        case list() | tuple():
            return [finite(value) for value in x]
        case float() if not math.isfinite(x):
            return None
    return x


# ---- other probes, and the page


def read(path: Path, probes: Mapping[str, Probe], size: int) -> None:
    """Every snapshot in order, so that a probe may remember the ones before."""
    if size < 1:
        raise BadInput(f"probe_batch is {size}, but must be at least 1")
    memory: dict[str, Memory] = {}
    table: dict[str, list[dict[str, float]]] = {name: [] for name in probes}
    for step in tqdm(steps(path), unit="snapshot", disable=not sys.stderr.isatty()):
        frozen = thaw(path, step)
        for name, probe in probes.items():
            row = readings(frozen.learner, {name: probe}, size, memory, frozen.settings.run.seed)
            table[name].append({"step": step, **row})
    for name, found in table.items():
        shelf.keep(path, name, found)
        say(str(report.probes(found, report.events_of(path), path / "probes" / f"{name}.png")))


def page(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise BadInput(f"{path} is not a run directory; name one that holds config.json")
    saved = path / "probes" / "trainability.json"
    word = json.loads(saved.read_text())["verdict"] if saved.exists() else VERDICTS[-1]
    say(f"{report.report(path, word)}\n{word}")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
