"""ReGraMa (Liu et al. 2025, arXiv:2505.24061): recycle the units that receive no gradient.

g is the mean size of a unit's gradient of the training loss on one batch, G = g / mean of g over the layer, and a unit
is inactive when G <= tau. Three readings of g are in use: `w`, of its incoming weights (the authors' code), where the
gradients of samples can cancel and inputs of small size count less; `a`, of each sample at what enters the activation
(AgileRL); `h`, of each sample at what leaves it. All three hold behind norms, with leaky ReLU and beside residual
streams, where |h| fails; recycling behind a norm still moves the layer's other units.
The loss is the agent's own, without the penalties of other methods. A part that has no loss at that update (SAC's actor
under --actor-every) waits for the next firing. A layer that receives no gradient at all is inactive as a whole. A
reborn unit's norm has gain 1 and offset 0 again, as in AgileRL; its outgoing weights are 0, as in the paper, where
AgileRL's are small: --regrama-outgoing.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.surgery import absent, chosen, recycle
from nets.anatomy import Layer, Tape, record, score
from nets.subject import Subject
from replay.batch import Batch
from runs.units import NEVER, NOWHEN, Condition, Every, broken

Score = Literal["w", "a", "h"]
Sizes = dict[str, Tensor]  # {layer: g [U]}


@dataclass(frozen=True)
class ReGraMa(Intervention):
    """ReGraMa: fresh incoming, zero outgoing weights for units without gradient (Liu et al. 2025)"""

    reach = Reach.UNIT
    touches = "rows, columns and moments of inactive units"

    regrama_every: Every = NEVER
    """How often, e.g. 1k:updates (a port of Liu et al. 2025)"""
    regrama_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    regrama_tau: float = 0.01
    """A unit is inactive when its gradient is at most tau of its layer's mean (Liu et al. 2025: .01)"""
    regrama_score: Score = "w"
    """Whose gradient: w, incoming weights (Liu et al. 2025); a, before the activation (AgileRL); h, behind it (ours)"""
    regrama_batch: int = 0
    """Replay states of the loss; 0 for a minibatch's number (Liu et al. 2025)"""
    regrama_groups: str = ""
    """Only layers whose path has one of these groups, e.g. encoder; empty for all (as the paper)"""
    regrama_outgoing: float = 0.0
    """Outgoing weights are this times a fresh draw (Liu et al. 2025: 0; small ones as in AgileRL: e.g. .01)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "regrama_tau": (self.regrama_tau >= 0, "at least 0"),
            "regrama_batch": (self.regrama_batch >= 0, "at least 0"),
            "regrama_outgoing": (0 <= self.regrama_outgoing < inf, "at least 0"),
        }
        yield from broken(self, rules)
        yield from absent(subject, "regrama", self.regrama_groups)

    def apply(self, state: State, subject: Subject) -> Report:
        report: dict[str, Tensor | float] = {}
        for name, sizes in self.sizes(subject, subject.batch(self.regrama_batch)).items():
            units = {layer: (activity(g) <= self.regrama_tau).nonzero()[:, 0] for layer, g in sizes.items()}
            recycle(subject.parts[name], units, subject.seed(), outgoing=self.regrama_outgoing)
            report[f"units/{name}"] = float(sum(len(which) for which in units.values()))
            # G hides that all gradients vanish near convergence: their mean does not.
            report[f"gradient/{name}"] = torch.cat(list(sizes.values())).mean()
        return report

    def sizes(self, subject: Subject, batch: Batch) -> dict[str, Sizes]:
        """{part: {layer: g [U]}} of the training loss, for every part that has a loss now."""
        layers = {name: chosen(part, self.regrama_groups) for name, part in subject.parts.items()}
        found: dict[str, Sizes] = {}
        with ExitStack() as stack:
            tapes = {name: stack.enter_context(record(part.net, pre=True)) for name, part in subject.parts.items()}
            for loss in subject.losses(batch):
                if loss.part not in found and (rows := layers[loss.part]):
                    found[loss.part] = measured(loss.value, rows, tapes[loss.part], self.regrama_score)
        return {name: sizes for name, sizes in found.items() if sizes}


def measured(value: Tensor, layers: Sequence[Layer], tape: Tape, kind: Score) -> Sizes:
    """g of every layer that the loss reaches; a frozen one is left out."""
    seen = tape.pre if kind == "a" else tape.acts
    if kind == "w":
        tensors = {x.name: [m for m in x.writer.matrices if m.requires_grad] for x in layers}
    else:
        tensors = {x.name: [seen[x.name]] for x in layers if x.name in seen and seen[x.name].requires_grad}
    flat = [tensor for row in tensors.values() for tensor in row]
    if not flat:
        return {}
    grads = iter(torch.autograd.grad(value, flat, allow_unused=True))
    rows = {name: [g for g in [next(grads) for _ in row] if g is not None] for name, row in tensors.items()}
    return {x.name: size(rows[x.name], x, kind) for x in layers if rows.get(x.name)}


def size(grads: Sequence[Tensor], layer: Layer, kind: Score) -> Tensor:
    """Mean |gradient| of each unit, [U]: over its incoming weights, or over batch and space."""
    if kind == "w":
        return torch.stack([g.abs().flatten(1).mean(1) for g in grads]).mean(0)
    return score(grads[0], layer.units)


def activity(size: Tensor) -> Tensor:
    """G = g / (mean of g over the layer), [U] -> [U]; no epsilon, so it does not depend on the loss's scale."""
    return size / size.mean().clamp_min(torch.finfo(size.dtype).tiny)
