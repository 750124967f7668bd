"""The trainability of a run's snapshots (Lyle et al. 2023, arXiv:2303.01486) beside fresh networks on the same task.

`python -m agents.probe trainability RUN`: every snapshot is fitted to the same targets on the same states in the same
order as three fresh draws of its network for each repeat, so that differences are paired. All snapshots of a run are
fitted on the states of the last one, by default.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tyro.conf import Positional

from agents.fits import Done, Fit, fitted, states
from agents.flags import BadInput
from agents.snapshots import steps, thaw
from agents.verdict import VERDICTS, Row, levels, spread, verdict
from probes.fit import Trial, score
from probes.targets import TARGETS, parts_to_fit
from runs.progress import say
from runs.snapshot import TRANSITIONS
from runs.units import Count, broken, count

FRESH = 3  # fresh networks for each repeat


class Budget(NamedTuple):
    updates: int
    batch: int
    repeats: int


# Of regressed targets and of labels. standard: Lyle et al. 2023, and Zhang et al.'s labels as in docs/algorithms.md;
# paper: the 50,000 updates of Lyle et al. 2022 (arXiv:2204.09560).
BUDGETS = {
    "quick": (Budget(1_000, 256, 3), Budget(1_000, 128, 3)),
    "standard": (Budget(2_000, 256, 10), Budget(3_000, 128, 3)),
    "paper": (Budget(50_000, 256, 10), Budget(3_000, 128, 3)),
}


@dataclass(frozen=True)
class Trainability:
    """How well the networks of a run's snapshots can still be trained"""

    runs: Positional[tuple[Path, ...]]
    """Run directories with snapshots"""
    targets: str = "sine"
    """What is fitted, with commas: sine (Lyle et al. 2023), random-net (2022), noise, labels, next-task"""
    budget: Literal["quick", "standard", "paper"] = "standard"
    """quick: 1k updates, 3 repeats; standard: 2k, 10 (Lyle et al. 2023); paper: 50k, 10 (Lyle et al. 2022); of 256"""
    updates: Count = 0
    """Optimizer steps of a fit; 0 is the budget's"""
    batch: int = 0
    """States in a minibatch; 0 is the budget's"""
    repeats: int = 0
    """Draws of each target; 0 is the budget's"""
    pool: Count = TRANSITIONS // 2
    """States to fit, and as many held out (ours: 2,048; Lyle et al. 2023: 25.6k)"""
    pool_of: str = "last"
    """Whose states: of the last snapshot, each snapshot's own, or of the one at a step, e.g. 100k"""
    optimizer: Literal["agent", "carried", "sgd"] = "agent"
    """The agent's, in a fresh state or as the snapshot carries it; or plain SGD, rate .01 (Lyle et al. 2023: fresh)"""
    rates: str = "1"
    """Factors on the learning rate, with commas: 0.1,1,10 tells a wrong step size from a network that cannot learn"""
    head: Literal["own", "fresh"] = "own"
    """fresh: another last layer in all networks, so that only what is below it is tested"""
    labels_by: Literal["adam", "agent"] = "adam"
    """The optimizer that fits labels: Adam of rate .001 (Zhang et al. 2017: any), or --optimizer"""
    parts: str = ""
    """Which parts of the agent, e.g. critic; empty for all that have an output layer"""
    jobs: int = 0
    """Processes of one thread each; 0 for all cores"""
    seed: int = 0
    """Of targets, fresh networks and minibatches"""

    def problems(self) -> list[str]:
        rules = {
            "runs": (bool(self.runs), "a run directory or several"),
            "pool": (1 < self.pool <= TRANSITIONS // 2, f"from 2 to {TRANSITIONS // 2:,}: a snapshot keeps twice that"),
            "rates": (all(rate > 0 for rate in self.ladder()), "numbers above 0 with commas"),
            **{
                name: (getattr(self, name) >= 0, "at least 0")
                for name in ("updates", "batch", "repeats", "jobs", "seed")
            },
        }
        return broken(self, rules) + [unknown(word, TARGETS) for word in self.targets.split(",") if word not in TARGETS]

    def ladder(self) -> list[float]:
        try:
            return [float(rate) for rate in self.rates.split(",")]
        except ValueError:
            return [-1.0]

    def budget_of(self, target: str) -> Budget:
        given = BUDGETS[self.budget][target == "labels"]
        return Budget(*(getattr(self, name) or value for name, value in given._asdict().items()))

    @property
    def name(self) -> str:
        """Of the files: another way of fitting does not overwrite the usual one's."""
        usual = {f.name: f.default for f in fields(self)}
        odd = [str(getattr(self, n)) for n in ("optimizer", "pool_of") if getattr(self, n) != usual[n]]
        odd += ["head"] if self.head == "fresh" else []
        return "-".join(["trainability", *odd])

    def trial(self, part: str, target: str, rate: float) -> Trial:
        budget, head = self.budget_of(target), "fresh" if target == "labels" else self.head
        rule = "adam" if target == "labels" and self.labels_by == "adam" else self.optimizer
        return Trial(part, target, budget.updates, budget.batch, rule, rate, head, self.seed)


class Track(NamedTuple):
    """One part on one target at one rate: the fits of every snapshot, and of the fresh networks on its states."""

    trial: Trial
    repeats: int
    own: dict[int, Fit]  # by step
    fresh: dict[int, list[Fit]]

    def wanted(self) -> list[tuple[Fit, int]]:
        every = [fit for fits in self.fresh.values() for fit in fits] + list(self.own.values())
        return [(fit, self.repeats) for fit in dict.fromkeys(every)]


def tracks(flags: Trainability, run: Path) -> list[Track]:
    """Everything that is to be fitted of a run; BadInput names what it cannot have."""
    every = steps(run)
    last = thaw(run, every[-1])
    if flags.optimizer == "carried" and not last.optimizer:
        raise BadInput(f"snapshots of {run} hold no optimizer state: leave --optimizer at agent")
    names = parts_to_fit(last.learner.view(np.random.default_rng(0)))
    parts = flags.parts.split(",") if flags.parts else names
    if wrong := [unknown(part, names) for part in parts if part not in names]:
        raise BadInput("\n".join(wrong))
    whose = {step: pool_step(flags, run, every, step) for step in every}
    rows = [(part, target, rate) for target in flags.targets.split(",") for part in parts for rate in flags.ladder()]
    found = []
    for part, target, rate in rows:
        states(run, every[-1], flags.pool, target)  # what it cannot have is said before anything is fitted
        trial = flags.trial(part, target, rate)
        control = replace(trial, optimizer="agent" if trial.optimizer == "carried" else trial.optimizer)
        own = {step: Fit(run, trial, step, None, pool, flags.pool) for step, pool in whose.items()}
        fresh = {s: [Fit(run, control, pool, j, pool, flags.pool) for j in range(FRESH)] for s, pool in whose.items()}
        found.append(Track(trial, flags.budget_of(target).repeats, own, fresh))
    return found


def pool_step(flags: Trainability, run: Path, every: Sequence[int], step: int) -> int:
    """The snapshot whose states a snapshot is fitted on."""
    if flags.pool_of in ("last", "own"):
        return every[-1] if flags.pool_of == "last" else step
    try:
        chosen = count(flags.pool_of)
    except ValueError:
        chosen = -1
    if chosen not in every:
        there = ", ".join(f"{s:,}" for s in every)
        raise BadInput(f"--pool-of {flags.pool_of} is no snapshot of {run}; write last, own or one of {there}")
    return chosen


def unknown(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(word, list(known), 1, 0)
    return f"no {word!r}; did you mean {near[0]}? There are {', '.join(known)}"


def measure(flags: Trainability) -> dict[Path, Row]:
    """{run: its summary}, of every run, all fits in one go."""
    plans = {run: tracks(flags, run) for run in flags.runs}
    for target in flags.targets.split(","):
        budget = flags.budget_of(target)
        say(f"{target}: {budget.updates:,} updates of {budget.batch} states, {budget.repeats} repeats ({flags.budget})")
    wanted = [row for plan in plans.values() for track in plan for row in track.wanted()]
    done = fitted(wanted, flags.jobs or len(os.sched_getaffinity(0)))
    return {run: summary(flags, run, plan, done[run]) for run, plan in plans.items()}


def summary(flags: Trainability, run: Path, plan: Sequence[Track], done: Done) -> Row:
    """What is written to the JSON file and drawn."""
    rows = [summarised(track, done) for track in plan]
    words = [row["verdict"] for row in deciding(rows)]
    options = {f.name: getattr(flags, f.name) for f in fields(flags) if f.name not in ("runs", "jobs")}
    sizes = {kind: len(batch.obs) for kind, batch in states(run, steps(run)[-1], flags.pool, "sine")._asdict().items()}
    return {"verdict": min(words, key=VERDICTS.index), "options": options, "states": sizes, "tracks": rows}


def deciding(rows: Sequence[Row]) -> Sequence[Row]:
    """Those that the verdict on a run rests on: at the agent's own learning rate, of sines if there are any. A random
    network has no offset, so a trained one has its own to unlearn."""
    usual = [row for row in rows if row["rate"] == 1] or rows
    return [row for row in usual if row["target"] == "sine"] or usual


def summarised(track: Track, done: Done) -> Row:
    """A part on a target: its snapshots in order, and the verdict on the last."""
    trial, repeats = track.trial, track.repeats
    scores = {step: np.array([score(row) for row in done.of(fit, repeats)]) for step, fit in track.own.items()}
    first = next(iter(scores.values()))
    rows = []
    for step, fit in track.own.items():
        own, fresh = done.of(fit, repeats), [done.of(control, repeats) for control in track.fresh[step]]
        band = np.array([[score(row) for row in rows] for rows in fresh]).mean(0)  # [repeats], of the fresh networks
        rows.append(
            {
                "step": step,
                **spread("score", scores[step]),
                **spread("fresh", band),
                **spread("gap", band - scores[step]),
                **spread("since_first", first - scores[step]),
                **levels("", own),
                **levels("fresh_", [row for records in fresh for row in records]),
            }
        )
    kind = {"part": trial.part, "target": trial.target, "rate": trial.rate}
    budget = {"updates": trial.updates, "batch": trial.batch, "repeats": repeats}
    return {**kind, **budget, "verdict": verdict(rows[-1], repeats), "snapshots": rows}
