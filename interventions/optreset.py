"""Optimizer resets at target updates (Asadi et al. 2023, arXiv:2306.17833); Adam-Rel (Ellis et al. 2024, 2412.17113).

`moments` zeroes everything, so the next update is that of a new optimizer. `step` is Adam-Rel: only the step count
restarts, m and v stay. The two papers disagree on DQN; both are here. `first` and `second` are Asadi's ablations of a
single moment, who do not say whether the step count restarts with it: `first+step` and `second+step` are those where
it does. Without it a `second` moment of zero is not corrected: at beta2 .999 the next step is up to 32 lr long.
`1:resets` fires at the end of the update that follows a reset, `1:tasks` at a switch of tasks.
The first step after `moments` is lr long whatever the gradient's size, noise included, unless eps is above it: use
--eps 1.5e-4, as DQN does, where the default is 1e-8 as SAC's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch.optim import RMSprop

from interventions.base import Intervention, Reach, State
from nets.optim import COUNTS
from nets.part import Part
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Every

# Centred RMSProp divides by sqrt(square_avg - grad_avg^2): its two averages are zeroed together.
SLOTS = {
    "first": frozenset({"exp_avg", "momentum_buffer"}),
    "second": frozenset({"exp_avg_sq", "square_avg", "grad_avg"}),
    "step": COUNTS,
}
LACKS = {"first": "keeps no first moment", "second": "keeps no second moment", "step": "counts no steps"}


@dataclass(frozen=True)
class OptReset(Intervention):
    """Optimizer resets: weights stay, the optimizer forgets (Asadi et al. 2023)"""

    reach = Reach.WEIGHT
    touches = "optimizer"
    clashes = "`1:targets` where no part has hard target copies; moments that the optimizer does not keep"

    optreset_every: Every = NEVER
    """How often: 1:targets for every hard target copy, of the parts that have one (Asadi et al. 2023), 1:tasks,
    1:resets, or any period"""
    optreset_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    optreset_what: Literal["moments", "step", "first", "second", "first+step", "second+step"] = "moments"
    """moments: all it remembers, with the step count (Asadi et al. 2023); step: the step count alone (Adam-Rel, Ellis
    et al. 2024); first, second: one moment alone, with or without the step count (Asadi et al. 2023)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        part = next(iter(subject.parts.values()))
        for word in self.words():
            if not SLOTS[word] & kept(part):
                lack = f"{type(part.opt).__name__} {LACKS[word]}"
                yield f"optreset_what {self.optreset_what}: {lack}; use --optimizer adam or adamw"

    def chosen(self, subject: Subject) -> list[Part]:
        """Of 1:targets the parts that have hard copies, else all."""
        hard = self.optreset_every.unit == "targets"
        return [part for part in subject.parts.values() if part.tau == 1.0 or not hard]

    def words(self) -> list[str]:
        return [] if self.optreset_what == "moments" else self.optreset_what.split("+")

    def apply(self, state: State, subject: Subject) -> None:
        slots = tuple(sorted(slot for word in self.words() for slot in SLOTS[word]))
        for part in self.chosen(subject):
            for p in part.trainable:
                part.forget(p, slots=slots)


def kept(part: Part) -> set[str]:
    """What its optimizer remembers; RMSProp counts its steps, but reads the count nowhere."""
    slots = {slot for state in part.opt.state.values() for slot in state}
    return slots - COUNTS if isinstance(part.opt, RMSprop) else slots
