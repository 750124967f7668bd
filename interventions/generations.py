"""ITER (Igl et al. 2021, arXiv:2006.05826): from time to time a student takes over, to shed legacy features.

For the last --generations-updates updates before --generations-every comes round, a fresh network with an optimizer and
slow copies of its own learns beside the agent: one extra update for each of the agent's, of the agent's losses plus a
weight that falls to 0 times the imitation of the present network (squares of values, KL of policies, teacher first).
Then weights, slow copies and optimizer change places and the old network is gone; the replay stays. The schedule is
ours, the paper's could not be verified. The student's batches are uniform over the replay whatever the agent samples,
and augmented as the agent's are, with draws of their own; other methods do not act on them. Its slow copy moves by the
part's own rule: a hard copy whenever the agent has one, a moving average with every update. Where n or gamma begin anew
with it the teacher's values are of another return: only --generations-what policy then. What redraws the teacher on the
way begins the student again.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from interventions.base import Intervention, Reach, State
from interventions.imitation import What, fading, gap, taught, unlike
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import NEVER, Count, Every, broken


@dataclass(frozen=True)
class Generations(Intervention):
    """ITER: a student trained beside the agent takes its place (Igl et al. 2021)"""

    reach = Reach.LEARNING
    touches = "weights, target, optimizer"
    clashes = "periods in other units than steps and updates; `--generations-what outputs` where n or gamma begin anew"
    redraws = True

    generations_every: Every = NEVER
    """When a student takes over, e.g. 1M (agent steps) or 250k:updates (Igl et al. 2021)"""
    generations_updates: Count = 100_000
    """For so many updates before, it learns beside the agent (ours: docs/algorithms.md)"""
    generations_weight: float = 1.0
    """Factor on the imitation at its birth; it falls linearly to 0 until it takes over (ours: docs/algorithms.md)"""
    generations_what: What = "outputs"
    """outputs: values and policies (Igl et al. 2021); policy: softmax(Q) or actor, if schedules restart (ours)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        every = self.generations_every
        rules = {
            "generations_updates": (self.generations_updates > 0, "at least 1"),
            "generations_weight": (0 <= self.generations_weight < inf, "at least 0"),
            "generations_every": (every.unit in ("steps", "updates"), "in steps or updates, e.g. 250k:updates"),
        }
        yield from broken(self, rules)
        yield from unlike(subject, "generations_what", self.generations_what)
        shortest = min((b - a for a, b in pairwise((0, *every.at))), default=every.n)
        if rules["generations_every"][0] and self.generations_updates > self.updates(subject, shortest):
            yield f"generations_updates: {self.generations_updates} do not fit into {every}; raise the period"

    def updates(self, subject: Subject, ticks: float) -> float:
        """What ticks of its period's clock are in updates."""
        return ticks if self.generations_every.unit == "updates" else ticks * subject.ratio

    def left(self, subject: Subject) -> float:
        """Updates until the next hand-over, this one included; infinite where none is left."""
        every, now = self.generations_every, subject.clock[self.generations_every.unit]
        ahead = every.at or [(now // every.n + 1) * every.n]
        following = next((t for t in ahead if every.crossed(t) > every.crossed(now)), inf)
        return self.updates(subject, following - now + (every.unit == "updates"))

    def after_update(self, state: State, subject: Subject) -> None:
        if not state and self.left(subject) > self.generations_updates:
            return
        if not state:
            students = {name: part.newborn(subject.seed()) for name, part in subject.parts.items()}
            state |= {"students": students, "updates": 0, "targets": subject.clock["targets"]}
        self.exchange(state, subject)
        try:
            subject.extra_update(lambda batch: self.lesson(state, subject, batch))
            self.follow(state, subject)
        finally:  # where a number was not finite, the agent is what is saved
            self.exchange(state, subject)
        state["updates"] += 1

    def redrawing(self, state: State, subject: Subject) -> bool:
        """Whether there is a student: not where the warm-up took its time."""
        return bool(state)

    def exchange(self, state: State, subject: Subject) -> None:
        for name, part in subject.parts.items():
            part.exchange(state["students"][name])

    def lesson(self, state: State, subject: Subject, batch: Batch) -> Iterator[Loss]:
        """The agent's losses and the imitation of the network that is stored while the student stands in its place."""
        weight = fading(self.generations_weight, state["updates"], self.generations_updates)
        teacher = {name: stored["net"] for name, stored in state["students"].items()}
        batch, pupils = subject.augmented(batch), taught(subject, self.generations_what)
        for loss in subject.losses(batch):
            value = loss.value
            if weight and loss.part in pupils:
                value = value + weight * gap(subject, loss.part, batch, teacher, self.generations_what)
            yield Loss(loss.part, value)

    def follow(self, state: State, subject: Subject) -> None:
        """The student's slow copies."""
        copied = subject.clock["targets"] > state["targets"]
        state["targets"] = subject.clock["targets"]
        for part in subject.parts.values():
            if part.tau is not None and (part.tau < 1 or copied):
                part.sync(part.tau)

    def apply(self, state: State, subject: Subject) -> None:
        if state:
            self.exchange(state, subject)
            state.clear()

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        state.clear()
