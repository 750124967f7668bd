"""Adam with a bias correction per element (Kingma & Ba 2015, arXiv:1412.6980; AdamGnT of Dohare et al. 2024).

torch keeps one step count per tensor, so a unit reborn in the middle of a run inherits the old count and its steps are
up to 6.6 lr long. A count per row would mend a unit's incoming weights but not its outgoing ones, which are columns of
another tensor: so it is per element. Not the count t is kept but the corrections 1 - beta^t themselves, `corrected1`
and `corrected2`, c <- c + (1 - beta)(1 - c): zero is newborn, so zeroing a slot at an index is all that a reset takes,
and no power is computed. In float32 c stops 3e-8 / (1 - beta) short of 1: late steps are 1.5e-5 too short at .999.
With `clip_update` 1 the decoupled form is StableAdamW (Wortsman et al. 2023, arXiv:2304.13013).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

SLOTS = ("exp_avg", "exp_avg_sq", "corrected1", "corrected2")
TINY = torch.finfo(torch.float32).tiny


class ElementAdam(Optimizer):
    """Adam or, decoupled, AdamW; every slot has the shape and the memory order of its parameter."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        eps: float,
        betas: tuple[float, float],
        decoupled: bool = False,
        clip_update: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "eps": eps, "betas": betas, "decoupled": decoupled, "clip_update": clip_update}
        super().__init__(groups, defaults | {"weight_decay": 0.0})
        remember(self, SLOTS)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            adam(self, group)


def remember(opt: Optimizer, names: Sequence[str]) -> None:
    """Slots of zeros that lie as their parameters do."""
    for group in opt.param_groups:
        for p in group["params"]:
            opt.state[p] |= {name: torch.zeros_like(p, memory_format=torch.preserve_format) for name in names}


def trained(group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters that have a gradient, and the gradients."""
    ps = [p for p in group["params"] if p.grad is not None]
    return ps, [p.grad for p in ps]


def slots(opt: Optimizer, ps: Sequence[Tensor], *names: str) -> list[list[Tensor]]:
    """One list a name, each over the parameters."""
    return [[opt.state[p][name] for p in ps] for name in names]


def approach(averages: list[Tensor], goals: list[Tensor], beta: float, corrections: list[Tensor]) -> None:
    """average <- beta average + (1 - beta) goal, and its correction 1 - beta^t one step on."""
    torch._foreach_lerp_(averages, goals, 1 - beta)
    count(corrections, beta)


def count(corrections: list[Tensor], beta: float) -> None:
    """1 - beta^t -> 1 - beta^(t+1)."""
    torch._foreach_lerp_(corrections, [c.new_ones(()) for c in corrections], 1 - beta)


def moments(
    opt: Optimizer, ps: list[Tensor], gs: list[Tensor], betas: tuple[float, float]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """One more gradient: m, its correction c1 and a new v / c2."""
    m, v, c1, c2 = slots(opt, ps, *SLOTS)
    approach(m, gs, betas[0], c1)
    torch._foreach_mul_(v, betas[1])
    torch._foreach_addcmul_(v, gs, gs, 1 - betas[1])
    count(c2, betas[1])
    return m, c1, list(torch._foreach_div(v, c2))


def adam(opt: Optimizer, group: dict[str, Any]) -> None:
    """p <- p - lr (m / c1) / (sqrt(v / c2) + eps); weight decay joins the gradient or, decoupled, shrinks p."""
    (ps, gs), lr, decay = trained(group), group["lr"], group["weight_decay"]
    if not ps:
        return
    if decay and not group["decoupled"]:
        gs = list(torch._foreach_add(gs, ps, alpha=decay))
    m, c1, bottom = moments(opt, ps, gs, group["betas"])
    excess = surprise(gs, bottom, group["eps"], group["clip_update"]) if group["clip_update"] else []
    if decay and group["decoupled"]:
        torch._foreach_mul_(ps, [1 - lr * decay / x for x in excess] if excess else 1 - lr * decay)
    torch._foreach_sqrt_(bottom)
    torch._foreach_add_(bottom, group["eps"])
    torch._foreach_mul_(bottom, c1)
    if excess:
        torch._foreach_mul_(bottom, excess)
    torch._foreach_addcdiv_(ps, m, bottom, -lr)


def surprise(gs: Sequence[Tensor], v: Sequence[Tensor], eps: float, bound: float) -> list[Tensor]:
    """max(1, RMS / bound) per tensor, RMS = sqrt(mean(g^2 / max(v, eps^2))) with v corrected: how stale v is."""
    floor = max(eps * eps, TINY)
    rms = [g.square().div_(x.clamp_min(floor)).mean().sqrt() for g, x in zip(gs, v, strict=True)]
    return [(x / bound).clamp_min(1.0) for x in rms]
