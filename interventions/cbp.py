"""Continual backprop (Dohare et al. 2024, arXiv:2306.13812; code shibhansh/loss-of-plasticity): replace useless units.

At every update of a part each unit grows older by 1 and its utility follows a running mean; each layer owes rate x
(units older than the maturity) replacements and makes them one by one, the least useful first. A replaced unit's mean
activation moves into its readers' biases before its outgoing weights become zero. The authors clear that mean before
they use it, so that they move nothing: --cbp-compat. Incoming weights are drawn as at birth; the authors draw U(+-b),
b = gain sqrt(3 / fan_in), with the gain of the layer's activation and zero bias: --cbp-init kaiming. What is owed adds
up to whole units, as in the paper and most of the authors' code; their GnT, without `accumulate`, draws a fraction
instead, and so do their runs with PPO: --cbp-count bernoulli. (Where more than one is owed it drops the fraction; ours
draws it.)
A unit is a channel of a convolution, its statistics go over batch and space, and copies (CReLU, Fourier) add up; so
behind a flatten, at the borders of a padded convolution and under spectral normalisation the transfer holds on average
over positions only. Behind a norm, which couples the units of a layer, replacing one moves the others.
The optimizer forgets a unit element by element, its step count included: Adam therefore needs --adam-step elements. The
slow network follows at its next sync.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.surgery import absent, born, chosen, rebirth, reborn
from nets.anatomy import Edge, Layer, Writer
from nets.gain import gain
from nets.part import Part
from nets.subject import Subject
from replay.batch import Batch
from runs.units import Count, broken

Utility = Literal["contribution", "zero_contribution", "adaptable_contribution"]
Row = dict[str, Any]  # of a layer: utility, age [U]; mean [copies, U]; owed []


@dataclass(frozen=True)
class CBP(Intervention):
    """Continual backprop: the least useful units are replaced, a few at a time (Dohare et al. 2024)"""

    reach = Reach.UNIT
    touches = "rows, columns, moments and steps of useless units; their readers' biases"
    watches = True
    needs = "--adam-step elements"
    fires = "every update"

    cbp_rate: float = 0.0
    """Fraction of the mature units that is replaced per update: rho; 0 is off (Dohare et al. 2024: 1e-4)"""
    cbp_maturity: Count = 10_000
    """Updates for which a newborn unit is spared (Dohare et al. 2024: 10k in RL, 100 in supervised learning)"""
    cbp_utility: Utility = "contribution"
    """|h| times outgoing weights (Dohare et al. 2024, in RL); zero_: |h - mean h| times them; adaptable_: that over
    incoming weights (in supervised learning)"""
    cbp_decay: float = 0.99
    """Decay per update of the running utility and of the mean activation: eta (Dohare et al. 2024: .99)"""
    cbp_init: Literal["fresh", "kaiming"] = "fresh"
    """Incoming weights: drawn as the network was (ours), or by the authors' bound (Dohare et al. 2024)"""
    cbp_count: Literal["accumulate", "bernoulli"] = "accumulate"
    """What is owed adds up to whole units (the paper), or is drawn at each update (Dohare et al. 2024, lop/algos/gnt.py
    as PPO calls it). The mean is the same; accumulate is the default because it adds no noise of its own"""
    cbp_compat: bool = False
    """As the authors' code, which moves no mean into the readers' biases (Dohare et al. 2024, lop/algos/gnt.py)"""
    cbp_groups: str = ""
    """Only layers whose path has one of these groups, e.g. torso; empty for all (as the paper)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "cbp_rate": (0 <= self.cbp_rate <= 1, "from 0 to 1"),
            "cbp_decay": (0 <= self.cbp_decay < 1, "from 0 to below 1"),
        }
        yield from broken(self, rules)
        yield from absent(subject, "cbp", self.cbp_groups)
        parts = [name for name, part in subject.parts.items() if chosen(part, self.cbp_groups) and hurries(part)]
        if parts:
            yield (
                f"cbp_rate: the Adam of {', '.join(parts)} counts steps once a tensor, so a newborn unit would make "
                "steps of up to 6.6 lr; add --adam-step elements"
            )

    def init(self, subject: Subject) -> State:
        layers = {name: chosen(part, self.cbp_groups) for name, part in subject.parts.items()}
        return {name: {x.name: newborn(x) for x in rows} for name, rows in layers.items() if rows}

    @torch.no_grad()
    def after_backward(self, state: State, subject: Subject, part: str, batch: Batch) -> None:
        acts = subject.tape(part).acts
        for layer in chosen(subject.parts[part], self.cbp_groups):
            if layer.name in acts:
                row = state[part][layer.name]
                grow(row, self.cbp_rate, self.cbp_maturity)
                self.judge(row, layer, acts[layer.name])

    def judge(self, row: Row, layer: Layer, act: Tensor) -> None:
        """The running means of activation and utility, after one more batch, act: [B, U*copies, *space]."""
        space = (0, *range(2, act.ndim))
        row["mean"].lerp_(act.mean(space).view_as(row["mean"]), 1 - self.cbp_decay)
        if self.cbp_utility == "contribution":
            size = act.abs()
        else:
            mean = row["mean"] / lived(row, self.cbp_decay)
            size = act.sub(mean.view(-1, *[1] * (act.ndim - 2))).abs_()
        worth = (size.mean(space).view_as(row["mean"]) * outgoing(layer)).sum(0)  # [U]
        if self.cbp_utility == "adaptable_contribution":
            worth /= layer.writer.matrices[0].abs().flatten(1).mean(1).clamp_min(torch.finfo(worth.dtype).tiny)
        row["utility"].lerp_(worth, 1 - self.cbp_decay)

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        report = {}
        for name, rows in state.items():
            units: dict[str, Tensor] = {}
            if self.cbp_count == "bernoulli":
                draw(rows, subject.seed())
            if bool((torch.stack([row["owed"] for row in rows.values()]) >= 1).any()):
                units = {layer: due(row, self.cbp_maturity, self.cbp_decay) for layer, row in rows.items()}
                self.replace(subject, subject.parts[name], rows, units)
            report[f"units/{name}"] = float(sum(len(which) for which in units.values()))
        return report

    @torch.no_grad()
    def replace(self, subject: Subject, part: Part, rows: Mapping[str, Row], units: Mapping[str, Tensor]) -> None:
        fresh = born(part, subject.seed())
        if self.cbp_init == "kaiming":
            kaiming(fresh, units, subject.seed())
        for layer in [] if self.cbp_compat else chosen(part, self.cbp_groups):
            row = rows[layer.name]
            transfer(layer, units[layer.name], row["mean"] / lived(row, self.cbp_decay))
        rebirth(part, units, fresh)
        for name, which in units.items():
            for key in ("age", "utility", "mean"):
                rows[name][key][..., which] = 0

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for name in state:
            part = subject.parts[name]
            for layer in chosen(part, self.cbp_groups):
                if reborn(part, layer, redrawn.get(name, ())):
                    state[name][layer.name] = newborn(layer)


def hurries(part: Part) -> bool:
    """Whether the optimizer corrects its moments by a step count that a whole tensor shares."""
    return any({"step", "exp_avg_sq"} <= slots.keys() for slots in part.opt.state.values())


def newborn(layer: Layer) -> Row:
    weight, units = layer.writer.matrices[0], layer.units
    copies = 1 + max(place(edge, layer) for edge in layer.edges)
    return {
        "utility": weight.new_zeros(units),
        "mean": weight.new_zeros(copies, units),
        "age": weight.new_zeros(units, dtype=torch.int64),
        "owed": weight.new_zeros((), dtype=torch.float64),
    }


def grow(row: Row, rate: float, maturity: int) -> None:
    """One update older; what is owed grows by rate x (mature units)."""
    row["age"] += 1
    row["owed"].add_((row["age"] > maturity).sum(), alpha=rate)


def draw(rows: Mapping[str, Row], seed: int) -> None:
    """What each layer owes becomes a whole number with that mean; nothing stays owed but what could not be replaced."""
    noise = torch.rand(len(rows), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for row, u in zip(rows.values(), noise.tolist(), strict=True):
        row["owed"].add_(u).floor_()


def due(row: Row, maturity: int, decay: float) -> Tensor:
    """The least useful mature units, as many as are owed in whole, [K]; the fraction stays owed."""
    mature: Tensor = (row["age"] > maturity).nonzero()[:, 0]
    count = min(int(row["owed"]), len(mature))
    row["owed"] -= count
    worth = (row["utility"] / lived(row, decay))[mature]
    return mature[worth.topk(count, largest=False).indices]


def lived(row: Row, decay: float) -> Tensor:
    """What a running mean that began at 0 has to be divided by, [U]; 1 for who has not lived."""
    age: Tensor = row["age"]
    return torch.where(age > 0, 1 - decay**age, 1.0)


def place(edge: Edge, layer: Layer) -> int:
    """Which copy of its units an edge reads."""
    return edge.offset // (edge.width * layer.units)


def outgoing(layer: Layer) -> Tensor:
    """Mean |w| of all that reads each copy of a unit, [copies, U]."""
    sums: dict[int, list[Tensor]] = {}
    counts: dict[int, int] = {}
    for edge in layer.edges:
        copy, columns = place(edge, layer), edge.width * layer.units
        for p in edge.reader.matrices:
            read = p[:, edge.offset : edge.offset + columns]
            total = read.abs().sum((0, *range(2, p.ndim))).view(layer.units, -1).sum(1)
            sums.setdefault(copy, []).append(total)
            counts[copy] = counts.get(copy, 0) + read.numel() // layer.units
    return torch.stack([torch.stack(sums[copy]).sum(0) / counts[copy] for copy in sorted(sums)])


def transfer(layer: Layer, units: Tensor, mean: Tensor) -> None:
    """What the units contribute on average, into the biases of who reads them; mean: [copies, U]."""
    for edge in layer.edges if len(units) else ():
        if (bias := bias_of(edge.reader)) is not None:
            weights = edge.reader.matrices[0][:, edge.columns(units)]  # [O, K*width] or with a kernel
            weights = weights.reshape(*weights.shape[:2], -1).sum(2)
            bias += weights @ mean[place(edge, layer), units].repeat_interleave(edge.width)


def bias_of(writer: Writer) -> Tensor | None:
    return next((p for p in writer.parameters(recurse=False) if p.ndim == 1), None)


def kaiming(fresh: Mapping[str, Layer], units: Mapping[str, Tensor], seed: int) -> None:
    """Incoming weights U(+-b) and zero biases, in place of what a fresh network has."""
    for name, which in units.items():
        layer = fresh[name]
        writer = layer.writer
        weight, bias = writer.matrices[0], bias_of(writer)
        rng = torch.Generator(weight.device).manual_seed(seed)
        seed += 1
        rows = torch.empty_like(weight[which], memory_format=torch.contiguous_format)
        bound = gain(layer.act) * (3 / weight[0].numel()) ** 0.5
        weight[which] = rows.uniform_(-bound, bound, generator=rng)
        if bias is not None:
            bias.zero_()
