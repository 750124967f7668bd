"""Self-normalised resets (Farias & Jozefiak 2025, arXiv:2410.20098; code ajozefiak/SelfNormalizedResets).

A unit's age is the number of samples since a batch in which it was last positive. It is reset when its age reaches a
threshold of its own, which follows the (1 - eta)-quantile of the gaps between its firings: at every --snr-adapt the
threshold falls to that quantile if that is lower, and else grows by --snr-expansion. A gap that a reset cuts off counts
as long as it was, as in the authors' code: without it the quantile could only fall. Where a unit closed no gap, the
threshold stays (the code divides 0 by 0). The code's least threshold of 100 samples is ours of one batch.
Gaps are counted in silent batches, and their histogram is exact up to 32 of them; beyond, a bin is 1/16 of an octave,
so that a threshold is at most 1/16 too long. That takes 271 counts a unit up to a million samples, .7 MB for the Nature
CNN; exact ones would take 84 MB.
A channel fires if it is positive anywhere, a unit of CReLU or Fourier features if one of its copies is; so behind those
and tanh hardly any unit is silent. Behind a norm, resetting a unit moves the others of its layer. Moments become zero,
Adam's step count is kept; biases are drawn anew (the code's are zero). The slow network follows at its next sync.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.surgery import absent, chosen, reborn, recycle
from nets.anatomy import Layer
from nets.subject import Subject
from replay.batch import Batch
from runs.units import Count, Every, Period, broken

Row = dict[str, Any]  # of a layer: age, limit [U] and batch, in samples; gaps [U, bins]; longest [bins], in batches
OCTAVE = 16  # bins in which the lengths from 2^n to 2^(n+1) are counted


@dataclass(frozen=True)
class SNR(Intervention):
    """Self-normalised resets: units that are silent for longer than they use to be (Farias & Jozefiak 2025)"""

    reach = Reach.UNIT
    touches = "rows, columns and moments of silent units"
    watches = True
    fires = "every update"

    snr_eta: float = 0.0
    """Rejection level: the fraction of gaps longer than the threshold; 0 is off (Farias & Jozefiak 2025, code: .01)"""
    snr_adapt: Every = Period(10_000, "updates")
    """How often thresholds follow the gaps (Farias & Jozefiak 2025, code: 16:tasks; ours: 10k:updates)"""
    snr_expansion: float = 2.0
    """Factor of a threshold that gaps have reached (Farias & Jozefiak 2025, code: 2)"""
    snr_tau_max: Count = 1_000_000
    """Samples: the threshold at first and at most (Farias & Jozefiak 2025, permuted MNIST: 20k; ours: 1M)"""
    snr_groups: str = ""
    """Only layers whose path has one of these groups, e.g. torso; empty for all (as the paper)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "snr_eta": (0 <= self.snr_eta < 1, "from 0 to below 1"),
            "snr_expansion": (self.snr_expansion >= 1, "at least 1"),
            "snr_tau_max": (self.snr_tau_max > 0, "at least 1"),
        }
        yield from broken(self, rules)
        yield from absent(subject, "snr", self.snr_groups)

    def init(self, subject: Subject) -> State:
        layers = {name: chosen(part, self.snr_groups) for name, part in subject.parts.items()}
        rows = {name: {x.name: newborn(x, self.snr_tau_max) for x in of} for name, of in layers.items() if of}
        return {"parts": rows, "adapted": self.adaptations(subject)}

    def adaptations(self, subject: Subject) -> int:
        """How often the thresholds' period has come round."""
        return self.snr_adapt.crossed(subject.clock[self.snr_adapt.unit])

    @torch.no_grad()
    def after_backward(self, state: State, subject: Subject, part: str, batch: Batch) -> None:
        acts = subject.tape(part).acts
        for layer, row in state["parts"].get(part, {}).items():
            if layer in acts:
                observe(row, fired(acts[layer], len(row["age"])), len(acts[layer]))

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        report = {}
        for name, rows in state["parts"].items():
            units = {layer: overdue(row) for layer, row in rows.items()}
            number = sum(len(which) for which in units.values())
            if number:
                recycle(subject.parts[name], units, subject.seed())
            report[f"units/{name}"] = float(number)
        if (adapted := self.adaptations(subject)) > state["adapted"]:
            state["adapted"] = adapted
            for row in [row for rows in state["parts"].values() for row in rows.values()]:
                adapt(row, self.snr_eta, self.snr_expansion, self.snr_tau_max)
        return report

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for name, rows in state["parts"].items():
            part = subject.parts[name]
            for layer in chosen(part, self.snr_groups):
                if reborn(part, layer, redrawn.get(name, ())):
                    rows[layer.name] = newborn(layer, self.snr_tau_max)


def newborn(layer: Layer, limit: int) -> Row:
    weight, units = layer.writer.matrices[0], layer.units
    return {
        "age": weight.new_zeros(units, dtype=torch.int64),
        "limit": weight.new_full((units,), limit, dtype=torch.float64),
        "gaps": weight.new_zeros(units, bins(limit), dtype=torch.int32),
        "longest": torch.tensor([longest(i) for i in range(bins(limit))], device=weight.device),
        "batch": 1,
    }


def bins(most: int) -> int:
    """How many bins count gaps of up to so many batches."""
    return next(i for i in count() if longest(i) >= most) + 1


def longest(place: int) -> int:
    """The longest gap of a bin, in batches: 1, 2 ... 32, 34, 36 ... 64, 68 ... 128, 136 ..."""
    octave, i = divmod(place, OCTAVE)
    return (OCTAVE + i + 1) << (octave - 1) if octave else i + 1


def fired(act: Tensor, units: int) -> Tensor:
    """Whether each unit is positive anywhere, [B, U*copies, *space] -> [U]."""
    return act.amax((0, *range(2, act.ndim))).view(-1, units).amax(0) > 0


def observe(row: Row, fired: Tensor, batch: int) -> None:
    """One more batch: who fired closes a gap, who was silent grows older."""
    row["batch"] = batch
    close(row, fired & (row["age"] > 0))
    row["age"].add_(batch).masked_fill_(fired, 0)


def close(row: Row, which: Tensor) -> None:
    """Count the ages of these units, a mask [U], as gaps."""
    batches = (row["age"] + row["batch"] - 1) // row["batch"]
    place = torch.bucketize(batches, row["longest"]).clamp_max_(len(row["longest"]) - 1)
    row["gaps"].scatter_add_(1, place[:, None], which[:, None].int())


def overdue(row: Row) -> Tensor:
    """The units whose age has reached their threshold, [K]; they are newborn from here on."""
    which: Tensor = row["age"] >= row["limit"]
    units = which.nonzero()[:, 0]
    if len(units):
        close(row, which)
        row["age"][units] = 0
    return units


def adapt(row: Row, eta: float, expansion: float, most: int) -> None:
    """Thresholds follow the gaps since the last time, which are then forgotten."""
    counts = row["gaps"].cumsum(1)
    total = counts[:, -1]
    place = (counts < (1 - eta) * total[:, None].double()).sum(1)  # of the first bin that reaches the quantile
    quantile = row["longest"][place.clamp_max(counts.shape[1] - 1)] * row["batch"]
    limit = row["limit"]
    limit = torch.where(total == 0, limit, torch.where(quantile < limit, quantile.double(), expansion * limit))
    row["limit"] = limit.clamp(row["batch"], max(most, row["batch"]))
    row["gaps"].zero_()
