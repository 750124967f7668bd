"""Soft shrink and perturb (Juliani & Ash 2024, arXiv:2405.19153): a little of it at every update.

lambda = 1 - rate, p = rate, with rate 1e-6. The authors' code adds p theta_0 of the STORED first draw: `init`. That is
no noise but a decoupled pull: without gradients theta goes to theta_0, which is L2-init of rate 1e-6. `fresh` is what
the name says, a new draw each time; as theta <- lambda^n theta + p sqrt(n) phi once in n = 1,000 updates, which has the
same mean and, to first order, the same variance. Its noise is negligible at this rate: the stationary deviation is
p / sqrt(1 - lambda^2) = 7e-4 of the first draw's. Norms are spared, optimizer and slow network are left alone.
`normal` has N(0, 1) for phi. The shrink and perturb of Dohare et al. 2024 (arXiv:2306.13812) is SGD with weight decay
1e-4 plus N(0, sigma^2) at each step, sigma 1e-4, 1e-5 or 1e-6: at their lr of .003 `--softshrink-rate 3e-7
--softshrink-noise 1e-5 --softshrink-toward normal --softshrink-interval 1`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from interventions.base import Intervention, Reach, Report, State
from interventions.penalty import renew
from interventions.shrink import normal
from nets.part import Part
from nets.subject import Subject
from runs.units import Count, broken


@dataclass(frozen=True)
class SoftShrink(Intervention):
    """Soft shrink and perturb: a little toward the first weights at every update (Juliani & Ash 2024)"""

    reach = Reach.WEIGHT
    touches = "weights; keeps the first ones"
    fires = "every update"

    softshrink_rate: float = 0.0
    """1 - lambda per update, and p if --softshrink-noise does not say otherwise; 0 is off (Juliani & Ash 2024: 1e-6)"""
    softshrink_noise: float = 0.0
    """fresh, normal: p per update; 0 for the rate (Juliani & Ash 2024: p = 1 - lambda; Dohare et al. 2024: 1e-5)"""
    softshrink_toward: Literal["init", "fresh", "normal"] = "init"
    """The stored first weights, as the code of Juliani & Ash 2024; a fresh draw each time, as Ash & Adams 2020; or
    N(0, 1) each time, as Dohare et al. 2024"""
    softshrink_interval: Count = 1000
    """fresh, normal: updates between two draws, each with the shrinkage and noise of them all (ours: algorithms.md)"""
    softshrink_groups: str = ""
    """Only parameters whose path has one of these groups, e.g. torso; empty for all (Juliani & Ash 2024)"""
    softshrink_skip: str = "norm"
    """Groups left alone: gains and biases of the norms by default, which would go to 1 and 0 (ours: algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "softshrink_rate": (0 < self.softshrink_rate <= 1, "above 0 and at most 1"),
            "softshrink_noise": (0 <= self.softshrink_noise < inf, "at least 0"),
            "softshrink_interval": (self.softshrink_interval > 0, "at least 1"),
        }
        yield from broken(self, rules)
        if self.softshrink_noise and self.softshrink_toward == "init":
            yield "softshrink_noise: with --softshrink-toward init p is the rate; leave it out or write fresh or normal"
        if not any(self.chosen(part) for part in subject.parts.values()):
            yield "softshrink_groups and softshrink_skip leave no parameter; name other groups"

    def chosen(self, part: Part) -> dict[str, nn.Parameter]:
        """By name; none of a part without units: a temperature is no network."""
        return part.select(self.softshrink_groups, self.softshrink_skip) if part.net.outputs() else {}

    def init(self, subject: Subject) -> State:
        """first: {part: {parameter: its first value}}; updates: since the last draw."""
        rows = {name: self.chosen(part) for name, part in subject.parts.items()}
        if self.softshrink_toward != "init":
            return {"first": {}, "updates": 0}
        first = {name: {path: p.detach().clone() for path, p in row.items()} for name, row in rows.items() if row}
        return {"first": first, "updates": 0}

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        """shrunk: updates at which it did something."""
        for name, first in state["first"].items():
            live = dict(subject.parts[name].net.named_parameters())
            # theta + rate (theta_0 - theta), not lambda theta + p theta_0, whose two roundings are as large as 1e-6.
            torch._foreach_lerp_([live[path] for path in first], list[Tensor](first.values()), self.softshrink_rate)
        if self.softshrink_toward == "init":
            return {"shrunk": 1.0}
        state["updates"] += 1
        if state["updates"] < self.softshrink_interval:
            return {}
        self.perturb(subject, state["updates"])
        state["updates"] = 0
        return {"shrunk": 1.0}

    def perturb(self, subject: Subject, updates: int) -> None:
        """What so many updates would have done, at once."""
        keep = (1 - self.softshrink_rate) ** updates
        noise = (self.softshrink_noise or self.softshrink_rate) * sqrt(updates)
        for part in subject.parts.values():
            if chosen := self.chosen(part):
                seed = subject.seed()
                gaussian = self.softshrink_toward == "normal"
                phi = normal(part, seed, 1.0) if gaussian else dict(part.fresh(seed).named_parameters())
                live = list[Tensor](chosen.values())
                torch._foreach_mul_(live, keep)
                torch._foreach_add_(live, [phi[path] for path in chosen], alpha=noise)

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        """The first weights of what was drawn anew are the new ones."""
        for name, first in state["first"].items():
            renew(first, subject.parts[name].net, redrawn.get(name, ()))
