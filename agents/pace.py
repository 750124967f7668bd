"""How many updates an agent owes for its steps: the replay ratio, counted from where the replay was last emptied."""

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from typing import Any


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


def exact(ratio: float) -> Fraction:
    """Of the digits typed: 0.1 is exactly 1/10."""
    return Fraction(str(ratio))
