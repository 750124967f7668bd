"""The chain: the active interventions in order of reach, their state, and the record of what they did."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interventions.base import Intervention, State
from nets.part import Loss, Make, Subject
from replay.batch import Batch

PROBE_STATES = 256  # the change of the outputs is measured on this many replay states


@dataclass
class Link:
    """One active intervention with everything that belongs to it."""

    method: Intervention
    rng: np.random.Generator
    subject: Subject
    witness: Callable[[], Subject]
    state: State = field(default_factory=dict)
    fired: int = 0

    @property
    def due(self) -> int:
        period = self.method.period
        return period.crossed(self.subject.clock[period.unit]) if period else 0

    def fire(self) -> dict[str, float]:
        """apply(), and its event row: parameters changed, ||change||, rms change of the outputs, seconds."""
        witness = self.witness()
        batch = witness.batch(PROBE_STATES)
        before, outputs, start = weights(self.subject), answers(self.subject, batch), time.perf_counter()
        self.method.apply(self.state, self.subject)
        seconds = time.perf_counter() - start
        name = f"event/{self.method.name()}"
        moved = [b - a for a, b in zip(before, weights(self.subject), strict=True)]
        row = {
            name: 1.0,
            f"{name}/changed": sum(int(m.count_nonzero()) for m in moved) / sum(m.numel() for m in moved),
            f"{name}/norm": math.sqrt(sum(float(m.square().sum()) for m in moved)),
            f"speed/{self.method.name()}": seconds,
        }
        for part, new in answers(self.subject, batch).items():
            row[f"{name}/output/{part}"] = float((new - outputs[part]).square().mean().sqrt())
        return row


@torch.no_grad()
def weights(subject: Subject) -> list[Tensor]:
    return [p.detach().clone() for part in subject.parts.values() for p in part.net.parameters()]


@torch.no_grad()
def answers(subject: Subject, batch: Batch) -> dict[str, Tensor]:
    return {name: subject.run(name, batch) for name in subject.parts}


class Chain:
    """All hook points of interventions/base.py, over every active method; empty when nothing is switched on."""

    def __init__(self, methods: Sequence[Intervention] = ()) -> None:
        self.methods = sorted((m for m in methods if m.switch), key=lambda m: (m.reach, m.name()))
        self.links: list[Link] = []
        self.events: list[dict[str, float]] = []

    def names(self) -> list[str]:
        return [m.name() for m in self.methods]

    def build(self, part: str, make: Make) -> Make:
        for method in self.methods:
            make = method.on_build(part, make)
        return make

    def start(self, view: Callable[[np.random.Generator], Subject], stream: Callable[..., np.random.Generator]) -> None:
        """view: the agent seen through a generator; stream: the generator of a name. Raises all refusals at once."""
        problems: list[str] = []
        for method in self.methods:
            name, rng = method.name(), stream(method.name())
            subject = view(rng)

            def witness(name: str = name, clock: Mapping[str, int] = subject.clock) -> Subject:
                return view(stream("witness", name, clock["steps"], clock["updates"]))

            problems += [*unknown(method, subject), *method.refuse(subject)]
            self.links.append(Link(method, rng, subject, witness))
        if problems:
            raise ValueError("\n".join(problems))
        for link in self.links:
            link.state = link.method.init(link.subject)
            link.fired = link.due

    def before_update(self, batch: Batch) -> Batch:
        for link in self.links:
            batch = link.method.before_update(link.state, link.subject, batch)
        return batch

    def on_loss(self, loss: Loss, batch: Batch) -> Tensor:
        for link in self.links:
            loss = loss._replace(value=link.method.on_loss(link.state, link.subject, loss, batch))
        return loss.value

    def after_backward(self, part: str, batch: Batch) -> None:
        for link in self.links:
            link.method.after_backward(link.state, link.subject, part, batch)

    def after_update(self) -> None:
        for link in self.links:
            link.method.after_update(link.state, link.subject)

    def tick(self) -> None:
        """Fire what has fallen due. A period fires on crossing, so no clock can step over it or meet it twice."""
        for link in self.links:
            due = link.due
            if due > link.fired:
                link.fired = due
                self.events.append({"step": link.subject.clock["steps"], **link.fire()})

    def drain(self) -> list[dict[str, float]]:
        """The event rows since the last call."""
        events, self.events = self.events, []
        return events

    def state_dict(self) -> dict[str, Any]:
        return {
            link.method.name(): {"state": link.state, "fired": link.fired, "rng": link.rng.bit_generator.state}
            for link in self.links
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """A method that joins (a fork) keeps its fresh state; `fired` then stands where its clock stands."""
        for link in self.links:
            saved = state.get(link.method.name())
            if saved is None:
                link.fired = link.due
                continue
            link.state, link.fired = saved["state"], saved["fired"]
            link.rng.bit_generator.state = saved["rng"]


def unknown(method: Intervention, subject: Subject) -> list[str]:
    """Groups and parts that a method names and no part of the agent has."""
    groups = sorted({g for part in subject.parts.values() for g in part.groups()})
    known = {"groups": groups, "skip": [*groups, "norm"], "parts": list(subject.parts)}
    rows = []
    for f in fields(method):
        kind = f.name.rpartition("_")[2]
        for word in str(getattr(method, f.name)).split(",") if kind in known else ():
            if word and word not in known[kind]:
                near = get_close_matches(word, known[kind], 1, 0)
                hint = f"; did you mean {near[0]}?" if near else ""
                rows.append(f"{f.name}: no {kind.rstrip('s')} {word!r}, there are {', '.join(known[kind])}{hint}")
    return rows
