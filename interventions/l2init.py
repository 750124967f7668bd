"""L2-init (Kumar et al. 2023, arXiv:2308.11958): a penalty on the distance of the weights from their first draw.

lambda ||theta - theta_0||^2, whose gradient is 2 lambda (theta - theta_0). The authors' code (skumar9876/L2_Init) has
half of it and leaves the norms alone: --l2init-half, and --l2init-skip norm, our default, as those of vision networks
are theirs; biases are penalised. theta_0 is the draw itself: drawn anew at every step it did worse.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import known, renew, scaled, square
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken


@dataclass(frozen=True)
class L2Init(Intervention):
    """L2-init: the weights are pulled back to their first draw (Kumar et al. 2023)"""

    reach = Reach.WEIGHT
    touches = "gradients; keeps the first weights"
    fires = "every update"

    l2init_weight: float = 0.0
    """lambda of lambda ||theta - theta_0||^2; 0 is off (Kumar et al. 2023: 1e-2 of 1e-2 to 1e-5, with Adam)"""
    l2init_half: bool = False
    """lambda/2 in place of lambda, as the authors' code; their text has no half (Kumar et al. 2023)"""
    l2init_groups: str = ""
    """Only parameters whose path has one of these groups, e.g. torso; empty for all (Kumar et al. 2023)"""
    l2init_skip: str = "norm"
    """Groups left alone: the norms, as in the authors' code; empty for none (Kumar et al. 2023)"""
    l2init_reset: Literal["move", "keep"] = "move"
    """After a reset the new weights are theta_0 of what was redrawn, or theta_0 stays (ours: docs/algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"l2init_weight": (0 <= self.l2init_weight < inf, "at least 0")})

    def init(self, subject: Subject) -> State:
        """{part: {parameter: its first value}}, of the parts that have units: a temperature is no network."""
        rows = {n: p.select(self.l2init_groups, self.l2init_skip) for n, p in subject.parts.items() if p.net.outputs()}
        return {name: {path: p.detach().clone() for path, p in row.items()} for name, row in rows.items() if row}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in state:
            return loss.value
        first = state[loss.part]
        live = [p for name, p in subject.parts[loss.part].net.named_parameters() if name in first]
        weight = self.l2init_weight / 2 if self.l2init_half else self.l2init_weight
        with torch.no_grad():
            away = list(torch._foreach_sub(list[Tensor](live), list[Tensor](first.values())))
            value = weight * square(away)
        return loss.value + known(value, scaled(away, 2 * weight), live)

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for part in state if self.l2init_reset == "move" else ():
            renew(state[part], subject.parts[part].net, redrawn.get(part, ()))
