"""Adam's moments as a step reads them (Kingma & Ba 2015, arXiv:1412.6980): corrected, of every optimizer with both."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from nets.adam_elements import TINY


class Moments(NamedTuple):
    """m and v of one parameter, both corrected; what it divides by is sqrt(v) + eps."""

    m: Tensor
    v: Tensor
    eps: float


def moments(opt: Optimizer) -> dict[nn.Parameter, Moments]:
    """Of every parameter that has stepped; {} of an optimizer without both moments (rmsprop, sgd)."""
    rows: dict[nn.Parameter, Moments] = {}
    for group in opt.param_groups:
        for p in group["params"]:
            slot = opt.state[p]
            if {"exp_avg", "exp_avg_sq"} <= slot.keys():
                first, second = corrections(slot, group["betas"])
                if bool((second > TINY).any()):
                    rows[p] = Moments(slot["exp_avg"] / first, slot["exp_avg_sq"] / second, group["eps"])
    return rows


def corrections(slot: Mapping[str, Any], betas: tuple[float, float]) -> tuple[Tensor, ...]:
    """1 - beta^t of both moments: kept per element (nets/adam_elements.py), or of torch's one step count."""
    if "corrected1" in slot:  # an element that has not stepped since it was reborn has moments of 0, not of 0/0
        return slot["corrected1"].clamp_min(TINY), slot["corrected2"].clamp_min(TINY)
    step = float(slot["step"])
    return tuple(slot["exp_avg"].new_tensor(1 - beta**step).clamp_min(TINY) for beta in betas)


def edge(lr: float, beta: float) -> float:
    """The largest eigenvalue of Adam's preconditioned Hessian at which it is stable, 38 / lr at beta .9 (Cohen et al.
    2022, arXiv:2207.14484)."""
    return (2 + 2 * beta) / ((1 - beta) * lr)
