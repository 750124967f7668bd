"""Shrink and perturb (Ash & Adams 2020, arXiv:1910.08475; in RL D'Oro et al. 2023): theta <- factor theta + noise phi.

phi is a fresh draw of the same network, as in the authors' code; their text draws it from a normal distribution.
Both factors of .5 are BBF's (arXiv:2305.19452); .8 and .2 are SR-SPR's. The variance of .5 theta + .5 phi is below the
initial one where theta has it too: .5^2 + .5^2 = .5. `--shrink-toward init` is what the code of Lee et al. 2024 (Hare &
Tortoise) and Juliani & Ash 2024 does: phi is the stored first draw, every time, which pulls toward the initial weights
instead of adding noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

from interventions.base import Intervention, Reach, State
from nets.part import Copy
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
    shrink_toward: Literal["fresh", "init"] = "fresh"
    """phi: fresh, another draw each time (Ash & Adams 2020); init, the first weights of the run (Lee et al. 2024)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "shrink_factor": (0 <= self.shrink_factor <= 1, "from 0 to 1"),
            "shrink_noise": (0 <= self.shrink_noise < inf, "at least 0"),
        }
        yield from broken(self, rules)

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
                state["initial"][name] if self.shrink_toward == "init" else None,
            )
