"""What else befalls a run: a full disk, a second process, an owner that slept, signals in the middle of a save."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from runs.manifest import CURRENT
from tests.soak import faults
from tests.soak.compare import differences, strays
from tests.soak.kills import Bench
from tests.soak.process import Failure, Life

TMPFS = "16m"


class Skipped(Exception):
    """What this machine does not allow."""


def accidents() -> dict[str, Callable[[Bench, Path], None]]:
    return {
        "full disk, no room for a checkpoint": lambda bench, out: full_disk(bench, out, "saved:3", 1 << 19),
        "full disk, no room for a metrics row": lambda bench, out: full_disk(bench, out, "saved:3", 0),
        "full disk, no room for a snapshot": lambda bench, out: full_disk(bench, out, "saved:5", 0),
        "full disk, no room for DONE": lambda bench, out: full_disk(bench, out, "saved:7", 0),
        "second process": second_process,
        "second process after the lock was lost": zombie,
        "SIGTERM in a save": lambda bench, out: politely(bench, out, signal.SIGTERM),
        "SIGUSR1 in a save": lambda bench, out: politely(bench, out, signal.SIGUSR1),
        "SIGINT in a save": lambda bench, out: politely(bench, out, signal.SIGINT),
        "second SIGINT in a save": impatience,
        "SIGTERM in an evaluation": lambda bench, out: in_evaluation(bench, out, 1),
        "SIGTERM in the last evaluation": lambda bench, out: in_evaluation(bench, out, 2),
        "--max-time": max_time,
    }


def befall(bench: Bench) -> Iterator[tuple[str, str]]:
    """(accident, "" or what went wrong or was skipped)."""
    for name, accident in accidents().items():
        out = bench.folder / "accident"
        try:
            accident(bench, out)
            yield name, ""
        except Failure as failure:
            yield name, str(failure)
        except Skipped as reason:
            yield name, f"skipped: {reason}"
        shutil.rmtree(out, ignore_errors=True)


def begin(bench: Bench, out: Path, *points: str) -> Life:
    """A life that stops at these points, at the first of them."""
    life = Life(bench.case.line(out), bench.folder / "first.log", faults.halt(*points))
    stopped(life)
    return life


def stopped(life: Life) -> None:
    if end := life.wait(stopped=True):
        raise Failure(f"was to stop, but ended with {end.code}:\n{end.log[-2000:]}")


def again(bench: Bench, out: Path, *codes: int) -> None:
    """The same line once more."""
    Life(bench.case.line(out), bench.folder / "again.log", faults.small).end().expect(*codes)


def completes(bench: Bench, out: Path) -> None:
    """The same line continues to what the run left alone came to."""
    again(bench, out, 0)
    equal(bench, out)


def equal(bench: Bench, out: Path) -> None:
    if found := differences(out, bench.reference):
        raise Failure("; ".join(found[:8]))


@contextlib.contextmanager
def unchanged(out: Path) -> Iterator[None]:
    """The checkpoint that stood before stands behind."""
    before = (out / CURRENT).read_bytes()
    yield
    if (out / CURRENT).read_bytes() != before:
        raise Failure("another checkpoint was committed")


@contextlib.contextmanager
def mounted(path: Path) -> Iterator[None]:
    """A small disk of its own."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS}", "none", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        path.rmdir()
        raise Skipped(f"no tmpfs can be mounted here ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path, left: int) -> None:
    """Write until only so many bytes are left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free - left
        while free > 0:
            free -= file.write(bytes(min(free, 1 << 16)))


def full_disk(bench: Bench, out: Path, point: str, left: int) -> None:
    """Full from this point on: exit 4, again and again; the checkpoint stands; once there is room the run goes on."""
    with mounted(out):
        run, filler = out / "run", out / "filler"
        life = begin(bench, run, point)
        fill(filler, left)
        with unchanged(run):
            life.send(signal.SIGCONT)
            life.end().expect(4)
            again(bench, run, 4)
        if found := [name for name in strays(run) if ".tmp" in name]:
            raise Failure(f"left on the full disk: {'; '.join(found)}")
        filler.unlink()
        completes(bench, run)


def second_process(bench: Bench, out: Path) -> None:
    """Refused with 3 while the first lives, be it asleep; the first does not notice."""
    life = begin(bench, out, "part:8")
    with unchanged(out):
        again(bench, out, 3)
    life.send(signal.SIGCONT)
    life.end().expect(0)
    equal(bench, out)


def zombie(bench: Bench, out: Path) -> None:
    """The lock is lost, as on a disk without flock, and another process finishes the run: the first must not commit."""
    life = begin(bench, out, "manifest-before-rename:3")
    (out / "LOCK").unlink()
    completes(bench, out)
    with unchanged(out):
        life.send(signal.SIGCONT)
        life.end().expect(3)
    equal(bench, out)


def politely(bench: Bench, out: Path, which: signal.Signals) -> None:
    """The save is finished, one more is made at the next step, and the exit code is 75."""
    life = begin(bench, out, "part:8")
    life.send(which, signal.SIGCONT)
    life.end().expect(75)
    completes(bench, out)


def impatience(bench: Bench, out: Path) -> None:
    """A second SIGINT exits at once with 130; the previous checkpoint stands."""
    life = begin(bench, out, "part:8", "dir-renamed:3")
    with unchanged(out):
        life.send(signal.SIGINT, signal.SIGCONT)
        stopped(life)
        life.send(signal.SIGINT, signal.SIGCONT)
        life.end().expect(130)
    completes(bench, out)


def in_evaluation(bench: Bench, out: Path, number: int) -> None:
    """The resumed run makes up for an evaluation that was cut short."""
    life = Life(bench.case.line(out), bench.folder / "first.log", faults.stop_in_evaluation(number))
    life.end().expect(75)
    completes(bench, out)


def max_time(bench: Bench, out: Path) -> None:
    """Saves and stops by its own clock. A snapshot then says so in its config: only that may differ."""
    Life([*bench.case.line(out), "--max-time", "1"], bench.folder / "first.log", faults.small).end().expect(75)
    again(bench, out, 0)
    if found := [each for each in differences(out, bench.reference) if "state.json" not in each]:
        raise Failure("; ".join(found[:8]))
