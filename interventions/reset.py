"""Resets (Nikishin et al. 2022, arXiv:2205.07802): forget weights, keep the replay.

The optimizer forgets exactly the tensors that are redrawn, their step counts included; torch keeps a step per tensor,
so kept tensors keep theirs, where the SPR code restarts the one step all tensors share. SPR's resets are
`--reset-groups head,sigma --reset-every 20k,40k,60k,80k`. BBF's (arXiv:2305.19452) are `--reset-groups
projection,predictor,head --reset-target own` with `--shrink-groups encoder,transition --shrink-target own` at the same
steps: together every tensor, so the optimizer forgets all. They are presets of agents.spr and agents.bbf.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from interventions.base import Intervention, Reach, State
from nets.part import Copy, Part
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Every, broken


@dataclass(frozen=True)
class Reset(Intervention):
    """Resets: draw new weights, keep the replay (Nikishin et al. 2022)"""

    reach = Reach.NETWORK
    touches = "weights, target, optimizer of the chosen groups; the replay and its priorities, if asked"
    clashes = "`--reset-inherit` below 1 for learners on data; `injection`"
    redraws = True

    reset_every: Every = NEVER
    """How often to draw new weights, e.g. 100k (agent steps), 40k:updates, 20k,40k or 20k..100k, that is below 100k
    (Nikishin et al. 2022)"""
    reset_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    reset_groups: str = ""
    """Which groups of each network, e.g. head (the last layers) or head,torso; empty for all (arXiv:2205.07802)"""
    reset_parts: str = ""
    """Which parts of the agent, e.g. actor; empty for all (D'Oro et al. 2023 reset all of SAC's)"""
    reset_target: Copy = "copy"
    """The slow network is then a copy of the new weights, kept as it was, or a draw of its own (BBF, 2305.19452)"""
    reset_init: Literal["fresh", "same"] = "fresh"
    """fresh: another draw each time; same: the run's first weights again, as SR-SAC's code does (D'Oro et al. 2023)"""
    reset_inherit: float = 1.0
    """Fraction of the replay, the newest, that is kept: 1 all (Nikishin et al. 2022), 0 none, then warming up again"""
    reset_priorities: Literal["keep", "refresh"] = "keep"
    """Priorities are kept (BBF, 2305.19452), or made anew of the new network's errors (ours: docs/algorithms.md)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"reset_inherit": (0 <= self.reset_inherit <= 1, "from 0 to 1")})
        if self.reset_inherit != 1 and not subject.acts:
            yield "reset_inherit: labelled data are no replay that could be forgotten; leave it at 1"
        if self.reset_init == "same" and self.reset_target == "own":
            yield "reset_target own: with --reset-init same there is one draw for all; use copy or keep"
        if self.reset_priorities == "refresh" and not subject.prioritized:
            yield "reset_priorities refresh: nothing is drawn by priority; add --priority-exponent .5, or keep"
        yield from barren(subject, "reset", groups=self.reset_groups, parts=self.reset_parts)

    def init(self, subject: Subject) -> State:
        same = self.reset_init == "same"
        return {"initial": {name: part.weights() for name, part in self.chosen(subject)}} if same else {}

    def apply(self, state: State, subject: Subject) -> None:
        for name, part in self.chosen(subject):
            phi = state["initial"][name] if self.reset_init == "same" else None
            part.redraw(subject.seed, self.reset_groups, target=self.reset_target, phi=phi)
        if self.reset_inherit < 1:
            subject.thin(self.reset_inherit)
        if self.reset_priorities == "refresh":
            subject.refresh()

    def chosen(self, subject: Subject) -> Iterator[tuple[str, Part]]:
        names = self.reset_parts.split(",") if self.reset_parts else subject.parts
        return ((name, part) for name, part in subject.parts.items() if name in names)


def barren(subject: Subject, method: str, groups: str = "", skip: str = "", parts: str = "") -> Iterator[str]:
    """A sentence if words that the agent has choose no parameter together; of others the chain says which they are."""
    names = parts.split(",") if parts else list(subject.parts)
    known = {group for part in subject.parts.values() for group in part.groups()}
    if not set(names) <= subject.parts.keys() or (groups and not set(groups.split(",")) <= known):
        return
    if not any(subject.parts[name].select(groups, skip) for name in names):
        words = {"groups": groups, "skip": skip, "parts": parts}
        flags = " ".join(f"--{method}-{kind} {word}" for kind, word in words.items() if word)
        yield f"{method}: {flags} choose no parameter; change one of them"
