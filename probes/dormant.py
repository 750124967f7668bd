"""Dormant and dead units (Sokar et al. 2023, arXiv:2302.12902; definitions in docs/algorithms.md).

A unit is tau-dormant when its mean |h| is at most tau of its layer's mean, dead when it is 0 on the whole batch: the
number of dead units grows as the batch shrinks. Behind a LayerNorm a unit is dead, too, if its offset or a place below
the layer's mean keeps it below 0 on every state; with leaky ReLU and tanh it is only if its weights and bias are 0.
Neither number is called plasticity: only probes that fit targets measure that.
"""

import torch
from torch import Tensor

from nets.anatomy import dormancy, record, score
from nets.part import Part
from nets.subject import Subject
from probes.base import Memory, Probe, parts_of
from replay.batch import Batch

TAU = 0.025  # the phenomenon's mild threshold in Sokar et al.'s tables; ReDo's own is --redo-tau


class Dormant(Probe):
    """Fractions of units: pooled over all layers, mean of the layers' fractions, and per layer."""

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        sizes: dict[str, Tensor] = {}
        for prefix, name, part in parts_of(subject):
            layers = part.net.layers()
            with record(part.net) as tape:
                subject.run(name, batch)
            size, fine = {x.name: score(tape.acts[x.name], x.units) for x in layers}, sound(part)
            sizes |= {prefix + x: s if fine else torch.full_like(s, torch.nan) for x, s in size.items()}
        asleep = {name: flags(dormancy(size) <= TAU, size) for name, size in sizes.items()}
        dead = {name: flags(size == 0, size) for name, size in sizes.items()}
        for kind, layers_of in (("", asleep), ("dead", dead)):
            if layers_of:
                row[kind] = float(torch.cat(list(layers_of.values())).mean())
                row[f"{kind}/mean".lstrip("/")] = float(torch.stack([x.mean() for x in layers_of.values()]).mean())
            row |= {f"{kind}/{name}".lstrip("/"): float(x.mean()) for name, x in layers_of.items()}
        return row


def sound(part: Part) -> bool:
    """Whether all its weights are finite. A bias of -inf makes a unit that is 0 everywhere: a spoilt weight anywhere
    spoils the numbers of every layer."""
    return bool(torch.stack([p.isfinite().all() for p in part.net.parameters()]).all())


def flags(mask: Tensor, size: Tensor) -> Tensor:
    """mask as 0 and 1, and NaN for the whole layer where a size is not finite: never a healthy-looking 0."""
    return mask.float() if bool(size.isfinite().all()) else torch.full_like(size, torch.nan)
