"""PopArt (van Hasselt et al. 2016, arXiv:1602.07714): values are learned on the scale of their goals.

A regressed output is sigma n + mu. The error is taken on the scale of n, (goal - output) / sigma; after each update mu
and sigma follow mean and deviation of the goals, and w <- w sigma / sigma', b <- (sigma b + mu - mu') / sigma' leave
every output as it was, of the slow network too. Of a dueling head the value bears sigma and mu, the advantages sigma
alone; an ensemble shares one scale. The variance is followed itself: the same number as nu - mu^2, without the
cancellation. Whoever runs an earlier network keeps its scale with it; a penalty on the weights compares those of n.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from interventions.base import Intervention, Reach, Report, State
from nets.anatomy import Network, Writer, member
from nets.part import Make, Part
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken

CEILING = 1e5  # of sigma (rlax)
POWERS = {"exp_avg": 1, "exp_avg_sq": 2}  # of the gradient's scale in Adam's moments


class Scale(nn.Module):
    """n -> sigma n + mu; without `shifts` mu stays 0."""

    sigma: Tensor
    mu: Tensor

    def __init__(self, shifts: bool) -> None:
        super().__init__()
        self.shifts = shifts
        self.register_buffer("sigma", torch.ones(()))
        self.register_buffer("mu", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sigma + self.mu


@dataclass(frozen=True)
class PopArt(Intervention):
    """PopArt: values on the scale of their goals, outputs preserved (van Hasselt et al. 2016)"""

    reach = Reach.NORM
    touches = "weights and biases of regressed outputs, target's too"
    clashes = "agents that regress no number (cross-entropy); `injection`; a `specnorm` of the output layer"

    popart_rate: float = 0.0
    """Step of the running mean and variance of the goals per update; 0 is off (ours 3e-4; rlax: 3e-3, 1602.07714)"""
    popart_floor: float = 0.01
    """Least sigma, so that goals that hardly differ are not blown up (ours: docs/algorithms.md; rlax: 1e-5)"""
    popart_moments: Literal["keep", "rescale"] = "keep"
    """Adam's moments of the output's weights: kept (the paper), or rescaled with the gradient (ours: algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "popart_rate": (0 < self.popart_rate <= 1, "above 0 and at most 1"),
            "popart_floor": (0 < self.popart_floor < CEILING, "above 0 and below 1e5"),
        }
        yield from broken(self, rules)
        parts = [subject.parts[name] for name in regressing(subject)]
        if not parts:
            yield "popart_rate needs a part that regresses numbers; cross-entropy has no scale: use --loss mse"
        if any(writer.weight_lens is not None for part in parts for writer in part.net.outputs()):
            yield "popart_rate rescales the output's weights, which another method normalises; keep that off the head"
        slots = [part.opt.state[p] for part in parts for p in part.trainable]
        if self.popart_moments == "rescale" and parts and not all("exp_avg_sq" in slot for slot in slots):
            yield "popart_moments rescale knows Adam's moments; choose --optimizer adam, or leave it at keep"

    def on_build(self, part: str, make: Make) -> Make:
        """Every output bears a scale; where nothing is regressed it stays 1."""

        def scaled() -> Network:
            net = make()
            outputs = net.outputs()
            for path, module in list(net.named_modules()):
                if any(module is writer for writer in outputs):
                    module.output_lens = Scale(shifts=not member(path, "advantage"))
            return net

        return scaled

    def init(self, subject: Subject) -> State:
        where = subject.parts
        start = {"mean": 0.0, "variance": 1.0}
        return {n: {k: torch.tensor(x, device=where[n].device) for k, x in start.items()} for n in regressing(subject)}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.goal is None or loss.td is None or loss.of is None:
            return loss.value
        self.follow(state[loss.part], loss.goal)
        sigma = scale(subject.parts[loss.part].net.outputs()[0]).sigma
        return loss.value + loss.of(loss.td / sigma) - loss.of(loss.td)

    @torch.no_grad()
    def follow(self, statistics: State, goal: Tensor) -> None:
        """mean' = mean + rate gap; variance' = (1 - rate) variance + rate (that of the batch + (1 - rate) gap^2), which
        is nu' - mean'^2 with nu the running mean of goal^2."""
        rate, gap = self.popart_rate, goal.mean() - statistics["mean"]
        within = goal.var(correction=0)
        statistics["mean"] += rate * gap
        statistics["variance"].lerp_(within + gap.square() * (1 - rate), rate)

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        """The sums of what is reported are log sigma and mu themselves."""
        report: dict[str, Tensor] = {}
        for name, statistics in state.items():
            part, mu = subject.parts[name], statistics["mean"]
            sigma = statistics["variance"].sqrt().clamp(self.popart_floor, CEILING)
            old = scale(part.net.outputs()[0])
            report |= {f"log_sigma/{name}": (sigma / old.sigma).log(), f"mu/{name}": mu - old.mu}
            if self.popart_moments == "rescale":
                rescale(part, old.sigma / sigma)
            for net in (part.net, part.target):
                for writer in net.outputs() if net is not None else ():
                    preserve(writer, sigma, mu)
        return report


def regressing(subject: Subject) -> list[str]:
    """Parts whose losses regress numbers."""
    return [name for name, part in subject.parts.items() if part.output is not None and part.output.regresses]


def scale(writer: Writer) -> Scale:
    return cast(Scale, writer.output_lens)


@torch.no_grad()
def preserve(writer: Writer, sigma: Tensor, mu: Tensor) -> None:
    """Another scale of an output, weights and bias so that it shows what it showed."""
    lens = scale(writer)
    for p in writer.parameters():
        p.mul_(lens.sigma / sigma)
    if lens.shifts:
        cast(Tensor, writer.bias).add_((lens.mu - mu) / sigma)
        lens.mu.copy_(mu)
    lens.sigma.copy_(sigma)


@torch.no_grad()
def rescale(part: Part, ratio: Tensor) -> None:
    """The gradient of the output's weights scales by sigma / sigma': m by it, v by its square."""
    for writer in part.net.outputs():
        for p in writer.parameters():
            for slot, power in POWERS.items():
                part.opt.state[p][slot].mul_(ratio**power)
