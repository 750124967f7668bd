"""Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957) of chosen layers (Gogianu et al. 2021, 2105.05246).

A layer computes with scale W / sigma, sigma = u^T W v its largest singular value; gradients pass through W in both
places, u and v are constants. A kernel counts as the matrix [out, in * k * k]. One power iteration after each update
keeps u and v current, 20 of them at birth and where a network was drawn anew; a forward pass writes nothing, so
probes and evaluation see the same layer. The slow network takes u and v over with its weights. By default it is the
last hidden layer, as in Gogianu et al. (their index -2); others name theirs: the first linear one in Lyle et al. 2023.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interventions.base import Intervention, Reach, Report, State
from interventions.penalty import LEAST, WARM, iterate
from nets.anatomy import Layer, Network, member
from nets.part import Make
from nets.subject import Subject
from runs.units import broken


class Lens(nn.Module):
    """W -> scale W / sigma(W)."""

    u: Tensor  # [out]
    v: Tensor  # [in]

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.scale = scale
        rows, columns = weight.flatten(1).shape
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(columns), dim=0))
        self.turn(weight, WARM)

    def sigma(self, weight: Tensor) -> Tensor:
        return self.u @ (weight.flatten(1) @ self.v)

    def forward(self, weight: Tensor) -> Tensor:
        """A matrix of zeros, which has no direction, is shown as it is."""
        sigma = self.sigma(weight)
        return weight * (self.scale / torch.where(sigma == 0, self.scale, sigma))

    @torch.no_grad()
    def turn(self, weight: Tensor, times: int = 1) -> None:
        """Power iterations: u and v toward the first singular vectors; they stay where a matrix of zeros has none."""
        for _ in range(times):
            sigma, v = iterate(weight, self.u)
            self.v.copy_(torch.where(sigma > 0, v, self.v))


@dataclass(frozen=True)
class SpecNorm(Intervention):
    """Spectral normalisation of the last hidden layer, or of others (Gogianu et al. 2021)"""

    reach = Reach.NETWORK  # it belongs to the network from birth, before others copy or freeze a piece of it
    touches = "the forward pass of chosen layers"
    fires = "every update"

    specnorm_scale: float = 0.0
    """Largest singular value that the layers then have; 0 is off (Gogianu et al. 2021: 1)"""
    specnorm_groups: str = ""
    """Hidden layers whose path has one of these groups, e.g. torso; empty: the last one (Gogianu et al. 2021)"""
    specnorm_parts: str = ""
    """Which parts of the agent, e.g. critic; empty for all (Gogianu et al. 2021 have one, Q)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"specnorm_scale": (0 < self.specnorm_scale < inf, "above 0")})
        if not any(self.chosen(name, part.net) for name, part in subject.parts.items()):
            names = sorted({layer.name for part in subject.parts.values() for layer in part.net.layers()})
            known = f"layers are {', '.join(names)}" if names else "give it --hidden layers"
            yield f"specnorm_groups {self.specnorm_groups!r} is no hidden layer here; {known}"

    def chosen(self, part: str, net: Network) -> list[Layer]:
        if self.specnorm_parts and part not in self.specnorm_parts.split(","):
            return []
        if self.specnorm_groups:
            return [layer for layer in net.layers() if member(layer.name, self.specnorm_groups)]
        return [layer for layer in net.layers() if {edge.reader for edge in layer.edges} & set(net.outputs())]

    def on_build(self, part: str, make: Make) -> Make:
        def normalised() -> Network:
            net = make()
            for layer in self.chosen(part, net):
                layer.writer.weight_lens = Lens(layer.writer.weight, self.specnorm_scale)
            return net

        return normalised

    def lenses(self, part: str, net: Network) -> list[tuple[Lens, Tensor]]:
        """Each lens with the matrix that it shows."""
        rows = [(layer.writer.weight_lens, layer.writer.weight) for layer in self.chosen(part, net)]
        return [(lens, weight) for lens, weight in rows if isinstance(lens, Lens)]

    @torch.no_grad()
    def init(self, subject: Subject) -> State:
        """{part: mean log sigma when it was last reported}."""
        rows = {name: self.lenses(name, part.net) for name, part in subject.parts.items()}
        return {name: size(lenses) for name, lenses in rows.items() if lenses}

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        """log_sigma/<part>: the change of the mean log sigma of its normalised matrices."""
        report: dict[str, Tensor] = {}
        for name, last in state.items():
            lenses = self.lenses(name, subject.parts[name].net)
            for lens, weight in lenses:
                lens.turn(weight)
            now = size(lenses)
            report[f"log_sigma/{name}"] = now - last
            last.copy_(now)
        return report

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        """u and v of the old matrix say nothing of a new one."""
        for name in state:
            for net in (subject.parts[name].net, subject.parts[name].target):
                for lens, weight in self.lenses(name, net) if net is not None else ():
                    lens.turn(weight, WARM)


def size(lenses: list[tuple[Lens, Tensor]]) -> Tensor:
    """Mean log sigma, []."""
    return torch.stack([lens.sigma(weight) for lens, weight in lenses]).clamp(min=LEAST).log().mean()
