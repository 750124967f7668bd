"""Streams of labelled data: a sequence of supervised tasks that one network learns in turn, minibatch by minibatch.

A name is kind:data, e.g. labels:mnist. What a task of each kind is stands in envs/stream_kinds.py and
envs/stream_bits.py, and where the data come from in envs/data.py. A stream answers what a replay is asked
(replay/base.py). Every task, epoch and minibatch is a pure function of the seed, so a stream is saved as three numbers.

An epoch visits each training example once; a last partial minibatch is dropped, as in the code of Kumar et al. 2023
(skumar9876/L2_Init, @9bd21f7), which also drops a last full one: 74 of 1,200 examples in 16s, here 75.
"""

import difflib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

import dm_env
import numpy as np
import torch
from torch import Tensor

from envs.ale import plain
from envs.data import NAMES, load
from envs.spec import EnvSpec
from envs.stream_bits import bits_problem
from envs.stream_kinds import KINDS, ORDER, Labelled, Problem, generator, images_problem
from replay.batch import Batch, labelled
from runs.units import Count, broken

DRIFT = "drift:bits"
ONLY = {"relabel": ["labels"], "increment": ["classes"], "task_until": list(KINDS), "data_dir": list(KINDS)}


@dataclass(frozen=True)
class StreamSettings:
    """Streams of labelled data"""

    data_dir: str = ""
    """Where MNIST, Fashion-MNIST, CIFAR-10 or other idx files lie"""
    images: Count = 1_200
    """Training examples; 0 for all; drift:bits has so many new ones per epoch (Kumar et al. 2023: 1,200)"""
    relabel: float = 1.0
    """Fraction of the labels that labels:* draws anew at each task (Lyle et al. 2024, arXiv:2402.18762: 1, .01)"""
    increment: int = 2
    """Classes that classes:* adds at each task (Dohare et al. 2024: 5 of 100)"""
    task_until: float = 0.0
    """The task changes as soon as an epoch's mean online accuracy is this; 0 for never (Ash & Adams 2020: .99)"""

    def problems(self) -> list[str]:
        rules = {
            "images": (self.images >= 0, "at least 0"),
            "relabel": (0 <= self.relabel <= 1, "in [0, 1]"),
            "increment": (self.increment > 0, "at least 1"),
            "task_until": (0 <= self.task_until <= 1, "in [0, 1]"),
        }
        return broken(self, rules)


def names() -> list[str]:
    """["labels:mnist", "labels:fashion", ..., "drift:bits"]."""
    return [f"{kind}:{data}" for kind in KINDS for data in NAMES] + [DRIFT]


def canonical(name: str) -> str | None:
    """ "Labels:MNIST" -> "labels:mnist"; None if it is no stream; ValueError if the kind is one, but not its data."""
    kind, data = (plain(part) for part in name.partition(":")[::2])
    known = [each.partition(":")[2] for each in names() if each.startswith(f"{kind}:")]
    if not known:
        return None
    if data not in known:
        near = difflib.get_close_matches(data, known, n=1) or known
        raise ValueError(f"no data {data!r} for {kind}; write {' or '.join(f'{kind}:{each}' for each in near)}")
    return f"{kind}:{data}"


