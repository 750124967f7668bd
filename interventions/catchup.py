"""Catching up after a reset (Schwarzer et al. 2023, arXiv:2305.19452): extra updates on the old replay, no interaction.

BBF's code has it as offline_update_frac and leaves it at 0; Nikishin et al. 2022 have none. The updates are the agent's
own, hooks included, and its slow networks follow as if the steps had passed that they are worth. They are billed as
clock/extra. A reset before the first update has nothing to catch up with.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from interventions.base import Intervention, Reach, Report, State
from nets.subject import Subject
from runs.units import Count, broken


@dataclass(frozen=True)
class CatchUp(Intervention):
    """Catching up: extra updates on the old replay after each reset (Schwarzer et al. 2023)"""

    reach = Reach.LEARNING
    touches = "weights, optimizer, target by updates; priorities of what they learn from"
    follows = True
    fires = "after each reset"

    catchup_updates: Count = 0
    """Updates right after each reset, before the next step (BBF: 0; Nikishin et al. 2022: 0)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"catchup_updates": (self.catchup_updates >= 0, "at least 0")})

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> Report | None:
        if not subject.clock["updates"]:
            return None
        for _ in range(self.catchup_updates):
            subject.extra_update()
        return {"extra": self.catchup_updates}
