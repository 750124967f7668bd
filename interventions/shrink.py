"""Shrink and perturb (Ash & Adams 2020, arXiv:1910.08475; in RL D'Oro et al. 2023): theta <- factor theta + noise phi.

phi is a fresh draw of the same network, as in the authors' code; their text draws every number of it from
N(0, sigma^2): `--shrink-toward normal --shrink-noise 1 --shrink-sigma .01`.
Both factors of .5 are BBF's (arXiv:2305.19452); .8 and .2 are SR-SPR's. The variance of .5 theta + .5 phi is below the
initial one where theta has it too: .5^2 + .5^2 = .5. `--shrink-toward init` is what the code of Lee et al. 2024 (Hare &
Tortoise) and Juliani & Ash 2024 does: phi is the stored first draw, every time, which pulls toward the initial weights
instead of adding noise.
The outputs of a value head shrink with its weights: leave it out by `--shrink-skip norm,head`, and perhaps reset it by
`--reset-groups head`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch

from interventions.base import Intervention, Reach, State
from interventions.reset import barren
from nets.part import Copy, Part, Weights
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Every, broken


@dataclass(frozen=True)
class Shrink(Intervention):
    """Shrink and perturb: weights half-way to a fresh draw (Ash & Adams 2020)"""

    reach = Reach.LAYER
    touches = "weights, target, optimizer of the chosen groups"
    redraws = True

    shrink_every: Every = NEVER
    """How often, e.g. 20k (agent steps) or 40k:updates (BBF, arXiv:2305.19452)"""
    shrink_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    shrink_factor: float = 0.5
    """What is kept of the weights: lambda (BBF .5, SR-SPR .8, Ash & Adams .4)"""
    shrink_noise: float = 0.5
    """How much of a fresh draw is added (BBF .5, SR-SPR .2, Ash & Adams .1)"""
    shrink_groups: str = ""
    """Which groups of each network; empty for all. BBF shrinks the encoder and resets the rest (arXiv:2305.19452)"""
    shrink_skip: str = "norm"
    """Groups left alone: gains and biases of normalisation layers by default (ours; BBF's network has none)"""
    shrink_target: Copy = "copy"
    """The slow network then is a copy, kept as it was, or shrunk toward a draw of its own (BBF)"""
    shrink_toward: Literal["fresh", "init", "normal"] = "fresh"
    """phi: fresh, another draw each time (code of Ash & Adams 2020); normal, N(0, sigma^2) each time (their text);
    init, the first weights of the run (Lee et al. 2024)"""
    shrink_sigma: float = 0.01
    """normal: standard deviation of phi, before --shrink-noise (ours; with --shrink-noise 1 the paper's sigma)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "shrink_factor": (0 <= self.shrink_factor <= 1, "from 0 to 1"),
            "shrink_noise": (0 <= self.shrink_noise < inf, "at least 0"),
            "shrink_sigma": (0 < self.shrink_sigma < inf, "above 0"),
        }
        yield from broken(self, rules)
        if self.shrink_toward != "normal" and self.shrink_sigma != type(self).shrink_sigma:
            yield f"shrink_sigma is of --shrink-toward normal, but shrink_toward is {self.shrink_toward}; leave it out"
        if self.shrink_toward == "normal" and self.shrink_target == "own":
            yield "shrink_target own is a fresh draw, which --shrink-toward normal has not; use copy or keep"
        yield from barren(subject, "shrink", self.shrink_groups, self.shrink_skip)

    def init(self, subject: Subject) -> State:
        stored = self.shrink_toward == "init"
        return {"initial": {name: part.weights() for name, part in subject.parts.items()}} if stored else {}

    def apply(self, state: State, subject: Subject) -> None:
        for name, part in subject.parts.items():
            part.redraw(
                subject.seed,
                self.shrink_groups,
                self.shrink_skip,
                self.shrink_factor,
                self.shrink_noise,
                self.shrink_target,
                self.phi(state, subject, name),
            )

    def phi(self, state: State, subject: Subject, part: str) -> Weights | None:
        """By parameter; None for a fresh draw."""
        if self.shrink_toward == "init":
            initial: Weights = state["initial"][part]
            return initial
        if self.shrink_toward == "normal":
            return normal(subject.parts[part], subject.seed(), self.shrink_sigma)
        return None


def normal(part: Part, seed: int, sigma: float) -> Weights:
    """N(0, sigma^2) in the shape of every parameter."""
    rng = torch.Generator(part.device).manual_seed(seed)
    rows = {name: torch.empty(p.shape, device=p.device) for name, p in part.net.named_parameters()}
    return {name: x.normal_(0.0, sigma, generator=rng) for name, x in rows.items()}
