"""Kickstarting (Schmitt et al. 2018, arXiv:1803.03835): a new agent imitates an old one's policy beside its own loss.

L + w_t KL(pi_T || pi_S) on the states of the agent's own minibatch; the paper's cross-entropy has the same gradient.
w_t falls linearly to 0 over --kickstart-until agent steps, from where training is plain, bit for bit; the paper adapts
it by population-based training. A policy is softmax(Q / T), a Gaussian or a classifier's distribution.

The teacher is another run's directory; it has played every game that we play, in whatever mode or difficulty. It is
read at the start and kept out of our checkpoints, which hold its digest; a resumed run compares it when it first asks
the teacher, and stops with a sentence if it has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.imitation import called, examined, fading, policy_gap, pupils
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import Count, broken


@dataclass(frozen=True)
class Kickstart(Intervention):
    """Kickstarting: imitate another run's policy beside the loss (Schmitt et al. 2018)"""

    reach = Reach.LEARNING
    touches = "the loss"
    clashes = (
        "runs of another agent, game or network: of `infer`, `injection`, `--parseval-diagonal`, `popart` and "
        "`specnorm` both have the same; `--norm-obs`"
    )

    kickstart_from: str = ""
    """Directory of the run whose networks teach (Schmitt et al. 2018)"""
    kickstart_weight: float = 1.0
    """Factor on the imitation at step 0 (ours: 1; Schmitt et al. 2018 adapt it)"""
    kickstart_temperature: float = 1.0
    """T of both policies: less sharpens them (Schmitt et al. 2018: 1)"""
    kickstart_until: Count = 1_000_000
    """Agent steps over which the factor falls to 0 (ours: docs/algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "kickstart_weight": (0 <= self.kickstart_weight < inf, "at least 0"),
            "kickstart_temperature": (0 < self.kickstart_temperature < inf, "above 0"),
            "kickstart_until": (self.kickstart_until > 0, "at least 1"),
        }
        yield from broken(self, rules)
        yield from examined(subject, "kickstart_from", self.kickstart_from)

    def init(self, subject: Subject) -> State:
        return {"digest": subject.teacher(self.kickstart_from).digest}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        weight = fading(self.kickstart_weight, subject.clock["steps"], self.kickstart_until)
        if not weight or loss.part not in pupils(subject):
            return loss.value
        lesson = called(state, subject, self.kickstart_from).weights
        return loss.value + weight * policy_gap(subject, loss.part, batch, lesson, self.kickstart_temperature)
