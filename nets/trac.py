"""TRAC: the distance from a reference is tuned without a parameter (Muppidi et al. 2024, arXiv:2405.16642).

Adam proposes; the parameters stand at reference + (sum of scales) x (what was proposed so far). Each scale follows the
correlation h = <direction, gradient> at its own discount. The first step is 1e-7 of Adam's and the scale then grows.
The reference is where a parameter stood before its first step: an element whose optimizer state is zeroed begins again
from where it stands. The tuner belongs to all parameters, so each keeps a copy of it, and it begins again only when all
have been forgotten.

After ComputationalRobotics/TRAC @320a100, with three differences: Adam has a bias correction per element, the tuner is
float64, and the direction is kept. The source finds it as (theta - reference) / scale; in float32 that is zero for a
weight of .1 that has moved by 1e-10, and a network at lr 1e-3 never leaves its start.
"""

from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nets.adam_elements import SLOTS, adam, remember, slots, trained

DISCOUNTS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
START = 1e-8  # of every scale and of every sum, and what is added to denominators (the source's trac.py)
STEP = 0.25  # of the sampled series in erfi: its error is exp(-(pi / .5)^2) = 7e-18


class TRAC(Optimizer):
    """Slots: Adam's, `reference` and `way`, as the parameter, and `tuner` [scales, variances, sums; 6]."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, eps: float, betas: tuple[float, float]) -> None:
        defaults = {"lr": lr, "eps": eps, "betas": betas, "decoupled": False, "clip_update": 0.0, "weight_decay": 0.0}
        super().__init__(groups, defaults)
        remember(self, (*SLOTS, "reference", "way"))
        for p in self.state:
            self.state[p]["tuner"] = torch.zeros(3, len(DISCOUNTS), dtype=torch.float64, device=p.device)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        rows = [row for group in self.param_groups for row in zip(*trained(group), strict=True)]
        ps, gs = [p for p, _ in rows], [g for _, g in rows]
        tuner = self.tuner()
        self.resume(ps, tuner[0].sum().clamp_min(0.0))
        before = [p.clone() for p in ps]
        for group in self.param_groups:
            adam(self, group)
        references, ways = slots(self, ps, "reference", "way")
        tune(tuner, torch.stack([(way * g).sum(dtype=torch.float64) for way, g in zip(ways, gs, strict=True)]).sum())
        scale = tuner[0].sum().clamp_min(0.0)
        for p, old, way, reference in zip(ps, before, ways, references, strict=True):
            way.add_(torch.sub(p, old, out=old))
            p.copy_(way).mul_(scale).add_(reference)
        for slot in self.state.values():
            slot["tuner"].copy_(tuner)

    def tuner(self) -> Tensor:
        """That of a parameter which still has it; a new one where none has."""
        every = torch.stack([slot["tuner"] for slot in self.state.values()])
        known = every.flatten(1).any(1)
        new = torch.zeros_like(every[0])
        new[2] = START
        return torch.where(known.any(), every[known.int().argmax()], new)

    def resume(self, ps: list[Tensor], scale: Tensor) -> None:
        """way <- (p - reference) / (scale + eps): what the last step left, and what others have written since."""
        names = ("corrected2", "reference", "way")
        for p, corrected, reference, way in zip(ps, *slots(self, ps, *names), strict=True):
            torch.where(corrected == 0, p, reference, out=reference)  # an element before its first step
            left = (way * scale).add_(reference)  # p to the last bit, unless others wrote
            way.mul_(scale).add_(torch.sub(p, left, out=left)).div_(scale + START)


def tune(tuner: Tensor, h: Tensor) -> None:
    """v <- b^2 v + h^2; sigma <- b sigma - h; s <- s0 erfi(sigma / (sqrt(2 v) + eps)) / erfi(sqrt(1/2))."""
    scales, variances, sums = tuner
    discounts = torch.tensor(DISCOUNTS, dtype=tuner.dtype, device=tuner.device)
    variances.mul_(discounts.square()).add_(h * h)
    sums.mul_(discounts).sub_(h)
    unit = erfi(tuner.new_tensor(sqrt(0.5)))
    scales.copy_(START * erfi(sums / (sqrt(2.0) * variances.sqrt() + START)) / unit)


def erfi(x: Tensor) -> Tensor:
    """The imaginary error function -i erf(ix) of float64 x, to 1e-14: Rybicki's sampled series of Dawson's integral.

    erfi(x) = 4/pi sum over odd n of exp(-(n h)^2) sinh(2 n h x) / n, with terms up to the largest x whose
    value is finite.
    """
    n = torch.arange(1, 133, 2, dtype=x.dtype, device=x.device)
    a, size = n * STEP, x.abs()[..., None]
    terms = torch.exp(a * (2 * size - a)) * -torch.expm1(-4 * a * size) / n
    return 2 / pi * x.sign() * terms.sum(-1)
