"""A stream of labelled data as a world: what was learned of each task, and how fast."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from agents.config import RunConfig
from agents.learner import Learner
from agents.world import Row, World
from envs.streams import Stream, StreamSettings, make_stream
from envs.tasks import TaskSettings
from replay.batch import labelled
from runs.progress import say
from runs.rng import draw_seed, stream

GOOD = 0.95  # an epoch's mean accuracy while learning, from which a task counts as learned
CHUNK = 1_000  # examples in one forward pass of an examination


class School(World):
    """Owns the stream. A step is one minibatch; a task's row is written when it ends."""

    def __init__(self, run: RunConfig, game: StreamSettings, tasks: TaskSettings, batch_size: int) -> None:
        if run.num_envs != 1:
            raise ValueError(f"{run.env} is one stream of data; num_envs {run.num_envs} is for environments")
        every = tasks.task_every
        if every.at or every.until or every.unit != "steps" or tasks != TaskSettings(every):
            raise ValueError("a stream of labelled data knows one task flag, a period: --task-every 7.5k")
        seed = draw_seed(stream(run.seed, "env"))
        self.data = make_stream(run.env, game, every.n, seed, batch_size)
        self.spec, self.about, self.until = self.data.spec, self.data.source, game.task_until
        self.rows: list[Row] = []
        self.epoch: dict[str, Tensor] = {}  # sums over the updates of this epoch
        self.task: dict[str, Tensor] = {}  # and of this task
        self.reached = 0  # updates until an epoch's accuracy was .95; 0 for not yet

    def replay(self) -> Stream:
        return self.data

    def begin(self) -> None:
        """Nothing: a stream begins with its first task."""

    def loop(self, agent: Learner, resumed: bool = False) -> Iterator[None]:
        while True:
            yield
            agent.clock["steps"] += 1
            add(self.epoch, agent.tally.latest)
            self.data.step_done()
            if (self.data.epoch_done or self.data.due) and self.graded(agent):
                self.rows.append(self.report(agent))
                self.task, self.reached = {}, 0
                self.data.turn()
                agent.clock["tasks"] += 1

    def graded(self, agent: Learner) -> bool:
        """The epoch's sums join the task's; whether the task is over."""
        add(self.task, self.epoch)
        accuracy = float(self.epoch.get("accuracy", 0)) / self.data.per_epoch  # while learning
        self.epoch = {}
        if accuracy >= GOOD and not self.reached:
            self.reached = self.data.step
        return self.data.due or (self.until > 0 and accuracy >= self.until)

    def report(self, agent: Learner) -> Row:
        """A task's row: means over its updates (the areas under its curves) and an examination at its end."""
        row = {f"task/{name}": float(total) / self.data.step for name, total in self.task.items()}
        row |= {f"task/final/{name}": x for name, x in self.examine(agent).items()}
        return row | {"task/number": float(self.data.task), "task/to_95": float(self.reached or math.nan)}

    def examine(self, agent: Learner) -> Row:
        """Mean losses and metrics over all training examples of this task, and over its test set if there is one."""
        sets = {"train": self.data.train, "test": self.data.test}
        return {f"{tag}/{kind}": x for kind, pair in sets.items() if pair for tag, x in mean(agent, *pair).items()}

    def news(self, agent: Learner) -> list[Row]:
        rows, self.rows = self.rows, []
        return rows

    def evaluate(self, agent: Learner, stop: Callable[[], bool]) -> Row | None:
        row = {f"eval/{name}": x for name, x in self.examine(agent).items()}
        say(
            f"step {agent.clock['steps']:,}, task {self.data.task}: "
            + ", ".join(f"{k} {x:.3g}" for k, x in row.items())
        )
        return row

    def closing(self) -> list[Row]:
        return []

    def state_dict(self) -> dict[str, Any]:
        """The stream itself is the agent's replay and is saved with it."""
        sums = {"epoch": list(self.epoch.items()), "task": list(self.task.items())}  # pairs: a tag is no key
        return {kind: [list(pair) for pair in rows] for kind, rows in sums.items()} | {"reached": self.reached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.task, self.reached = dict(state["epoch"]), dict(state["task"]), state["reached"]


def add(sums: dict[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums[name] + value if name in sums else value


@torch.no_grad()
def mean(agent: Learner, inputs: Tensor, labels: Tensor) -> Row:
    """Of the losses and metrics over examples [n, *O], [n], without learning from them."""
    totals: dict[str, float] = {}
    for start in range(0, len(labels), CHUNK):
        batch = agent.place(labelled(inputs[start : start + CHUNK], labels[start : start + CHUNK]))
        for loss in agent.exam(batch):
            for name, value in {f"loss/{loss.part}": loss.value, **loss.metrics}.items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(batch.action)
    return {name: total / len(labels) for name, total in totals.items()}
