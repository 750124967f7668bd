"""Distillation after a reset: the new network imitates the one before it (after Igl et al. 2021, arXiv:2006.05826).

--distill-updates extra updates minimise L_D alone, the slow network becomes a copy of the student, and then
L_TD + c_t L_D is minimised with c_t = c_0 max(1 - t / T_d, 0). This plain form and its numbers are ours.

L_D is the mean over a batch of the squared differences of values, or KL(teacher || student) of distributions; SAC's
critics are compared on the replay's actions and on those of the teacher's policy. Batches are uniform over the replay
whatever the agent samples. From T_d on training is plain, bit for bit, and the teacher is forgotten. Where n or gamma
begin anew at a reset the teacher's values are of another return: only --distill-what policy then. A reset before the
first update is not distilled: there is nothing to keep. t counts updates, extra ones not included. Catching up comes
first.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.imitation import What, fading, gap, taught, unlike
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import Count, broken


@dataclass(frozen=True)
class Distill(Intervention):
    """Distillation: the network after a reset imitates the one before it (Igl et al. 2021)"""

    reach = Reach.LEARNING
    touches = "weights, optimizer, target by updates"
    clashes = "`--distill-what outputs` where n or gamma begin anew at a reset"
    follows = True
    fires = "after each reset, and until its weight is 0"

    distill_updates: Count = 0
    """Extra updates on L_D alone after each reset, e.g. 5k (ours, 5k: docs/algorithms.md)"""
    distill_weight: float = 1.0
    """c_0: factor on L_D beside the agent's own loss (ours: docs/algorithms.md)"""
    distill_anneal: Count = 20_000
    """T_d: updates over which the factor falls to 0; 0 for no L_D beside the loss (ours: docs/algorithms.md)"""
    distill_teacher: Literal["online", "target"] = "online"
    """The teacher: the network before the reset, or its slow copy where it has one (BBF acts with that)"""
    distill_what: What = "outputs"
    """outputs: values and policies; policy: softmax(Q) or actor, if schedules restart (ours: docs/algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "distill_updates": (self.distill_updates >= 0, "at least 0"),
            "distill_anneal": (self.distill_anneal >= 0, "at least 0"),
            "distill_weight": (0 <= self.distill_weight < inf, "at least 0"),
        }
        yield from broken(self, rules)
        if self.distill_teacher == "target" and all(part.target is None for part in subject.parts.values()):
            yield "distill_teacher target: no part has a slow network; use online"
        yield from unlike(subject, "distill_what", self.distill_what)

    def before_reset(self, state: State, subject: Subject) -> None:
        state.clear()
        if subject.clock["updates"]:
            slow = self.distill_teacher == "target"
            state["teacher"] = {name: part.weights(slow, buffers=True) for name, part in subject.parts.items()}

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> Report | None:
        if "teacher" not in state:
            return None
        state["students"] = [name for name in taught(subject, self.distill_what) if redrawn.get(name)]
        extra = self.distill_updates if state["students"] else 0
        for _ in range(extra):
            subject.extra_update(lambda batch: self.lesson(state, subject, batch))
        for name in state["students"]:
            subject.parts[name].sync()
        state["since"] = subject.clock["updates"]
        self.leave_off(state, subject)
        return {"extra": extra}

    def lesson(self, state: State, subject: Subject, batch: Batch) -> Iterator[Loss]:
        for name in state["students"]:
            yield Loss(name, self.loss(state, subject, name, batch))

    def loss(self, state: State, subject: Subject, name: str, batch: Batch) -> Tensor:
        return gap(subject, name, batch, state["teacher"], self.distill_what)

    def weight(self, state: State, subject: Subject) -> float:
        if not state.get("students"):
            return 0.0
        return fading(self.distill_weight, subject.clock["updates"] - state["since"], self.distill_anneal)

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        weight = self.weight(state, subject)
        if not weight or loss.part not in state["students"]:
            return loss.value
        return loss.value + weight * self.loss(state, subject, loss.part, subject.batch())

    def after_update(self, state: State, subject: Subject) -> None:
        self.leave_off(state, subject)

    def leave_off(self, state: State, subject: Subject) -> None:
        """Forget the teacher once its weight is 0."""
        if "since" in state and not self.weight(state, subject):
            state.clear()
