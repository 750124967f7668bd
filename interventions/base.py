"""An intervention: a frozen dataclass whose fields are its flags and whose methods are hook points of the loop.

make = on_build(part, make)                each part, before weights exist
state = init(subject)                      theta_0, norms, utilities
for now in interact(agent, env):           act, step, replay.add, count, yield
    evaluate, probe, snapshot, record what is due      sees the agent before any reset of this step
    save if due or asked                   the one safe point; a resumed run enters here
    stop if asked, or clock["steps"] >= --steps
    chain.tick()                           apply() of what has fallen due in steps, episodes, tasks
    while the replay ratio owes an update: agent.update()

update:
    batch = before_update(replay.sample())
    for loss in losses(batch, rng):
        value = on_loss(loss, batch)
        opt.zero_grad(); value.backward(inputs=that part's parameters); after_backward(part, batch); clip; opt.step()
    clock["updates"] += 1; after_update(); targets: EMA, or a hard copy when due (clock["targets"] += 1)
    reprioritize with the td of the losses that carry one
    chain.tick()                           updates, targets
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, ClassVar

from torch import Tensor

from nets.part import Loss, Make, Subject
from replay.batch import Batch
from runs.units import Period

State = dict[str, Any]  # tensors, numbers, strings: saved with every checkpoint


class Reach(IntEnum):
    """What a method rewrites, which is the order of firing at one point: a reset comes before what trims its result."""

    NETWORK = 0
    LAYER = 1
    UNIT = 2
    WEIGHT = 3
    NORM = 4


@dataclass(frozen=True)
class Intervention:
    """First field: the switch, falsy for off. A field's name is its flag, with the file's name as prefix."""

    reach: ClassVar[Reach]
    touches: ClassVar[str]  # one line of docs/methods.md

    @classmethod
    def name(cls) -> str:
        return cls.__module__.rpartition(".")[2]

    @property
    def switch(self) -> Any:
        return getattr(self, fields(self)[0].name)

    @property
    def period(self) -> Period | None:
        """When apply() falls due, if the switch is a Period."""
        return self.switch if isinstance(self.switch, Period) else None

    def refuse(self, subject: Subject) -> Iterator[str]:
        """Sentences that say why this cannot run on this agent, each with its mend."""
        yield from ()

    def on_build(self, part: str, make: Make) -> Make:
        return make

    def init(self, subject: Subject) -> State:
        return {}

    def before_update(self, state: State, subject: Subject, batch: Batch) -> Batch:
        return batch

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        return loss.value

    # The empty hooks below are called for every active method, hence no @abstractmethod.
    def after_backward(self, state: State, subject: Subject, part: str, batch: Batch) -> None: ...

    def after_update(self, state: State, subject: Subject) -> None: ...

    def apply(self, state: State, subject: Subject) -> None: ...
