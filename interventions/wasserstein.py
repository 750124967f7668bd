"""Wasserstein-init (Lewandowski et al. 2023, arXiv:2312.00246): a penalty on how far the distribution of each tensor's
weights has moved from its initial one.

The squared 2-Wasserstein distance of two samples of one size pairs them in order: sum_i (sort(w)_i - sort(w_0)_i)^2, so
each weight is pulled to the initial value of its own rank. The sum is our default; the baseline of Chung et al. (2024,
arXiv:2412.07224) divides each tensor's by its number of elements. Biases and gains are tensors like others, as there.
Sorting 1.6M weights takes longer than Nature-DQN's update: ranks are kept for a few updates, which makes the penalty an
upper bound of the distance, as any pairing is.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import known, scaled
from nets.part import Part
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken


@dataclass(frozen=True)
class Wasserstein(Intervention):
    """Wasserstein-init: each tensor keeps its initial distribution, in any order (Lewandowski et al. 2023)"""

    reach = Reach.WEIGHT
    touches = "gradients; keeps the first weights, sorted"
    fires = "every update"

    wasserstein_weight: float = 0.0
    """Coefficient; 0 is off (Chung et al. 2024 with the mean form: 1e-3)"""
    wasserstein_form: Literal["sum", "mean"] = "sum"
    """Of the squares in a tensor: sum (Lewandowski et al. 2023), mean over its elements (Chung et al. 2024)"""
    wasserstein_ranks: int = 10
    """Updates of a part for which the ranks are kept; 1 is the distance itself (ours: docs/algorithms.md)"""
    wasserstein_reset: Literal["move", "keep"] = "move"
    """After a reset the new weights are the initial ones of what was redrawn, or those stay (ours: as L2-init, 2023)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "wasserstein_weight": (0 <= self.wasserstein_weight < inf, "at least 0"),
            "wasserstein_ranks": (self.wasserstein_ranks > 0, "at least 1"),
        }
        yield from broken(self, rules)

    def init(self, subject: Subject) -> State:
        """{part: {count, sorted: {parameter: [n]}, goal: {parameter: the initial value of each weight's rank}}}."""
        parts = {name: part for name, part in subject.parts.items() if part.net.outputs()}
        return {name: {"count": 0, "sorted": ordered(part), "goal": part.weights()} for name, part in parts.items()}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in state:
            return loss.value
        mine, live = state[loss.part], dict(subject.parts[loss.part].net.named_parameters())
        with torch.no_grad():
            if mine["count"] % self.wasserstein_ranks == 0:
                rank(mine["goal"], live, mine["sorted"])
            mine["count"] += 1
            away = list(torch._foreach_sub(list[Tensor](live.values()), [mine["goal"][name] for name in live]))
            squares = torch.stack(torch._foreach_norm(away)).square()
            if self.wasserstein_form == "mean":
                sizes = [x.numel() for x in away]
                squares = squares / torch.tensor(sizes, device=squares.device)
                torch._foreach_div_(away, sizes)
            value = self.wasserstein_weight * squares.sum()
        return loss.value + known(value, scaled(away, 2 * self.wasserstein_weight), list(live.values()))

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for part in state if self.wasserstein_reset == "move" else ():
            fresh = ordered(subject.parts[part], redrawn.get(part, ()))
            state[part]["sorted"].update(fresh)
            state[part]["count"] = 0


@torch.no_grad()
def ordered(part: Part, names: Collection[str] | None = None) -> dict[str, Tensor]:
    """{parameter: its values, from least to largest}."""
    rows = part.net.named_parameters()
    return {name: p.detach().flatten().sort().values for name, p in rows if names is None or name in names}


def rank(goal: dict[str, Tensor], live: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """goal[name] becomes the value of values[name] at the rank of each weight."""
    for name, p in live.items():
        flat = p.detach().flatten()
        order = torch.from_numpy(np.argsort(flat.numpy(force=True))).to(p.device)  # numpy's: 5 times torch's speed
        goal[name].copy_(torch.empty_like(flat).index_copy_(0, order, values[name]).view(p.shape))
