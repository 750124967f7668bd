"""Resets (Nikishin et al. 2022, arXiv:2205.07802): forget weights, keep the replay.

The optimizer forgets exactly the tensors that are redrawn, their step counts included; torch keeps a step per tensor,
so kept tensors keep theirs, where the SPR code restarts the one step all tensors share.
"""

from dataclasses import dataclass

from interventions.base import Intervention, Reach, State
from nets.part import Copy, Subject
from runs.units import NEVER, NOWHEN, Condition, Every


@dataclass(frozen=True)
class Reset(Intervention):
    """Resets: draw new weights, keep the replay (Nikishin et al. 2022)"""

    reach = Reach.NETWORK
    touches = "weights, target, optimizer of the chosen groups"
    redraws = True

    reset_every: Every = NEVER
    """How often to draw new weights, e.g. 100k (agent steps), 40k:updates or 20k,40k (Nikishin et al. 2022)"""
    reset_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    reset_groups: str = ""
    """Which groups of each network, e.g. head (the last layers) or head,torso; empty for all (arXiv:2205.07802)"""
    reset_parts: str = ""
    """Which parts of the agent, e.g. q; empty for all (SAC has several)"""
    reset_target: Copy = "copy"
    """The slow network is then a copy of the new weights, kept as it was, or a draw of its own (BBF, 2305.19452)"""

    def apply(self, state: State, subject: Subject) -> None:
        for name, part in subject.parts.items():
            if not self.reset_parts or name in self.reset_parts.split(","):
                part.redraw(subject.seed, self.reset_groups, target=self.reset_target)
