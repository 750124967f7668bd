"""CHAIN and C-CHAIN (Tang & Berseth 2024, arXiv:2409.04792; Tang et al. 2025, arXiv:2506.00592): less churn.

c mean (Q_theta(s) - Q_prev(s))^2 on a minibatch of its own, Q_prev the network one update earlier: an update should not
move the values of states it did not see. The squares of an ensemble's members add up, as their losses do. A policy is
held by the KL from the earlier one times the mean |Q - alpha log pi| of its loss, as bluecontra/CHAIN's SAC, whose KL
runs the other way; to second order the two are one. It takes two more forward passes and one more backward pass for
each loss. c is fixed, or chosen so that the penalty is a given fraction of the loss, both as running means.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import renew
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import Count, broken


@dataclass(frozen=True)
class Churn(Intervention):
    """CHAIN: outputs on other states stay where they were one update ago (Tang & Berseth 2024)"""

    reach = Reach.WEIGHT
    touches = "gradients; keeps the last weights; samples a second minibatch"
    fires = "every update"

    churn_weight: float = 0.0
    """c, or the automatic c's start; 0 is off (Tang & Berseth 2024: 100 on MinAtar, .1 for SAC; 2025: 50)"""
    churn_policy: float = 5e-4
    """c of a policy, times mean |Q - alpha log pi|; 0 leaves policies alone (Tang & Berseth 2024: SAC and TD3 5e-4)"""
    churn_auto: float = 0.0
    """Fraction of the loss that the penalty is to be; 0 for a fixed c (2024: .05 MinAtar, .1 PPO; 2025: .01 MinAtar)"""
    churn_window: Count = 50_000
    """Losses of a part in the running means (Tang & Berseth 2024: 50k; 2025: 100 on DMC, 50 on Gym)"""
    churn_begin: Count = 10_000
    """Losses of a part before c is automatic (Tang & Berseth 2024: 10k)"""
    churn_least: float = 0.0
    """Least automatic c (Tang et al. 2025: 1 on Gym, 0 elsewhere)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        numbers = ("churn_weight", "churn_policy", "churn_auto", "churn_least")
        rules = {name: (0 <= getattr(self, name) < inf, "at least 0") for name in numbers}
        yield from broken(self, rules | {"churn_window": (self.churn_window > 0, "at least 1")})

    def init(self, subject: Subject) -> State:
        """{part: {previous: weights and buffers, losses and churns: [window], seen: how many}}."""
        chosen = {
            name: part
            for name, part in subject.parts.items()
            if part.output is not None and part.net.outputs() and (self.churn_policy or not part.net.policy)
        }
        window = self.churn_window if self.churn_auto else 0
        rows = {n: {k: torch.zeros(window, device=p.device) for k in ("losses", "churns")} for n, p in chosen.items()}
        return {n: {"previous": p.weights(buffers=True), **rows[n], "seen": 0} for n, p in chosen.items()}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in state:
            return loss.value
        mine, part = state[loss.part], subject.parts[loss.part]
        assert part.output is not None
        other = subject.batch()
        with torch.no_grad():
            before = subject.run(loss.part, other, mine["previous"])
        members = loss.td.shape[0] if loss.td is not None and loss.td.dim() == 2 else 1
        churn = members * part.output.distance(subject.run(loss.part, other), before).mean()
        weight = self.coefficient(mine, loss)
        remember(mine, part.net.state_dict(), loss.value.detach(), churn.detach())
        return loss.value + weight * churn

    def coefficient(self, mine: State, loss: Loss) -> Tensor | float:
        if self.churn_auto and mine["seen"] >= max(1, self.churn_begin):
            size, churn = (Tensor.mean(mine[name][: mine["seen"]]) for name in ("losses", "churns"))
            return (self.churn_auto * size / (churn + 1e-8)).clamp_min(self.churn_least)
        return self.churn_weight if loss.each is None else self.churn_policy * loss.each.detach().abs().mean()

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        """What was redrawn has no past to hold on to."""
        for name, mine in state.items():
            renew(mine["previous"], subject.parts[name].net, redrawn.get(name, ()))


@torch.no_grad()
def remember(mine: State, live: Mapping[str, Tensor], value: Tensor, churn: Tensor) -> None:
    """The network before this update's step, and its numbers in the place of the oldest."""
    torch._foreach_copy_([mine["previous"][name] for name in live], list(live.values()))
    if window := len(mine["losses"]):
        place = mine["seen"] % window
        mine["losses"][place], mine["churns"][place] = value.abs(), churn
    mine["seen"] += 1
