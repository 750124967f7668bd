"""A link of the chain: one active intervention with everything that belongs to it, and the row of what a firing did."""

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interventions.base import Intervention, Report, State
from nets.subject import Subject
from replay.batch import Batch

PROBE_STATES = 256  # the change of the outputs is measured on this many replay states


@dataclass
class Link:
    """fired: how often its period had come round when it last fired; armed: whether its condition may fire."""

    method: Intervention
    rng: np.random.Generator
    subject: Subject
    witness: Callable[[], Subject]
    settle: Callable[[], None]
    state: State = field(default_factory=dict)
    fired: int = 0
    armed: bool = True
    sums: dict[str, Tensor | float] = field(default_factory=dict)  # of what its hooks reported since the last row
    seconds: float = 0.0
    misses: int = 0  # rows of its condition's kind in a row that did not hold the number

    def __post_init__(self) -> None:
        self.birth = self.rng.bit_generator.state

    @property
    def name(self) -> str:
        return self.method.name()

    @property
    def crossed(self) -> int:
        period = self.method.period
        return period.crossed(self.subject.clock[period.unit]) if period else 0

    def due(self) -> bool:
        """Whether its period has come round, or its condition has come true, since the last call. A period fires on
        crossing, so no clock can step over it or meet it twice."""
        crossed = self.crossed
        fires = crossed > self.fired
        self.fired = crossed
        return self.called() or fires

    def called(self) -> bool:
        """Whether its condition comes true now: once, until the number is back behind `rearm`."""
        condition = self.method.when
        value = heard(condition.tag, self.subject.metrics) if condition else None
        if value is None:
            return False
        fires = self.armed and condition.beyond(value)
        self.armed = condition.back(value) or (self.armed and not fires)
        return fires

    def hook(self, call: Callable[..., Any], *args: Any) -> Any:
        """A hook of every update, timed."""
        start = time.perf_counter()
        out = call(self.state, self.subject, *args)
        self.seconds += time.perf_counter() - start
        return out

    def report(self, rows: Report | None) -> None:
        for tag, x in (rows or {}).items():
            value = x.detach() if isinstance(x, Tensor) else x
            self.sums[tag] = self.sums[tag] + value if tag in self.sums else value

    def summary(self) -> dict[str, float]:
        """One row of all its hooks did since the last one; {} if they did nothing."""
        row = {f"event/{self.name}/{tag}": float(x) for tag, x in self.sums.items()}
        if self.seconds:
            row[f"speed/{self.name}"] = self.seconds
        self.sums, self.seconds = {}, 0.0
        return row

    def follow(self, redrawn: Mapping[str, Collection[str]]) -> dict[str, float]:
        """after_reset(), and its event row; {} where it does nothing of note."""
        start = time.perf_counter()
        report = self.method.after_reset(self.state, self.subject, redrawn)
        if report is None:
            return {}
        tag = f"event/{self.name}"
        done = {f"{tag}/{name}": float(x) for name, x in report.items()}
        return {tag: 1.0, **done, f"speed/{self.name}": time.perf_counter() - start}

    def fire(self) -> tuple[dict[str, float], dict[str, set[str]]]:
        """apply(): its event row (parameters changed, ||change||, change of outputs, seconds, its own report), and the
        names of the parameters of each part that are not what they were."""
        witness = self.witness()
        batch = witness.batch(PROBE_STATES)
        before, outputs, start = weights(self.subject), answers(self.subject, batch), time.perf_counter()
        report = self.method.apply(self.state, self.subject) or {}
        self.settle()
        seconds = time.perf_counter() - start
        tag, now = f"event/{self.name}", weights(self.subject)
        moved = {part: {n: now[part][n] - w for n, w in row.items()} for part, row in before.items()}
        every = [m for row in moved.values() for m in row.values()]
        row = {
            tag: 1.0,
            f"{tag}/changed": sum(int(m.count_nonzero()) for m in every) / sum(m.numel() for m in every),
            f"{tag}/norm": math.sqrt(sum(float(m.square().sum()) for m in every)),
            f"speed/{self.name}": seconds,
            **{f"{tag}/{name}": float(x) for name, x in report.items()},
        }
        for part, new in answers(self.subject, batch).items():
            row[f"{tag}/output/{part}"] = float((new - outputs[part]).square().mean().sqrt())
        return row, {part: {n for n, m in ms.items() if bool(m.any())} for part, ms in moved.items()}

    def state_dict(self) -> dict[str, Any]:
        """Only what can differ from a link just made: a method without a period has no `fired`, and so on."""
        row: dict[str, Any] = {"state": self.state}
        if self.method.period:
            row["fired"] = self.fired
        if self.method.when:
            row["armed"] = self.armed
        if self.sums:
            row["sums"] = [list(pair) for pair in self.sums.items()]  # pairs: a tag is no key of a saved state
        if self.rng.bit_generator.state != self.birth:
            row["rng"] = self.rng.bit_generator.state
        return row

    def load_state_dict(self, saved: Mapping[str, Any] | None) -> None:
        """A method that joins (a fork) keeps its fresh state; `fired` then stands where its clock stands."""
        if saved is None:
            self.fired = self.crossed
            return
        self.state = placed(saved["state"], next(iter(self.subject.parts.values())).device)
        self.fired, self.armed = saved.get("fired", self.fired), saved.get("armed", self.armed)
        self.sums = dict(saved.get("sums", []))
        self.rng.bit_generator.state = saved.get("rng", self.birth)
        self.method.loaded(self.state, self.subject)


def placed(state: Any, device: torch.device) -> Any:
    """A state as it was read, its tensors on the agent's device."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: placed(value, device) for key, value in state.items()}
    return [placed(value, device) for value in state] if isinstance(state, list) else state


def heard(tag: str, metrics: Mapping[str, float]) -> float | None:
    """The last number of a tag, whose leading probe/ may be left out."""
    return metrics.get(tag, metrics.get(f"probe/{tag}"))


def weights(subject: Subject) -> dict[str, dict[str, Tensor]]:
    return {name: part.weights() for name, part in subject.parts.items()}


@torch.no_grad()
def answers(subject: Subject, batch: Batch) -> dict[str, Tensor]:
    return {name: subject.run(name, batch) for name in subject.parts}
