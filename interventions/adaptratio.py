"""Adaptive replay ratio (Ma et al. 2024, arXiv:2310.07418): few updates a step until the critic's units are awake.

The signal is the fraction of active units (outputs above 0, over units and states) of the networks that have a slow
copy. The authors' rule (Adaptive-Replay-Ratio, train_adapt_rr.py): every 50 episodes compare it with the last check;
where the two differ by at most .001 the ratio rises from .5 to 2, for good. They average it over the minibatches of the
episode before a check, we measure --adaptratio-batch replay states, and leave encoders in. The other rule is ours: any
recorded number, e.g. --adaptratio-when "dormant < 0.05", with a way back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch

from interventions.base import Intervention, Reach, State
from interventions.link import heard
from nets.anatomy import record
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Every, broken

CHUNK = 256  # states in one forward pass


@dataclass(frozen=True)
class AdaptRatio(Intervention):
    """Adaptive replay ratio: more updates a step once the critic's units are awake (Ma et al. 2024)"""

    reach = Reach.NETWORK
    touches = "the replay ratio"
    clashes = "learners on data"

    adaptratio_every: Every = NEVER
    """How often the active units are compared with those of the last check, e.g. 100k (steps) or 50:episodes, as the
    paper (Ma et al. 2024)"""
    adaptratio_when: Condition = NOWHEN
    """Instead: the ratio rises when a recorded number crosses a level, e.g. "dormant < 0.05" (ours: algorithms.md)"""
    adaptratio_to: float = 2.0
    """The high replay ratio, in updates per agent step; --replay-ratio is the low one (Ma et al. 2024: from .5 to 2)"""
    adaptratio_gap: float = 0.001
    """The ratio rises where the fraction of active units changed by at most this between checks (the paper: .001)"""
    adaptratio_batch: int = 2048
    """Replay states on which active units are counted (Ma et al. 2024: an episode of minibatches, 128,000)"""
    adaptratio_back: bool = False
    """Whether the ratio falls again where the number of --adaptratio-when is behind `rearm` (in the paper it stays)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "adaptratio_to": (0 < self.adaptratio_to < inf, "above 0"),
            "adaptratio_gap": (0 <= self.adaptratio_gap < 1, "from 0 to below 1"),
            "adaptratio_batch": (self.adaptratio_batch > 0, "at least 1"),
        }
        yield from broken(self, rules)
        if not subject.acts:
            yield "adaptratio: a learner on data has no replay ratio, one step is one update; use an agent that acts"
        if self.adaptratio_to == subject.ratio:
            yield f"adaptratio_to {self.adaptratio_to:g} is the replay ratio already; choose another --replay-ratio"
        if self.adaptratio_every and self.adaptratio_when:
            yield "adaptratio_every and adaptratio_when are two signals; leave one of them out"
        if self.adaptratio_back and not self.adaptratio_when:
            yield "adaptratio_back needs a number that can come back; set --adaptratio-when"
        if self.adaptratio_every and not judges(subject):
            yield "adaptratio_every needs a network with a slow copy and hidden units; use --adaptratio-when"

    def init(self, subject: Subject) -> State:
        """last: the fraction of active units at the last check, -1 before."""
        return {"low": subject.ratio, "high": 0, "last": -1.0}

    def after_update(self, state: State, subject: Subject) -> None:
        if self.adaptratio_back and state["high"]:
            value = heard(self.adaptratio_when.tag, subject.metrics)
            if value is not None and self.adaptratio_when.back(value):
                state["high"] = 0
                subject.pace(state["low"])

    def apply(self, state: State, subject: Subject) -> None:
        if state["high"] or (self.adaptratio_every and not self.settled(state, subject)):
            return
        state["high"] = 1
        subject.pace(self.adaptratio_to)

    def settled(self, state: State, subject: Subject) -> bool:
        """Whether the active units are as many as at the last check."""
        last, state["last"] = state["last"], active(subject, self.adaptratio_batch)
        return bool(abs(state["last"] - last) <= self.adaptratio_gap)


def judges(subject: Subject) -> list[str]:
    """Critics: parts with a slow copy and hidden units."""
    return [name for name, part in subject.parts.items() if part.target is not None and part.net.layers()]


@torch.no_grad()
def active(subject: Subject, states: int) -> float:
    """The fraction of activations above 0."""
    awake = total = 0
    for start in range(0, states, CHUNK):
        batch = subject.batch(min(CHUNK, states - start))
        for name in judges(subject):
            with record(subject.parts[name].net) as tape:
                subject.run(name, batch)
            awake += sum(int((x > 0).count_nonzero()) for x in tape.acts.values())
            total += sum(x.numel() for x in tape.acts.values())
    return awake / total
