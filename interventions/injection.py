"""Plasticity injection (Nikishin et al. 2023, arXiv:2305.15555): freeze the head, go on with a fresh one, same outputs.

out = h(z) + sum_k [old_k(z) - new_k(z)]. At injection k old_k becomes the live head h, then h and new_k one fresh draw:
the outputs keep their bits, and h is again as plastic as at birth. The encoder goes on learning through all of them.
The paper's head is the last two layers behind the convolutions, ours the torso and the head; without an encoder it is
the last linear maps alone. Frozen heads belong to the network from birth (nets/injected.py), have no gradients and
therefore no optimizer, and decay, resets and penalties pass them by. The slow network undergoes the same surgery with
the same draw: its own head is what it freezes, so its outputs stay, too. The optimizer forgets the live head, step
counts included, and keeps the encoder. Statistics of units are those of the live head. What the period asks for beyond
the last slot is skipped, with an event.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from interventions.base import Intervention, Reach, Report, State
from nets.anatomy import Network
from nets.injected import inject, prepare, tails
from nets.part import Make, Part
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Count, Every, broken

TAILS = {"": None, "head": False, "torso,head": True, "head,torso": True}  # whether the torso belongs to the tail


@dataclass(frozen=True)
class Injection(Intervention):
    """Plasticity injection: a frozen head, a fresh one, the same outputs (Nikishin et al. 2023)"""

    reach = Reach.LAYER  # after spectral normalisation, whose lenses a frozen head must have from birth
    touches = "live head and its optimizer; the slow network likewise"
    redraws = True
    clashes = "`reset`, `popart`"
    excludes: ClassVar[Mapping[str, str]] = {
        "reset": "a reset would leave the frozen heads and with them the old outputs; switch one of them off",
        "popart": "it would rescale the live head alone, so that the outputs jump; switch one of them off",
    }

    injection_every: Every = NEVER
    """When, e.g. 12.5M agent steps, a list of them, or a period (Nikishin et al. 2023: once, at 50M of 200M frames)"""
    injection_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    injection_slots: Count = 1
    """Injections that there is room for, two frozen heads each (Nikishin et al. 2023: 1)"""
    injection_groups: str = ""
    """torso,head or head; empty: torso,head behind an encoder, as in the paper (arXiv:2305.15555), else head"""
    injection_parts: str = ""
    """Which parts of the agent, e.g. critic; empty for all with a head (the paper, arXiv:2305.15555, has one, Q)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        asked = len(self.injection_every.at)
        groups = (self.injection_groups in TAILS, "head, torso,head or empty")
        yield from broken(
            self, {"injection_slots": (self.injection_slots > 0, "at least 1"), "injection_groups": groups}
        )
        if asked > self.injection_slots:
            room = self.injection_slots
            yield f"injection_every names {asked} injections, but there is room for {room}: --injection-slots {asked}"
        if not any(list(tails(part.net)) for part in subject.parts.values()):
            yield "injection: no network here has a torso and a head; switch it off"

    def on_build(self, part: str, make: Make) -> Make:
        return partial(self.prepared, make) if self.chosen(part) else make

    def prepared(self, make: Make) -> Network:
        net = make()
        prepare(net, self.injection_slots, TAILS.get(self.injection_groups))
        return net

    def chosen(self, part: str) -> bool:
        return not self.injection_parts or part in self.injection_parts.split(",")

    def redrawing(self, state: State, subject: Subject) -> bool:
        """Whether a slot is left."""
        return any(self.room(part) for part in subject.parts.values())

    def room(self, part: Part) -> bool:
        slots = [tailed.injected for tailed in tails(part.net) if tailed.injected is not None]
        return any(mine.filled() < self.injection_slots for mine in slots)

    def apply(self, state: State, subject: Subject) -> Report:
        """injected: 1, or 0 where no slot is left."""
        injected = [part for part in subject.parts.values() if self.room(part)]
        for part in injected:
            renew(part, subject.seed())
        return {"injected": float(bool(injected))}


@torch.no_grad()
def renew(part: Part, seed: int) -> None:
    """Inject the draw of this seed into the network and its slow copy; the optimizer forgets the live heads."""
    fresh = list(tails(part.fresh(seed)))
    for net in (part.net, part.target):
        for tailed, draw in zip(tails(net) if net is not None else (), fresh, strict=net is not None):
            inject(tailed, draw)
    for tailed in tails(part.net):
        for module in tailed.tail():
            for p in module.parameters():
                part.forget(p)
