"""How many updates an agent owes for its steps, counted from where the replay was last emptied; when targets follow."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any

from runs.units import Period


class Pace:
    """ratio: updates per agent step; warmup: agent steps before the first. Clocks hold "steps" and "updates"."""

    def __init__(self, ratio: float, warmup: int) -> None:
        self.ratio, self.warmup = exact(ratio), warmup
        self.steps = self.updates = 0  # where the count begins

    def owed(self, clock: Mapping[str, int]) -> int:
        """floor(ratio * steps after the warm-up) - updates, so no burst."""
        steps, updates = clock["steps"] - self.steps, clock["updates"] - self.updates
        return floor(self.ratio * max(0, steps - self.warmup)) - updates

    def restart(self, clock: Mapping[str, int]) -> None:
        """The warm-up begins again."""
        self.steps, self.updates = clock["steps"], clock["updates"]

    def change(self, ratio: float, clock: Mapping[str, int]) -> None:
        """Another ratio from here on: no step of the past is owed anything."""
        past = clock["steps"] - self.warmup
        if past >= self.steps:
            self.steps, self.updates = past, clock["updates"]
        self.ratio = exact(ratio)

    def state_dict(self) -> dict[str, Any]:
        return {"ratio": str(self.ratio), "steps": self.steps, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.ratio, self.steps, self.updates = Fraction(state["ratio"]), state["steps"], state["updates"]


class Round:
    """When a period comes round, by clocks that extra updates put forward."""

    def __init__(self, every: Period) -> None:
        self.every = every
        self.met = 0  # how often it had come round when it was last met
        self.ahead = Fraction(0)  # in the period's unit

    def come(self, clock: Mapping[str, int]) -> int:
        """How often it has come round."""
        return self.every.crossed(clock[self.every.unit] + floor(self.ahead))

    def begin(self, clock: Mapping[str, int]) -> None:
        """What came round until now is not owed."""
        self.met = self.come(clock)

    def due(self, clock: Mapping[str, int]) -> bool:
        """Whether it has come round since the last call."""
        before, self.met = self.met, max(self.met, self.come(clock))
        return self.met > before

    def advance(self, ratio: Fraction) -> None:
        """An extra update is as good as one of the others, or as the steps it takes to owe one."""
        if ratio:
            self.ahead += 1 if self.every.unit == "updates" else 1 / ratio

    def state_dict(self) -> dict[str, Any]:
        return {"met": self.met, "ahead": str(self.ahead)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.met, self.ahead = state["met"], Fraction(state["ahead"])


def exact(ratio: float) -> Fraction:
    """Of the digits typed: 0.1 is exactly 1/10."""
    return Fraction(str(ratio))
