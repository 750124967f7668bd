"""Hare & Tortoise (Lee et al. 2024, arXiv:2406.02596): every T updates the weights become their own slow average.

The hare is what is trained; the tortoise <- mu tortoise + (1 - mu) hare after every update, and it is the tortoise that
acts and is evaluated, --act-by target or not. Values are copied at a sync; in the authors' supervised code the two then
share their storage, and the tortoise makes the next step with the hare. A sync comes before a reset at the same point.
Published values are supervised: mu .999, a sync every 10 epochs; for RL no code is public.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.penalty import renew
from nets.part import Part, Weights
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Every, broken


@dataclass(frozen=True)
class Tortoise(Intervention):
    """Hare & Tortoise: the weights return to their slow average (Lee et al. 2024)"""

    reach = Reach.AVERAGE
    touches = "weights; keeps an average of them, which acts"
    clashes = "`popart`"
    excludes: ClassVar[Mapping[str, str]] = {
        "popart": "an average would mix weights of different scales; switch one of them off"
    }

    tortoise_every: Every = NEVER
    """How often the hare becomes the tortoise, e.g. 10k:updates (ours; Lee et al. 2024: 10 epochs)"""
    tortoise_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    tortoise_mu: float = 0.999
    """What the tortoise keeps of itself at every update; 1 freezes it (Lee et al. 2024: .999)"""
    tortoise_acts: bool = True
    """The tortoise acts and is evaluated (Lee et al. 2024), or the hare"""
    tortoise_optimizer: Literal["keep", "reset"] = "keep"
    """What a sync does to the optimizer: nothing, as in the authors' code (Lee et al. 2024), or it forgets all"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"tortoise_mu": (0 <= self.tortoise_mu <= 1, "from 0 to 1")})

    def init(self, subject: Subject) -> State:
        """{part: {name: the tortoise's value}}, of the parts that have units: a temperature is no network."""
        return {name: copies(part) for name, part in subject.parts.items() if part.net.outputs()}

    def acting(self, state: State, subject: Subject, part: str) -> Weights | None:
        return state.get(part) if self.tortoise_acts else None

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> None:
        for name, slow in state.items():
            torch._foreach_lerp_(list[Tensor](slow.values()), hare(subject.parts[name], slow), 1 - self.tortoise_mu)

    @torch.no_grad()
    def apply(self, state: State, subject: Subject) -> Report:
        """distance: from hare to tortoise before the sync, of all parts."""
        gaps: list[Tensor] = []
        for name, slow in state.items():
            part, mine = subject.parts[name], list[Tensor](slow.values())
            gaps += torch._foreach_norm(torch._foreach_sub(hare(part, slow), mine))
            torch._foreach_copy_(hare(part, slow), mine)
            for p in part.trainable if self.tortoise_optimizer == "reset" else ():
                part.forget(p)
        return {"distance": torch.stack(gaps).norm()}

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        """Of what was drawn anew the tortoise is a copy: a sync must not bring the old weights back."""
        for name, slow in state.items():
            renew(slow, subject.parts[name].net, redrawn.get(name, ()))


def copies(part: Part) -> dict[str, Tensor]:
    """What is averaged: all that is trained, and an actor's copy of an encoder; a spectral norm's vectors are not."""
    still = {name for name, p in part.net.named_parameters() if not p.requires_grad}
    rows = {name: x for name, x in part.net.state_dict().items() if name not in still and x.is_floating_point()}
    return {name: x.detach().clone() for name, x in rows.items() if "weight_lens" not in name.split(".")}


def hare(part: Part, slow: Mapping[str, Tensor]) -> list[Tensor]:
    """The live weights, in the order of the tortoise's."""
    live = part.net.state_dict()
    return [live[path] for path in slow]
