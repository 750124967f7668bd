"""Spectral regularisation (Lewandowski et al. 2025, arXiv:2406.06811): largest singular values are kept near 1.

(sigma^k - 1)^2 for every matrix, the output layer's too; a convolution is out x rest. One power iteration an update
follows sigma, from a vector u that is kept; v is W^T u, and gradients pass neither. A bias b is the matrix of one
column whose norm should be 0: ||b||^2k; the survey has ||b||^k. A gain of a norm would be pulled to 0 by that rule, as
in a re-implementation; ours is pulled to 1 by its largest entry, and so are the factors of --parseval-diagonal. Scales
of a noisy layer are left alone.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import LEAST, WARM, iterate, known
from nets.anatomy import Network
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken

Slope = Callable[[Tensor], Tensor]
Term = tuple[Tensor, Tensor, Slope]  # a parameter, its share of the penalty [], g -> g times its gradient


@dataclass(frozen=True)
class Spectral(Intervention):
    """Spectral regularisation: singular values no larger or smaller than 1 (Lewandowski et al. 2025)"""

    reach = Reach.WEIGHT
    touches = "gradients; keeps a vector for each matrix"
    fires = "every update"

    spectral_weight: float = 0.0
    """Coefficient; 0 is off (Lewandowski et al. 2025: about 1e-4)"""
    spectral_k: int = 2
    """Exponent k of (sigma^k - 1)^2 (Lewandowski et al. 2025: 2; a re-implementation has 3)"""
    spectral_bias: Literal["2k", "k", "off"] = "2k"
    """Exponent of ||b||: 2k follows from the rule for matrices, k is the survey's form (ours: docs/algorithms.md)"""
    spectral_gains: Literal["one", "off"] = "one"
    """Gains g of norms and of units: (max|g|^k - 1)^2, or left alone (ours: docs/algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "spectral_weight": (0 <= self.spectral_weight < inf, "at least 0"),
            "spectral_k": (self.spectral_k > 0, "at least 1"),
        }
        yield from broken(self, rules)

    def init(self, subject: Subject) -> State:
        """{part: {writer: u [out]}}."""
        rng = torch.Generator().manual_seed(subject.seed())
        state: State = {}
        for part, net in ((name, part.net) for name, part in subject.parts.items() if part.net.outputs()):
            rows = {name: writer.matrices[0] for name, writer in net.writers().items()}
            state[part] = {name: torch.randn(len(w), generator=rng).to(w.device) for name, w in rows.items()}
            warm(net, state[part])
        return state

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in state:
            return loss.value
        with torch.no_grad():
            terms = list(self.terms(subject.parts[loss.part].net, state[loss.part]))
            value = self.spectral_weight * torch.stack([term[1] for term in terms]).sum()
        slopes = lambda grad: [term[2](self.spectral_weight * grad) for term in terms]
        return loss.value + known(value, slopes, [term[0] for term in terms])

    def terms(self, net: Network, vectors: dict[str, Tensor]) -> Iterator[Term]:
        gains: list[Tensor] = []
        for name, writer in net.writers().items():
            yield largest(writer.matrices[0], vectors[name], self.spectral_k)
            yield from self.biases(dict(writer.named_parameters(recurse=False)).get("bias"))
            gains += [] if writer.output_lens is None else writer.output_lens.parameters()
        for norm in net.norms().values():
            rows = dict(norm.named_parameters())
            yield from self.biases(rows.get("bias"))
            gains += [rows["weight"]] if "weight" in rows else []
        for g in gains if self.spectral_gains == "one" else ():
            yield gain(g, self.spectral_k)

    def biases(self, b: Tensor | None) -> Iterator[Term]:
        power = {"2k": 2 * self.spectral_k, "k": self.spectral_k, "off": 0}[self.spectral_bias]
        if b is not None and power:
            size = b.norm().clamp_min(LEAST)
            yield b, size**power, partial(torch.mul, power * size ** (power - 2) * b)

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for part in state:
            if redrawn.get(part):
                warm(subject.parts[part].net, state[part])


def warm(net: Network, vectors: dict[str, Tensor]) -> None:
    for name, writer in net.writers().items():
        for _ in range(WARM):
            iterate(writer.matrices[0], vectors[name])


def largest(w: Tensor, u: Tensor, k: int) -> Term:
    """(sigma^k - 1)^2 of a matrix; d sigma / d W = u v^T."""
    sigma, v = iterate(w, u)
    value, slope = around_one(sigma, k)
    left = slope * u
    return w, value, lambda grad: torch.outer(grad * left, v).view(w.shape)


def around_one(sigma: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(sigma^k - 1)^2 and its derivative."""
    away = sigma**k - 1
    return away.square(), 2 * k * away * sigma ** (k - 1)


def gain(g: Tensor, k: int) -> Term:
    """(max|g|^k - 1)^2: only the largest gain is pulled."""
    size, at = g.detach().abs().max(0)
    value, slope = around_one(size, k)
    pull = torch.zeros_like(g).index_copy_(0, at[None], (slope * g.detach()[at].sign())[None])
    return g, value, partial(torch.mul, pull)
