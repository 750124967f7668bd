"""Hare & Tortoise (Lee et al. 2024, arXiv:2406.02596): every T updates the weights become their own slow average.

The hare is what is trained; the tortoise <- mu tortoise + (1 - mu) hare after every update. Values are copied at a
sync; in the authors' supervised code the two then share their storage, and the tortoise makes the next step with the
hare. Buffers are the hare's at every moment, as they are for a slow network: none here holds running statistics of
activations. The paper acts and evaluates with the tortoise; here the hare acts, unless the agent acts by a slow network
that is the tortoise: of DQN and its kin --target-tau 0.001 --target-every 1:updates --act-by target is that of mu .999.
Published values are supervised: mu .999, a sync every 10 epochs; for RL no code is public.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from nets.part import Part
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Every, broken


@dataclass(frozen=True)
class Tortoise(Intervention):
    """Hare & Tortoise: the weights return to their slow average (Lee et al. 2024)"""

    reach = Reach.NETWORK
    touches = "weights; keeps an average of them"

    tortoise_every: Every = NEVER
    """How often the hare becomes the tortoise, e.g. 10k:updates (ours; Lee et al. 2024: 10 epochs)"""
    tortoise_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    tortoise_mu: float = 0.999
    """What the tortoise keeps of itself at every update; 1 freezes it (Lee et al. 2024: .999)"""
    tortoise_optimizer: Literal["keep", "reset"] = "keep"
    """What a sync does to the optimizer: nothing, as in the authors' code (Lee et al. 2024), or it forgets all"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"tortoise_mu": (0 <= self.tortoise_mu <= 1, "from 0 to 1")})

    def init(self, subject: Subject) -> State:
        """{part: {parameter: the tortoise's value}}, of the parts that have units: a temperature is no network."""
        return {name: copies(part) for name, part in subject.parts.items() if part.net.outputs()}

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
            if not part.age:  # drawn anew at this very point: a sync would undo it
                continue
            gaps += torch._foreach_norm(torch._foreach_sub(hare(part, slow), mine))
            torch._foreach_copy_(hare(part, slow), mine)
            for p in part.trainable if self.tortoise_optimizer == "reset" else ():
                part.forget(p)
        return {"distance": torch.stack(gaps).norm()} if gaps else {}

    @torch.no_grad()
    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        """Of what was drawn anew the tortoise is a copy: a sync must not bring the old weights back."""
        for name, slow in state.items():
            live = dict(subject.parts[name].net.named_parameters())
            for path in slow.keys() & set(redrawn.get(name, ())):
                slow[path].copy_(live[path])


def copies(part: Part) -> dict[str, Tensor]:
    return {path: p.detach().clone() for path, p in part.select().items()}


def hare(part: Part, slow: Mapping[str, Tensor]) -> list[Tensor]:
    """The live weights, in the order of the tortoise's."""
    live = dict(part.net.named_parameters())
    return [live[path] for path in slow]
