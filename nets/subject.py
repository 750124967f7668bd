"""A Subject: all that an intervention or a probe may know of an agent; and the losses that an agent yields."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from gymnasium.spaces import Box
from torch import Tensor

from nets.anatomy import Tape
from nets.part import Part, Weights
from replay.batch import Batch

Error = Callable[[Tensor], Tensor]  # td -> the loss []
EMPTY: Mapping[str, Tensor] = {}


class Loss(NamedTuple):
    """What `Learner.losses` yields: the part to step and its loss [].

    Where values are regressed: td, goal minus prediction with its graph, [B] or [K, B] of an ensemble; goal [B]; and
    `of`, the function with value == of(td), so that a method may rescale the error. each: of a policy, what its loss
    is the mean of, [B].
    """

    part: str
    value: Tensor
    td: Tensor | None = None
    metrics: Mapping[str, Tensor] = EMPTY
    goal: Tensor | None = None
    of: Error | None = None
    each: Tensor | None = None


class Subject(Protocol):
    """What an intervention or a probe may know of an agent, seen through a generator of the caller's own."""

    @property
    def parts(self) -> Mapping[str, Part]: ...
    @property
    def clock(self) -> Mapping[str, int]:
        """steps, updates, targets, episodes, tasks, resets, extra."""
        ...

    @property
    def acts(self) -> bool:
        """Whether it acts in an environment, so that states follow each other and the replay grows."""
        ...

    @property
    def observation(self) -> Box:
        """The space of observations, as the environment gives them."""
        ...

    @property
    def ratio(self) -> float:
        """Updates per agent step."""
        ...

    @property
    def cycles(self) -> bool:
        """Whether n or gamma begin anew at each reset, so that values before and after one are of another return."""
        ...

    @property
    def prioritized(self) -> bool:
        """Whether the replay is drawn from by priority."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last recorded number of every tag, wall time excepted."""
        ...

    def tape(self, part: str) -> Tape:
        """What the update's own forward pass of a part showed; for methods that declare `watches`."""
        ...

    def run(self, part: str, batch: Batch, weights: Weights | None = None) -> Tensor:
        """How a part is called: its output on a batch, [B, ...], with other weights if they are given."""
        ...

    def losses(self, batch: Batch) -> Iterator[Loss]: ...
    def answer(self, batch: Batch, weights: Mapping[str, Weights] | None = None) -> Batch:
        """The same states with the actions that the agent's policy takes there, with other weights of its parts."""
        ...

    def seed(self) -> int:
        """A new seed from the caller's own stream."""
        ...

    def batch(self, size: int = 0) -> Batch:
        """A batch of the replay drawn with the caller's own stream, in memory of its own; 0 is a minibatch's size."""
        ...

    def augmented(self, batch: Batch) -> Batch:
        """The batch as the agent's own losses see it: changed by the methods that change nothing else, with draws of
        the caller's own stream."""
        ...

    def held(self, size: int) -> Batch | None:
        """As `batch`, of the episodes that --holdout keeps from every other batch; None if there are none."""
        ...

    def returns(self, size: int) -> tuple[Batch, Tensor] | None:
        """As `batch`, of recent transitions whose outcome is known, and the discounted return that the policy which
        acted had from each, [B]; None if there are none."""
        ...

    def extra_update(self, losses: Callable[[Batch], Iterator[Loss]] | None = None, batch: Batch | None = None) -> None:
        """One more minibatch, of the replay or this one, through the optimizers, billed in clock["extra"]: of these
        losses; or of the agent's own, with every hook, and its targets follow as if steps had passed."""
        ...

    def shadow(self) -> "Subject":
        """The same agent with copies of its parts, to be trained and thrown away; no intervention's hook is called."""
        ...

    def pace(self, ratio: float) -> None:
        """Change the replay ratio from here on."""
        ...

    def thin(self, keep: float) -> None:
        """Keep the newest fraction of the replay once all has fired that fires now; the warm-up begins again at 0."""
        ...

    def refresh(self) -> None:
        """Make the priorities of all that is stored anew once all has fired that fires now, from the errors that the
        networks then have: a forward pass of each transition, as it is stored."""
        ...

    def teacher(self, path: str) -> "Teacher":
        """Another run, read from its directory."""
        ...


class TeacherChanged(ValueError):
    """A run was resumed with another teacher than it began with."""

    code = 2


class Teacher(Protocol):
    """Another run's agent, frozen."""

    @property
    def weights(self) -> Mapping[str, Weights]:
        """Of each part."""
        ...

    @property
    def digest(self) -> str:
        """Of these weights."""
        ...

    @property
    def tag(self) -> str:
        """Under which its score is recorded: hns/eval where it has that, else return/eval."""
        ...

    @property
    def score(self) -> float:
        """Of its last evaluation; NaN if it has none."""
        ...

    def batch(self, size: int, subject: Subject) -> Batch:
        """Of its own replay, drawn with the caller's stream; `index` is empty, as it lies in no replay of ours."""
        ...
