"""Optimizers as flags: torch's Adam, AdamW, RMSProp and SGD with momentum, fused where that exists; ours otherwise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import SGD, Optimizer, RMSprop

from nets.adam import FusedAdam
from nets.adam_elements import ElementAdam
from nets.trac import TRAC
from nets.upgd import UPGD
from runs.units import broken

SHARED = frozenset({"step", "draws", "tuner"})  # slots that a whole tensor shares; any other is shaped as its parameter
COUNTS = frozenset({"step", "corrected1", "corrected2"})  # slots that hold Adam's step count, whole or per element


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer"""

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd", "trac", "upgd", "adam_upgd"] = "adam"
    """adam: weight decay joins the gradient; adamw: it is decoupled; rmsprop: centred (dqn_zoo); sgd: with momentum;
    trac: tuned Adam (arXiv:2405.16642); upgd, adam_upgd: useful weights are kept (arXiv:2404.00781)"""
    adam_step: Literal["tensor", "elements"] = "tensor"
    """Adam's step count: one a tensor (torch, fused) or one an element, so that a reborn unit starts anew (AdamGnT)"""
    lr: float = 6.25e-5
    """Learning rate (Dopamine DQN: 6.25e-5; Elsayed & Mahmood 2024: upgd 1e-5, adam_upgd under PPO 3e-4)"""
    eps: float = 1.5e-4
    """Added to the root of the second moment (Dopamine: 1.5e-4; torch: 1e-8; adam_upgd, arXiv:2404.00781: 1e-5)"""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moment (Kingma & Ba 2015); rmsprop reads the second, sgd's momentum is the first"""
    weight_decay: float = 0.0
    """On matrices and kernels only, never on biases or norms (BBF's rule, arXiv:2305.19452); Elsayed & Mahmood 2024,
    upgd and adam_upgd: .001"""
    clip: float = 0.0
    """Global gradient norm of each part is clipped to this; 0 for never (Dopamine and CleanRL do not clip)"""
    clip_update: float = 0.0
    """A tensor's step is divided by its RMS of g / sqrt(v) over this, if above 1: 1 is StableAdamW (arXiv:2304.13013);
    0 for never"""
    upgd_decay: float = 0.999
    """Decay of the running utility (Elsayed & Mahmood 2024: .999)"""
    upgd_noise: float = 0.001
    """Standard deviation of the noise that joins the gradient (Elsayed & Mahmood 2024: .001)"""

    def problems(self) -> list[str]:
        rules = {
            "lr": (0 < self.lr < inf, "above 0"),
            "eps": (0 <= self.eps < inf, "at least 0"),
            "betas": (all(0 <= b < 1 for b in self.betas), "two numbers from 0 to below 1"),
            "weight_decay": (0 <= self.weight_decay < inf, "at least 0"),
            "clip": (self.clip >= 0, "at least 0"),
            "clip_update": (0 <= self.clip_update < inf, "at least 0"),
            "upgd_decay": (0 <= self.upgd_decay < 1, "from 0 to below 1"),
            "upgd_noise": (0 <= self.upgd_noise < inf, "at least 0"),
        }
        return broken(self, rules) + self.strangers()

    def strangers(self) -> list[str]:
        """A sentence for each flag of another optimizer."""
        wrong = []
        if self.adam_step == "elements" and self.optimizer not in ("adam", "adamw"):
            wrong.append(
                f"adam_step elements is of adam and adamw, but optimizer is {self.optimizer}; leave it at tensor"
            )
        if self.clip_update and (self.optimizer not in ("adam", "adamw") or self.adam_step == "tensor"):
            wrong.append("clip_update needs --optimizer adamw or adam and --adam-step elements")
        if "upgd" not in self.optimizer:
            usual = OptimConfig()
            odd = [name for name in ("upgd_decay", "upgd_noise") if getattr(self, name) != getattr(usual, name)]
            wrong += [f"{name} is for --optimizer upgd or adam_upgd, but optimizer is {self.optimizer}" for name in odd]
        return wrong

    def unread(self, typed: Mapping[str, Any]) -> list[str]:
        """A sentence for each number typed that the chosen optimizer does not read. typed: {flag: value before}; the
        defaults of agents and presets differ, so what a number is does not tell whether it was asked for."""
        first, second = (a != b for a, b in zip(self.betas, typed.get("betas", self.betas), strict=True))
        changed = {"eps": "eps" in typed, "the first of betas": first, "the second of betas": second}
        names = {"sgd": ("eps", "the second of betas"), "rmsprop": ("the first of betas",), "upgd": tuple(changed)}
        idle = [name for name in names.get(self.optimizer, ()) if changed[name]]
        return [f"{name} does nothing with --optimizer {self.optimizer}" for name in idle]

    def make(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """An optimizer whose state exists, all zero, before the first step: so it can be loaded and reset in place."""
        every = list(parameters)
        decayed = [p for p in every if p.ndim > 1 and self.weight_decay]
        rest = [p for p in every if p.ndim <= 1 or not self.weight_decay]
        rows = ((decayed, self.weight_decay), (rest, 0.0))
        groups: list[dict[str, Any]] = [{"params": ps, "weight_decay": decay} for ps, decay in rows if ps]
        return awake(self.build(groups))

    def build(self, groups: list[dict[str, Any]]) -> Optimizer:
        lr, eps, betas = self.lr, self.eps, self.betas
        match self.optimizer:
            case "adam" | "adamw" if self.adam_step == "elements":
                return ElementAdam(groups, lr, eps, betas, self.optimizer == "adamw", self.clip_update)
            case "adam" | "adamw" as name:
                return FusedAdam(groups, lr=lr, eps=eps, betas=betas, decoupled_weight_decay=name == "adamw")
            case "rmsprop":
                return RMSprop(groups, lr=lr, eps=eps, alpha=betas[1], centered=True)
            case "sgd":
                return SGD(groups, lr=lr, momentum=betas[0], fused=True)
            case "trac":
                return TRAC(groups, lr, eps, betas)
            case _:
                return UPGD(groups, lr, eps, betas, self.upgd_decay, self.upgd_noise, self.optimizer == "adam_upgd")


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
