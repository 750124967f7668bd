"""Optimizers as flags: Adam, AdamW, RMSProp, SGD with momentum; torch's fused kernels where they exist."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from runs.units import broken


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer"""

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    """adam: weight decay joins the gradient; adamw: it is decoupled; rmsprop: centred (dqn_zoo); sgd: with momentum"""
    lr: float = 6.25e-5
    """Learning rate (Dopamine DQN: 6.25e-5)"""
    eps: float = 1.5e-4
    """Added to the root of the second moment (Dopamine: 1.5e-4; torch: 1e-8)"""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moment (Kingma & Ba 2015); rmsprop reads the second, sgd's momentum is the first"""
    weight_decay: float = 0.0
    """On matrices and kernels only, never on biases or norms (BBF's rule, arXiv:2305.19452)"""
    clip: float = 0.0
    """Global gradient norm of each part is clipped to this; 0 for never (Dopamine and CleanRL do not clip)"""

    def problems(self) -> list[str]:
        rules = {
            "lr": (0 < self.lr < inf, "above 0"),
            "eps": (0 <= self.eps < inf, "at least 0"),
            "betas": (all(0 <= b < 1 for b in self.betas), "two numbers from 0 to below 1"),
            "weight_decay": (0 <= self.weight_decay < inf, "at least 0"),
            "clip": (self.clip >= 0, "at least 0"),
        }
        return broken(self, rules)

    def make(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """An optimizer whose state exists, all zero, before the first step: so it can be loaded and reset in place."""
        every = list(parameters)
        decayed = [p for p in every if p.ndim > 1 and self.weight_decay]
        rest = [p for p in every if p.ndim <= 1 or not self.weight_decay]
        rows = ((decayed, self.weight_decay), (rest, 0.0))
        groups: list[dict[str, Any]] = [{"params": ps, "weight_decay": decay} for ps, decay in rows if ps]
        match self.optimizer:
            case "adam":
                opt: Optimizer = Adam(groups, lr=self.lr, eps=self.eps, betas=self.betas, fused=True)
            case "adamw":
                opt = AdamW(groups, lr=self.lr, eps=self.eps, betas=self.betas, fused=True)
            case "rmsprop":
                opt = RMSprop(groups, lr=self.lr, eps=self.eps, alpha=self.betas[1], centered=True)
            case "sgd":
                opt = SGD(groups, lr=self.lr, momentum=self.betas[0], fused=True)
        return awake(opt)


@torch.no_grad()
def awake(opt: Optimizer) -> Optimizer:
    """Create every slot by a step of length zero on zero gradients, then zero the slots; parameters keep their bits."""
    rates = [group["lr"] for group in opt.param_groups]
    kept = [[p.clone() for p in group["params"]] for group in opt.param_groups]
    for group in opt.param_groups:
        group["lr"] = 0.0
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    opt.step()
    opt.zero_grad(set_to_none=True)
    for group, lr, saved in zip(opt.param_groups, rates, kept, strict=True):
        group["lr"] = lr
        for p, old in zip(group["params"], saved, strict=True):
            p.copy_(old)
            for slot in opt.state[p].values():
                slot.zero_()
    return opt
