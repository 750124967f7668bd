"""Fits of many networks: what is wanted, what was done before, and the processes that do the rest.

A fit that is done is a line of RUN/probes/fits.jsonl, so an interrupted command continues, and fresh networks, which no
snapshot changes, are fitted once a run. Processes have one thread each; a fit gives the same numbers in any of them.
"""

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from tqdm import tqdm

from agents.flags import BadInput
from agents.school import School
from agents.snapshots import place, thaw
from probes.fit import Record, Trial
from probes.targets import Goal, Pool, pool
from replay.batch import Batch, labelled
from runs.rng import stream

LEAST = 4  # distinct states, to fit and held out together


@dataclass(frozen=True)
class Fit:
    """One network on one target: a snapshot's, or a fresh draw, on the states of a snapshot."""

    run: Path
    trial: Trial
    step: int  # of the snapshot whose network is fitted; of a fresh draw, of the snapshot whose states are used
    draw: int | None  # number of the fresh network
    states: int  # step of the snapshot whose states are used
    size: int  # of the pool

    @property
    def key(self) -> str:
        """Equal keys in a run directory give equal numbers."""
        start = f"step {self.step}" if self.draw is None else f"fresh {self.draw}"
        return "|".join(map(str, (start, self.states, self.size, *astuple(self.trial))))


class Done:
    """The fits of a run that are done, on disk: {(key, repeat): record}."""

    def __init__(self, run: Path) -> None:
        self.path = run / "probes" / "fits.jsonl"
        self.path.parent.mkdir(exist_ok=True)
        self.path.touch()
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        os.truncate(self.path, len(whole))  # a line that was cut off is fitted again
        lines = [json.loads(line) for line in whole.splitlines()]
        self.rows: dict[tuple[str, int], Record] = {(x["key"], x["repeat"]): x["record"] for x in lines}

    def add(self, fit: Fit, repeat: int, record: Record) -> None:
        self.rows[fit.key, repeat] = record
        with self.path.open("ab") as file:
            file.write(json.dumps({"key": fit.key, "repeat": repeat, "record": record}).encode() + b"\n")

    def of(self, fit: Fit, repeats: int) -> list[Record]:
        return [self.rows[fit.key, r] for r in range(repeats)]

    def missing(self, fit: Fit, repeats: int) -> list[int]:
        return [r for r in range(repeats) if (fit.key, r) not in self.rows]


Job = tuple[Fit, tuple[int, ...]]  # repeats that one process fits together


def jobs(fit: Fit, missing: Sequence[int]) -> Iterator[Job]:
    """All repeats at once where they are stacked, else one by one."""
    if missing and fit.trial.stacks(thaw(fit.run, fit.states).learner.parts[fit.trial.part]):
        yield fit, tuple(missing)
    else:
        yield from ((fit, (repeat,)) for repeat in missing)


def work(job: Job) -> list[Record]:
    """In a process of its own, or in this one."""
    fit, repeats = job
    subject = thaw(fit.run, fit.step).learner.view(stream(0, "fit"))
    goals = [goal(replace(fit, step=fit.states, draw=None, trial=asked(fit.trial)), r) for r in repeats]
    return fit.trial.run(subject, states(fit.run, fit.states, fit.size, fit.trial.target), repeats, fit.draw, goals)


def asked(trial: Trial) -> Trial:
    """Of equal trials here, the targets are equal."""
    return Trial(trial.part, trial.target, seed=trial.seed)


@lru_cache(256)
def goal(fit: Fit, repeat: int) -> Goal:
    """Computed once a process: a sine takes a pass over all states in float64."""
    subject = thaw(fit.run, fit.step).learner.view(stream(0, "fit"))
    return fit.trial.goal(subject, states(fit.run, fit.states, fit.size, fit.trial.target), repeat)


@lru_cache(2)
def states(run: Path, step: int, size: int, target: str) -> Pool:
    """The states that a snapshot kept, or the examples of the task that comes after it."""
    found = following(run, step, size) if target == "next-task" else pool(slim(thaw(run, step).states), size)
    if len(found.fit.obs) + len(found.held.obs) < LEAST:
        raise BadInput(f"{run} kept fewer than {LEAST} distinct states at step {step:,}; take a longer run")
    return found


def slim(batch: Batch) -> Batch:
    """Without a second copy of the states."""
    return batch._replace(next_obs=batch.obs)


def following(run: Path, step: int, size: int) -> Pool:
    """The next task: training examples to fit, its test set, if there is one, held out."""
    world, frozen = place(run), thaw(run, step)
    if not isinstance(world, School):
        raise BadInput(f"next-task is for streams of labelled data, {run} has none; leave it out of --targets")
    if frozen.settings.flat["loss"] != "cross_entropy":
        raise BadInput(f"next-task is for --loss cross_entropy, not {frozen.settings.flat['loss']}; leave it out")
    world.data.task = frozen.learner.clock["tasks"]
    world.data.turn()
    none = tuple(x[:0] for x in world.data.train)
    pairs = (world.data.train, world.data.test or none)
    return Pool(*(frozen.learner.place(labelled(x[:size], y[:size])) for x, y in pairs))


def quiet() -> None:
    """One thread, and denormal numbers are 0 as in a run."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def worker() -> None:
    """A process of its own, which ends with the one that asked for it, however that ended."""
    quiet()
    threading.Thread(target=orphaned, daemon=True).start()


def orphaned() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def fitted(wanted: Sequence[tuple[Fit, int]], processes: int) -> dict[Path, Done]:
    """wanted: (fit, repeats). Everything that is not done yet, in so many processes at once."""
    done = {run: Done(run) for run in dict.fromkeys(fit.run for fit, _ in wanted)}
    todo = [job for fit, repeats in wanted for job in jobs(fit, done[fit.run].missing(fit, repeats))]
    ordered = list(dict.fromkeys(todo))
    with tqdm(total=sum(len(repeats) for _, repeats in ordered), unit="fit", disable=not sys.stderr.isatty()) as bar:
        for (fit, repeats), records in results(ordered, processes):
            for repeat, record in zip(repeats, records, strict=True):
                done[fit.run].add(fit, repeat, record)
            bar.update(len(repeats))
    return done


def results(todo: Sequence[Job], processes: int) -> Iterator[tuple[Job, list[Record]]]:
    """As they come."""
    if min(processes, len(todo)) <= 1:
        threads = torch.get_num_threads()
        quiet()
        try:
            yield from ((job, work(job)) for job in todo)
        finally:
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
        return
    context = multiprocessing.get_context("spawn")  # a fork of threads may hang
    with ProcessPoolExecutor(min(processes, len(todo)), context, worker) as executor:
        futures: dict[Future[list[Record]], Job] = {executor.submit(work, job): job for job in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            executor.shutdown(cancel_futures=True)
