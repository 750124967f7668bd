"""Adaptive replay ratio (Ma et al. 2024, arXiv:2310.07418): few updates a step until the critic's units are awake.

The signal is the fraction of active units (outputs above 0, over units and states) of the networks that have a slow
copy. The authors' rule (Adaptive-Replay-Ratio, train_adapt_rr.py): every 50 episodes compare it with the last check;
where the two differ by at most .001 the ratio rises from .5 to 2, for good. They average it over the minibatches of the
episode before a check, we measure --adaptratio-batch replay states, and leave encoders in. The other rule is ours: any
recorded number, e.g. --adaptratio-when "dormant < 0.05", with a way back.
Nothing is decided before the first update: an untrained network's units do not change. A check then measures nothing; a
condition that comes true then, at step s, is looked at again from s steps after the first update on, when every number
with a period has been recorded anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch

from interventions.base import Intervention, Reach, Report, State
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
        if 0 < self.adaptratio_to <= subject.ratio:
            yield (
                f"adaptratio_to {self.adaptratio_to:g} is not above the replay ratio {subject.ratio:g}, which it is to "
                "raise; take a higher one or a lower --replay-ratio"
            )
        if self.adaptratio_every and self.adaptratio_when:
            yield "adaptratio_every and adaptratio_when are two signals; leave one of them out"
        if self.adaptratio_back and not self.adaptratio_when:
            yield "adaptratio_back needs a number that can come back; set --adaptratio-when"
        if self.adaptratio_every and not judges(subject):
            yield "adaptratio_every needs a network with a slow copy and hidden units; use --adaptratio-when"

    def init(self, subject: Subject) -> State:
        """last: the fraction of active units at the last check, -1 before. While a condition waits that came true
        before the first update: early, the step of that; then again, the step at which to look again."""
        return {"low": subject.ratio, "high": 0, "last": -1.0}

    def after_update(self, state: State, subject: Subject) -> Report | None:
        """rose, fell: how often."""
        steps, value = subject.clock["steps"], heard(self.adaptratio_when.tag, subject.metrics)
        if "early" in state and subject.clock["updates"]:
            state["again"] = steps + state.pop("early")
        if value is None:
            return None
        if self.adaptratio_back and state["high"] and self.adaptratio_when.back(value):
            state["high"] = 0
            subject.pace(state["low"])
            return {"fell": 1.0}
        if steps >= state.get("again", inf) and self.adaptratio_when.beyond(value):
            self.rise(state, subject)
            return {"rose": 1.0}
        return None

    def apply(self, state: State, subject: Subject) -> Report:
        """active or signal: what was measured, if anything; ratio: from here on; rose: whether it did so now."""
        found, rises = self.judged(state, subject)
        if rises:
            self.rise(state, subject)
        elif self.adaptratio_when and not subject.clock["updates"]:
            state["early"] = subject.clock["steps"]
        return {**found, "ratio": subject.ratio, "rose": float(rises)}

    def judged(self, state: State, subject: Subject) -> tuple[dict[str, float], bool]:
        """What was measured, and whether the ratio is to rise."""
        may = subject.clock["updates"] > 0 and not state["high"]
        signal = heard(self.adaptratio_when.tag, subject.metrics)
        if signal is not None:
            return {"signal": signal}, may
        if not may:
            return {}, False
        last, state["last"] = state["last"], active(subject, self.adaptratio_batch)
        return {"active": state["last"]}, abs(state["last"] - last) <= self.adaptratio_gap

    def rise(self, state: State, subject: Subject) -> None:
        state["high"] = 1
        state.pop("again", None)
        subject.pace(self.adaptratio_to)


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
