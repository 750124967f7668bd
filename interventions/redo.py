"""ReDo (Sokar et al. 2023, arXiv:2302.12902): recycle dormant units.

The paper scores 64 states; we score --redo-batch 256: a unit silent on 64 states need not be silent on 256.
The outputs are unchanged only at tau 0 and without a norm, which couples the units of a layer; behind one a unit is
hardly ever dormant, and ReGraMa is the better choice. With leaky ReLU and tanh |h| does not measure saturation; a unit
of CReLU is dormant when both halves are. The slow network follows at its next sync. The step count of Adam, one number
for a whole tensor, is kept by default; counts per element are zero where a unit is reborn, and `--redo-step reset`
zeroes those of the whole tensor. The authors' runs stop recycling (dopamine labs/redo, reset_end_step) at 2.5M updates
with DQN, at 400k with DrQ(eps): `--redo-every 1k:updates..2.5M`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.optreset import kept
from interventions.surgery import absent, chosen, recycle
from nets.anatomy import dormancy, record, score
from nets.optim import COUNTS
from nets.subject import Subject
from replay.batch import Batch
from runs.units import NEVER, NOWHEN, Condition, Every, broken


@dataclass(frozen=True)
class ReDo(Intervention):
    """ReDo: fresh incoming, zero outgoing weights for dormant units (Sokar et al. 2023)"""

    reach = Reach.UNIT
    touches = "rows, columns and moments of dormant units"

    redo_every: Every = NEVER
    """How often, e.g. 1k:updates (the paper's period), or 1k:updates..2.5M, below 2.5M (Dopamine labs/redo)"""
    redo_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    redo_tau: float = 0.1
    """A unit is dormant when its score is at most tau (the paper's comparison value; .025 is the mild setting)"""
    redo_batch: int = 256
    """Replay states that are scored (Sokar et al. 2023: 64)"""
    redo_groups: str = ""
    """Only layers whose path has one of these groups, e.g. encoder; empty for all (the paper recycles every layer)"""
    redo_outgoing: float = 0.0
    """Outgoing weights are this times a fresh draw: 0, or 1 for random ones (the paper: as good or worse)"""
    redo_step: Literal["keep", "reset"] = "keep"
    """Adam's step counts of all of every tensor touched: keep as the paper, or reset as timoklein/redo"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "redo_tau": (self.redo_tau >= 0, "at least 0"),
            "redo_batch": (self.redo_batch > 0, "at least 1"),
            "redo_outgoing": (0 <= self.redo_outgoing < inf, "at least 0"),
        }
        yield from broken(self, rules)
        yield from absent(subject, "redo", self.redo_groups)
        part = next(iter(subject.parts.values()))
        if self.redo_step == "reset" and not COUNTS & kept(part):
            yield f"redo_step reset: {type(part.opt).__name__} counts no steps; leave it at keep, or use adam"

    @torch.no_grad()
    def apply(self, state: State, subject: Subject) -> Report:
        batch, report = subject.batch(self.redo_batch), {}
        for name, part in subject.parts.items():
            units = self.dormant(subject, name, batch)
            recycle(part, units, subject.seed(), self.redo_step == "reset", self.redo_outgoing)
            if units:
                report[f"units/{name}"] = float(sum(len(which) for which in units.values()))
        return report

    def dormant(self, subject: Subject, name: str, batch: Batch) -> dict[str, Tensor]:
        """{layer: dormant units [K]} by one forward pass of the network before any recycling."""
        part = subject.parts[name]
        with record(part.net) as tape:
            subject.run(name, batch)
        scores = {x.name: dormancy(score(tape.acts[x.name], x.units)) for x in chosen(part, self.redo_groups)}
        return {layer: (s <= self.redo_tau).nonzero()[:, 0] for layer, s in scores.items()}
