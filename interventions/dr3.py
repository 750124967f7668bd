"""DR3 (Kumar et al. 2022, arXiv:2112.04716): features of successive states and actions should not be aligned.

The penalty is phi(s, a) . phi(s', a'), a batch mean here, with a' drawn from the policy; where the outputs cover all
actions phi is that of the state. The paper drops the stop-gradient on the second factor, as it does slightly better.
Dopamine takes the absolute value of the dot product, which has a least value where features may be negative; with ReLU
the two are one. s' needs a forward pass of its own, with gradients unless the second factor is stopped.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import featured, featureless
from nets.anatomy import record
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken


@dataclass(frozen=True)
class DR3(Intervention):
    """DR3: features of successive states are kept apart (Kumar et al. 2022)"""

    reach = Reach.WEIGHT
    touches = "gradients"
    watches = True
    clashes = "learners on data: no state follows another"
    fires = "every update"

    dr3_weight: float = 0.0
    """c_0 of the batch mean; 0 is off (Dopamine: .1; the paper tunes it)"""
    dr3_form: Literal["dot", "absolute"] = "dot"
    """The dot product (Kumar et al. 2022), or its absolute value for each pair of states (Dopamine)"""
    dr3_stop: bool = False
    """No gradient through phi(s', a'): the paper's first form, slightly worse (Kumar et al. 2022)"""
    dr3_parts: str = ""
    """Of which parts; empty for all but policies (ours: the sources of 2022 have none)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"dr3_weight": (0 <= self.dr3_weight < inf, "at least 0")})
        if not subject.acts:
            yield "dr3_weight compares a state with the one after it; labelled data have none: leave it out"
        yield from featureless(subject, "dr3_parts", self.dr3_parts)

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        part = subject.parts[loss.part]
        if not featured(loss.part, part.net, self.dr3_parts):
            return loss.value
        now = subject.tape(loss.part).features  # [K, B, D]
        with torch.no_grad():
            later = subject.answer(batch._replace(obs=batch.next_obs))
        with record(part.net) as tape, torch.no_grad() if self.dr3_stop else nullcontext():
            subject.run(loss.part, later)
        dots = (now * tape.features).sum(2)  # [K, B]
        dots = dots.abs() if self.dr3_form == "absolute" else dots
        return loss.value + self.dr3_weight * dots.mean(1).sum()