class Stream:
    """A sequence of tasks; `step` minibatches of task number `task` have been trained on.

    `train` holds the present task's examples, `test` its test set; drift:bits has other examples in every epoch.
    """

    def __init__(self, name: str, problem: Problem, every: int, seed: int, batch_size: int) -> None:
        self.spec = EnvSpec(name, problem.observation, problem.action)
        self.num_envs, self.source = 1, problem.source
        self.train: Labelled
        self.test: Labelled | None
        self._problem, self._every, self._seed, self._size = problem, every, seed, batch_size
        self.task, self.step = 0, 0
        self._begin()
        self._checksum = zlib.crc32(self.train[0].numpy())

    def __len__(self) -> int:
        """Training examples of the present task."""
        return len(self.train[1])

    def add(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> NoReturn:
        raise ValueError(f"{self.spec.name} is a stream of labelled data; nothing can be added to it")

    def sample(
        self,
        size: int,
        rng: np.random.Generator,
        n: int = 1,
        gamma: float = 0.99,
        out: Batch | None = None,
        k: int = 0,
    ) -> Batch:
        """The minibatch of the present step, whatever rng, n and gamma, until step_done. `out` comes from `buffer`."""
        if size != self._size:
            raise ValueError(f"{self.spec.name} has minibatches of {self._size}, not {size}; use peek for another size")
        first = self.step % self.per_epoch * size
        return self._gather(self._order[first : first + size], self.buffer(size) if out is None else out)

    def peek(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99, k: int = 0) -> Batch:
        """Examples of the present task, uniformly with replacement, in memory of their own; nothing moves."""
        return self._gather(torch.from_numpy(rng.integers(len(self), size=size)), self.buffer(size))

    def held(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> None:
        """Nothing is held out; a test set is examined at the end of each task."""

    def returns(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> None:
        """Nothing follows."""

    def buffer(self, size: int, n: int = 0, k: int = 0) -> Batch:
        """A Batch to pass as `out`: no reward, nothing follows, all of weight 1."""
        return labelled(*(each.new_empty((size, *each.shape[1:])) for each in self.train))

    def excerpt(self, size: int, rng: np.random.Generator, n: int = 1, gamma: float = 0.99) -> dict[str, np.ndarray]:
        """What `peek` draws, each input once; replay/excerpt.py makes it a Batch again."""
        index = rng.integers(len(self), size=size)
        used, rows = np.unique(index, return_inverse=True)
        rows, nothing = rows.astype(np.int32), np.zeros(size, np.float32)
        x, y = self.train[0][torch.from_numpy(used)].numpy(), self.train[1].numpy()[index]
        return {"frames": x, "obs": rows, "next_obs": rows, "action": y, "reward": nothing, "discount": nothing}

    @property
    def epoch_done(self) -> bool:
        """Whether the last step_done ended an epoch."""
        return self.step > 0 and self.step % self.per_epoch == 0

    @property
    def due(self) -> bool:
        """Whether the minibatches of the task are used up."""
        return 0 < self._every <= self.step

    def step_done(self) -> None:
        """The present minibatch has been trained on."""
        self.step += 1
        if self.step % self.per_epoch == 0:
            self._begin_epoch()

    def turn(self) -> None:
        """The next task begins."""
        self.task, self.step = self.task + 1, 0
        self._begin()

    def logs(self) -> Mapping[str, Any]:
        return {}

    def reprioritize(self, index: Tensor, td: Tensor) -> None:
        """Nothing: an epoch visits each example once."""

    def thin(self, keep: float = 0.0) -> None:
        """Nothing: the data stay."""

    def state_dict(self) -> dict[str, Any]:
        return {"task": self.task, "step": self.step, "checksum": self._checksum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["checksum"] != self._checksum:
            raise ValueError(f"the state was saved with other data than {self.source}; restore these, or start anew")
        self.task, self.step = state["task"], state["step"]
        self._begin()

    def _begin(self) -> None:
        """Everything that depends on task and step."""
        x, y, self.test = self._problem.draw(self.task, 0)
        if len(y) < self._size:
            raise ValueError(
                f"task {self.task} of {self.spec.name} has {len(y)} examples, fewer than a minibatch of {self._size}"
            )
        self.train, self.per_epoch = (x, y), len(y) // self._size
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        epoch = self.step // self.per_epoch
        if self._problem.endless:
            self.train = self._problem.draw(self.task, epoch)[:2]
        order = generator(self._seed, ORDER, self.task, epoch).permutation(len(self))
        self._order = torch.from_numpy(order)

    def _gather(self, index: Tensor, out: Batch) -> Batch:
        torch.index_select(self.train[0], 0, index, out=out.obs)
        torch.index_select(self.train[1], 0, index, out=out.action)
        out.index.copy_(index)
        return out


def make_stream(name: str, settings: StreamSettings, every: int, seed: int, batch_size: int) -> Stream:
    """A stream whose tasks last `every` minibatches of `batch_size` examples, or for ever if 0."""
    found = canonical(name)
    if found is None:
        raise ValueError(f"no stream {name!r}; write e.g. labels:mnist or {DRIFT}")
    kind, _, data = found.partition(":")
    problems = settings.problems() + _misplaced(settings, kind)
    least = (("every", every, 0), ("batch_size", batch_size, 1))
    problems += [f"{word} is {value}, but must be at least {n}" for word, value, n in least if value < n]
    if problems:
        raise ValueError("; ".join(problems))
    if found == DRIFT:
        problem = bits_problem(settings.images, seed)
    else:
        problem = images_problem(kind, load(data, settings.data_dir), settings, seed)
    return Stream(found, problem, every, seed, batch_size)


def _misplaced(settings: StreamSettings, kind: str) -> list[str]:
    changed = {f.name for f in fields(settings) if getattr(settings, f.name) != f.default}
    return [
        f"{word} is a setting of {', '.join(kinds)}; {kind} has none"
        for word, kinds in ONLY.items()
        if word in changed and kind not in kinds
    ]
