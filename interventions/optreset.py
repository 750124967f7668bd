"""Optimizer resets at target updates (Asadi et al. 2023, arXiv:2306.17833); Adam-Rel (Ellis et al. 2024, 2412.17113).

`moments` zeroes m, v and the step count, so the next update is that of a new optimizer. `step` is Adam-Rel: only the
step count restarts, m and v stay. The two papers disagree on DQN; both are here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from interventions.base import Intervention, Reach, State
from nets.part import Subject
from runs.units import NEVER, NOWHEN, Condition, Every


@dataclass(frozen=True)
class OptReset(Intervention):
    """Optimizer resets: weights stay, the optimizer forgets (Asadi et al. 2023)"""

    reach = Reach.WEIGHT
    touches = "optimizer"

    optreset_every: Every = NEVER
    """How often: 1:targets for every hard target copy (Asadi et al. 2023), or any period"""
    optreset_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    optreset_what: Literal["moments", "step"] = "moments"
    """moments: m, v and the step count (Asadi et al. 2023); step: the step count alone (Adam-Rel, Ellis et al. 2024)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        for name, part in subject.parts.items():
            if self.optreset_every.unit == "targets" and part.tau != 1.0:
                yield f"optreset_every 1:targets: part {name} has no hard target copies; write e.g. 2k:updates"
            slots = {slot for state in part.opt.state.values() for slot in state}
            if self.optreset_what == "step" and "step" not in slots:
                yield f"optreset_what step: {type(part.opt).__name__} counts no steps; use --optimizer adam or adamw"

    def apply(self, state: State, subject: Subject) -> None:
        slots = ("step",) if self.optreset_what == "step" else ()
        for part in subject.parts.values():
            for p in part.trainable:
                part.forget(p, slots=slots)
