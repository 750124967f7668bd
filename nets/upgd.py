"""UPGD: useful weights are kept, useless ones are perturbed (Elsayed & Mahmood 2024, arXiv:2404.00781).

The utility of a weight is the running mean of -g theta; s = sigmoid(utility / largest utility of all parameters); then
theta <- (1 - lr wd) theta - 2 lr (g + xi)(1 - s). So a weight of no utility moves at lr, the most useful at .54 lr.
`normalised` puts Adam's m / (sqrt v + eps) for g: the form the authors use in reinforcement learning. The bias
corrections are per element, as in nets/adam_elements.py. If no utility is above zero, the largest counts as 1e-38 (the
source divides by a negative number there, and by the largest uncorrected utility throughout).
The noise is a function of the parameter's position and of the slot `draws`, so it resumes exactly and moves no other
generator; it is the same in every run. Weight decay spares biases and norms (the source decays them too).
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nets.adam_elements import SLOTS, TINY, approach, moments, remember, slots, trained

MIX = 2654435761  # odd, so that no two counts below 2^32 give one seed (Knuth's multiplicative hash)


class UPGD(Optimizer):
    """Slots: `utility`, `corrected` (as the parameter) and `draws` []; those of Adam too if normalised."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        eps: float,
        betas: tuple[float, float],
        decay: float,
        noise: float,
        normalised: bool = False,
    ) -> None:
        defaults = {"lr": lr, "eps": eps, "betas": betas, "decay": decay, "noise": noise, "normalised": normalised}
        super().__init__(groups, defaults | {"weight_decay": 0.0})
        remember(self, ("utility", "corrected", *(SLOTS if normalised else ())))
        for p in self.state:
            self.state[p]["draws"] = torch.zeros((), dtype=torch.int64)  # on the CPU, where seeds are made

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        useful = [self.useful(group) for group in self.param_groups]
        best = torch.stack([u.amax() for row in useful for u in row]).amax().clamp_min(TINY)
        for group, row in zip(self.param_groups, useful, strict=True):
            ways = self.ways(group)
            for p, way, u in zip(trained(group)[0], ways, row, strict=True):
                way.add_(self.noise(p, group["noise"])).mul_(u.div_(-best).sigmoid_())  # sigmoid(-x) = 1 - sigmoid(x)
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(way, alpha=-2 * group["lr"])

    def useful(self, group: dict[str, Any]) -> list[Tensor]:
        """Corrected running means of -g theta."""
        ps, gs = trained(group)
        means, corrections = slots(self, ps, "utility", "corrected")
        if ps:
            approach(means, [-g * p for p, g in zip(ps, gs, strict=True)], group["decay"], corrections)
        return [u / c for u, c in zip(means, corrections, strict=True)]

    def ways(self, group: dict[str, Any]) -> list[Tensor]:
        """A copy of g, or Adam's m / (sqrt v + eps), both corrected."""
        ps, gs = trained(group)
        if not (ps and group["normalised"]):
            return [g.clone() for g in gs]
        rows = zip(*moments(self, ps, gs, group["betas"]), strict=True)
        return [m / (c1 * (v.sqrt() + group["eps"])) for m, c1, v in rows]

    def noise(self, p: Tensor, sigma: float) -> Tensor:
        """xi ~ N(0, sigma^2), another at every step and for every parameter."""
        draws, place = self.state[p]["draws"], next(k for k, q in enumerate(self.state) if q is p)
        seed = (int(draws) * len(self.state) + place) * MIX % 2**32
        draws += 1
        return torch.empty_like(p).normal_(0.0, sigma, generator=torch.Generator(p.device).manual_seed(seed))
