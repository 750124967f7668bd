"""A learning-rate schedule that may begin anew (Lyle et al. 2024, arXiv:2407.01800, normalise and project).

Weights that grow behind a norm learn ever more slowly: with --project-interval that decay is gone, and the authors put
a schedule in its place, linear in a single game, a cosine with a warm-up from each change of games on in a sequence.
With L updates, of which W are the warm-up, the u-th (from 0) since the beginning is made at

    peak * (u + 1) / W                                        u < W
    peak * (end + (1 - end) * (1 - x))                        linear, x = min((u - W) / (L - W), 1)
    peak * (end + (1 - end) * (1 + cos(pi x)) / 2)            cosine

where peak is each part's own learning rate. ITER's students learn at the agent's rate of the moment; fits of probes
keep the peak.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from interventions.base import Intervention, Reach, State
from nets.subject import Subject
from replay.batch import Batch
from runs.units import Count, broken


@dataclass(frozen=True)
class LRSchedule(Intervention):
    """Learning-rate schedule: down over so many updates, anew with each task or reset (Lyle et al. 2024)"""

    reach = Reach.LEARNING
    touches = "learning rates"
    fires = "every update"

    lrschedule_updates: Count = 0
    """L: updates from the beginning to the end of the fall; 0 is off (Lyle et al. 2024: the 20M frames of a game)"""
    lrschedule_shape: Literal["linear", "cosine"] = "linear"
    """Of the fall: linear in a single game, cosine over a sequence of games (Lyle et al. 2024)"""
    lrschedule_end: float = 0.0016
    """The last rate over the peak, which --lr is (Lyle et al. 2024: 1e-6 of 6.25e-4)"""
    lrschedule_warmup: Count = 0
    """W: updates that climb to the peak first (Lyle et al. 2024: 1,000 in a sequence of games, from 1e-8 on)"""
    lrschedule_restart: Literal["tasks", "resets", "never"] = "tasks"
    """What begins it anew: a change of tasks (Lyle et al. 2024) or a reset (ours); never: it stays at its end"""

    @property
    def waits(self) -> bool:
        return self.lrschedule_restart == "resets"

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "lrschedule_updates": (self.lrschedule_updates > 0, "at least 1"),
            "lrschedule_end": (0 <= self.lrschedule_end <= 1, "from 0 to 1"),
            "lrschedule_warmup": (
                0 <= self.lrschedule_warmup < self.lrschedule_updates,
                "less than lrschedule_updates",
            ),
        }
        yield from broken(self, rules)

    def init(self, subject: Subject) -> State:
        """peaks: {part: the rate of each group of its optimizer}; restarts: those seen; begun: updates at the last;
        factor: of the peak, at the last update."""
        peaks = {name: [group["lr"] for group in part.opt.param_groups] for name, part in subject.parts.items()}
        return {"peaks": peaks, "restarts": 0, "begun": 0, "factor": 1.0}

    def before_update(self, state: State, subject: Subject, batch: Batch) -> Batch:
        clock = subject.clock
        restarts = 0 if self.lrschedule_restart == "never" else clock[self.lrschedule_restart]
        if restarts != state["restarts"]:
            state |= {"restarts": restarts, "begun": clock["updates"]}
        state["factor"] = self.factor(clock["updates"] - state["begun"])
        self.loaded(state, subject)
        return batch

    def loaded(self, state: State, subject: Subject) -> None:
        """The rates, which are no part of an optimizer's state."""
        for name, part in subject.parts.items():
            for group, peak in zip(part.opt.param_groups, state["peaks"][name], strict=True):
                group["lr"] = state["factor"] * peak

    def factor(self, update: int) -> float:
        """Of the peak, at an update since the beginning."""
        warmup, length = self.lrschedule_warmup, self.lrschedule_updates
        if update < warmup:
            return (update + 1) / warmup
        x = min((update - warmup) / (length - warmup), 1.0)
        fall = 1 - x if self.lrschedule_shape == "linear" else (1 + cos(pi * x)) / 2
        return self.lrschedule_end + (1 - self.lrschedule_end) * fall
