"""An intervention: a frozen dataclass whose fields are its flags and whose methods are hook points of the loop.

make = on_build(part, make)                each part, before weights exist
state = init(subject)                      theta_0, norms, utilities
for now in interact(agent, env):           act, step, replay.add, count, yield
    evaluate, probe, snapshot, record what is due      sees the agent before any reset of this step; acting()
    save if due or asked                   the safe point; a resumed run enters here
    stop if asked, or clock["steps"] >= --steps
    chain.tick()                           apply() of what has fallen due in steps, episodes, tasks, or by a condition
    while the replay ratio owes an update: agent.update()
        before the first one: pretrain() as often as prelude() says, a safe point behind each

update:
    batch = before_update(replay.sample())
    for loss in losses(batch, rng):
        value = on_loss(loss, batch)
        opt.zero_grad(); value.backward(inputs=that part's parameters); after_backward(part, batch); clip; opt.step()
    clock["updates"] += 1; after_update(); targets: EMA, or a hard copy when due (clock["targets"] += 1)
    reprioritize with the td of the losses that carry one
    chain.tick()                           updates, targets, resets

tick: before_reset() of every method if one is `redrawing`; apply() of what is due, in order of reach;
    after_reset() of every method, with the names of the parameters that were redrawn (clock["resets"] += 1)
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, ClassVar

from torch import Tensor

from nets.part import Make, Weights
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import NOWHEN, Period, When

State = dict[str, Any]  # tensors, numbers, strings: saved with every checkpoint
Report = Mapping[str, Tensor | float]  # what a method did at one update; summed into one row per record interval


class Reach(IntEnum):
    """What a method rewrites, which is the order of firing at one point: a reset comes before what trims its result."""

    AVERAGE = 0  # a return to old weights comes before whatever draws some of them anew
    NETWORK = 1
    LAYER = 2
    UNIT = 3
    WEIGHT = 4
    NORM = 5
    LEARNING = 6  # extra updates: last, when all others have seen the new weights


@dataclass(frozen=True)
class Intervention:
    """First field: the switch, falsy for off. A field's name is its flag, with the file's name as prefix.

    A field <file>_when, if there is one, is a condition on which apply() falls due too, and a second switch.
    """

    reach: ClassVar[Reach]
    touches: ClassVar[str]  # one line of docs/methods.md
    redraws: ClassVar[bool] = False  # whether apply() can draw networks anew, so that others must know
    follows: ClassVar[bool] = False  # whether it acts after each reset that another method makes, and only then
    watches: ClassVar[bool] = False  # whether it reads subject.tape(part): activations and features of each update
    needs: ClassVar[str] = ""  # the flags without which it is refused, as typed; they may differ by agent
    clashes: ClassVar[str] = ""  # what it is refused with, for docs/methods.md
    excludes: ClassVar[Mapping[str, str]] = {}  # {another method: the sentence that says why not both}
    fires: ClassVar[str] = ""  # when it acts, for docs/methods.md, where the switch does not say it

    @classmethod
    def name(cls) -> str:
        return cls.__module__.rpartition(".")[2]

    @property
    def on(self) -> bool:
        return bool(getattr(self, fields(self)[0].name)) or bool(self.when)

    @property
    def period(self) -> Period | None:
        """When apply() falls due, if the switch is a Period."""
        switch = getattr(self, fields(self)[0].name)
        return switch if isinstance(switch, Period) else None

    @property
    def waits(self) -> bool:
        """Whether it acts only where another method draws networks anew."""
        return self.follows or (self.period is not None and self.period.unit == "resets" and not self.when)

    @property
    def when(self) -> When:
        """On what condition apply() falls due."""
        condition: When = getattr(self, f"{self.name()}_when", NOWHEN)
        return condition

    @property
    def unexamined(self) -> str:
        """The mend, where it reads evaluations and the run has none before its end; "" if it reads none."""
        return ""

    def refuse(self, subject: Subject) -> Iterator[str]:
        """Sentences that say why this cannot run on this agent, each with its mend."""
        yield from ()

    def redrawing(self, state: State, subject: Subject) -> bool:
        """Whether apply(), which has fallen due, will draw networks anew."""
        return self.redraws

    def on_build(self, part: str, make: Make) -> Make:
        return make

    def init(self, subject: Subject) -> State:
        return {}

    def prelude(self, state: State) -> tuple[int, int]:
        """How many updates it has made, and of how many, that come before the agent's first one."""
        return 0, 0

    def before_update(self, state: State, subject: Subject, batch: Batch) -> Batch:
        return batch

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        return loss.value

    def acting(self, state: State, subject: Subject, part: str) -> Weights | None:
        """Weights that act and are evaluated in place of a part's own."""
        return None

    # The hooks below are empty and called for the methods that fill them, hence no @abstractmethod.
    def pretrain(self, state: State, subject: Subject) -> None: ...

    def after_backward(self, state: State, subject: Subject, part: str, batch: Batch) -> Report | None: ...

    def after_update(self, state: State, subject: Subject) -> Report | None: ...

    def loaded(self, state: State, subject: Subject) -> None: ...  # the state, from a checkpoint

    def apply(self, state: State, subject: Subject) -> Report | None: ...

    def before_reset(self, state: State, subject: Subject) -> None: ...

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> Report | None: ...
