"""An agent as a method or a probe may see it (nets/subject.py), drawing from a generator of the caller's own."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from agents.tally import Tally
from agents.teacher import read
from interventions.base import Reach
from interventions.chain import Chain
from nets.anatomy import Tape
from nets.part import Part, Weights
from nets.subject import Loss, Teacher
from replay.batch import Batch
from replay.prioritized import Prioritized
from runs.rng import draw_seed, stream

if TYPE_CHECKING:
    from agents.learner import Learner


@dataclass
class View:
    """What interventions and probes know of an agent; nothing else of it is theirs."""

    learner: "Learner"
    rng: np.random.Generator
    parts: Mapping[str, Part] = field(init=False)
    clock: Mapping[str, int] = field(init=False)
    acts: bool = field(init=False)

    def __post_init__(self) -> None:
        self.parts, self.clock, self.acts = self.learner.parts, self.learner.clock, self.learner.acts

    @property
    def observation(self) -> Box:
        return self.learner.spec.observation

    @property
    def ratio(self) -> float:
        return float(self.learner.pace.ratio)

    @property
    def cycles(self) -> bool:
        return self.learner.rl.cycles

    @property
    def prioritized(self) -> bool:
        return isinstance(self.learner.replay, Prioritized)

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.learner.chain.metrics

    def tape(self, part: str) -> Tape:
        return self.learner.chain.tapes[part]

    def run(self, part: str, batch: Batch, weights: Weights | None = None) -> Tensor:
        return self.learner.run(part, batch, weights)

    def losses(self, batch: Batch) -> Iterator[Loss]:
        return self.learner.losses(batch, self.learner.generator(self.seed()))

    def answer(self, batch: Batch, weights: Mapping[str, Weights] | None = None) -> Batch:
        worn = weights or {}
        nets = {n: part.wearing(worn[n]) if n in worn else part.net for n, part in self.parts.items()}
        return self.learner.answer(batch, self.learner.generator(self.seed()), nets)

    def seed(self) -> int:
        return draw_seed(self.rng)

    def batch(self, size: int = 0) -> Batch:
        learner = self.learner
        size = size or learner.learn.batch_size
        return learner.place(learner.replay.peek(size, self.rng, *learner.window, learner.ahead))

    def augmented(self, batch: Batch) -> Batch:
        for link in self.learner.chain.feeding:
            if link.method.reach < Reach.LEARNING:  # those of that reach change how the agent learns
                batch = link.method.before_update(link.state, self, batch)
        return batch

    def held(self, size: int) -> Batch | None:
        learner = self.learner
        found = learner.replay.held(size, self.rng, *learner.window)
        return None if found is None else learner.place(found)

    def returns(self, size: int) -> tuple[Batch, Tensor] | None:
        learner = self.learner
        found = learner.replay.returns(size, self.rng, *learner.window)
        return None if found is None else (learner.place(found[0]), found[1].to(learner.device))

    def extra_update(self, losses: Callable[[Batch], Iterator[Loss]] | None = None, batch: Batch | None = None) -> None:
        self.learner.extra_update(self.batch() if batch is None else batch, self.seed(), losses)

    def shadow(self) -> "View":
        mine, twin = self.learner, copy(self.learner)
        twin.parts, twin.clock = deepcopy(mine.parts), dict(mine.clock)
        twin.pace, twin.targets, twin.tally = deepcopy(mine.pace), deepcopy(mine.targets), Tally(mine.device)
        twin.chain, twin.shadowy = Chain(), True
        twin.chain.start(twin.view, stream, twin.clock)
        return twin.view(self.rng)

    def pace(self, ratio: float) -> None:
        self.learner.pace.change(ratio, self.clock)

    def thin(self, keep: float) -> None:
        self.learner.chain.leave(lambda: self.learner.thin(keep))

    def refresh(self) -> None:
        rng = self.learner.generator(self.seed())
        self.learner.chain.leave(lambda: refresh(self.learner, rng))

    def teacher(self, path: str) -> Teacher:
        teachers = self.learner.teachers
        if path not in teachers:
            teachers[path] = read(path, self.learner)
        return teachers[path]


@torch.no_grad()
def refresh(learner: "Learner", rng: torch.Generator) -> None:
    """Priorities from the errors that the networks now have."""
    replay = learner.replay
    assert isinstance(replay, Prioritized)
    for batch in replay.everything(*learner.window):
        for loss in learner.losses(learner.place(batch), rng):
            if loss.td is not None:
                replay.reprioritize(batch.index, loss.td)
