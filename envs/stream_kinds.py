"""What one task of each kind of labelled stream is: inputs, labels and test set, from data, a seed and its number.

- labels (Zhang et al. 2017, arXiv:1611.03530; Lyle et al. 2023, arXiv:2303.01486): fixed images, random labels; each
  task draws a fraction of the labels anew, uniformly over the classes. Kumar et al. 2023 permute the label vector
  instead, which keeps the counts of the classes. No test set: there is nothing to generalise to.
- pixels (Goodfellow et al. 2013, arXiv:1312.6211; Dohare et al. 2024): true labels, one permutation of the pixels per
  task, the first included; of colour images the positions move, not the channels.
- shuffle (Elsayed & Mahmood 2024, arXiv:2404.00781): true classes under other names, one permutation of the names per
  task, the first included. Nothing has to be memorised, so it is a control.
- warm (Ash & Adams 2020, arXiv:1910.08475): first half of the training images, then all of them, in every later task.
  As there, a third of the data is the test set.
- classes (Dohare et al. 2024): images of the first (task + 1) * increment classes in an order drawn from the seed,
  until all are seen; tested on the classes seen. They mask the outputs of unseen classes; here all outputs compete.

pixels, shuffle and classes are tested on the data's own test images, or on a held-out fifth (envs/data.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from envs.data import Data, held_out

ORDER, IMAGES, LABELS, PIXELS, CLASSES, TARGET, FLIPS, BITS = range(8)  # what a generator is for


Labelled = tuple[Tensor, Tensor]  # inputs [n, *O], labels [n]


class Task(NamedTuple):
    """Training examples, inputs [n, *O] and labels [n], and a test set."""

    inputs: Tensor
    labels: Tensor
    test: Labelled | None = None


class Choice(Protocol):
    """What the kinds read of StreamSettings."""

    @property
    def images(self) -> int: ...
    @property
    def relabel(self) -> float: ...
    @property
    def increment(self) -> int: ...


Draw = Callable[[int, int], Task]  # (task, epoch) -> its examples; images are the same in every epoch


@dataclass(frozen=True)
class Problem:
    """A sequence of tasks; `endless` if each epoch has examples of its own."""

    source: str
    observation: Box
    action: Discrete | Box
    draw: Draw
    endless: bool = False


def generator(seed: int, *key: int) -> np.random.Generator:
    """A generator that depends on the seed and the key only: generator(0, LABELS, task)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def labels(data: Data, settings: Choice, seed: int) -> Draw:
    images = data.images[_chosen(data, settings.images, seed)[1]]
    redrawn = round(settings.relabel * len(images))

    def draw(task: int, epoch: int) -> Task:
        y = np.empty(len(images), np.int64)
        for each in range(task if redrawn == len(y) else 0, task + 1):
            rng = generator(seed, LABELS, each)
            which = rng.permutation(len(y))[: redrawn if each else None]
            y[which] = rng.integers(data.classes, size=len(which))
        return Task(images, torch.from_numpy(y))

    return draw


def pixels(data: Data, settings: Choice, seed: int) -> Draw:
    train, test = _true(data, settings, seed)

    def draw(task: int, epoch: int) -> Task:
        order = torch.from_numpy(generator(seed, PIXELS, task).permutation(train[0][0, 0].numel()))
        x, seen = (each.flatten(2)[:, :, order].view_as(each) for each in (train[0], test[0]))
        return Task(x, train[1], (seen, test[1]))

    return draw


def shuffle(data: Data, settings: Choice, seed: int) -> Draw:
    train, test = _true(data, settings, seed)

    def draw(task: int, epoch: int) -> Task:
        renamed = torch.from_numpy(generator(seed, CLASSES, task).permutation(data.classes))
        return Task(train[0], renamed[train[1]], (test[0], renamed[test[1]]))

    return draw


def warm(data: Data, settings: Choice, seed: int) -> Draw:
    tests, which = _chosen(data, settings.images, seed, reserved=len(data.labels) // 3)
    x, y, test = data.images[which], data.labels[which], (data.images[tests], data.labels[tests])

    def draw(task: int, epoch: int) -> Task:
        n = len(y) if task else len(y) // 2
        return Task(x[:n], y[:n], test)

    return draw


def classes(data: Data, settings: Choice, seed: int) -> Draw:
    if settings.increment > data.classes:
        raise ValueError(
            f"increment is {settings.increment}, but must be at most {data.classes}, {data.name}'s classes"
        )
    train, test = _true(data, settings, seed)
    order = torch.from_numpy(generator(seed, CLASSES).permutation(data.classes))

    def draw(task: int, epoch: int) -> Task:
        seen = order[: (task + 1) * settings.increment]
        known = torch.isin(train[1], seen)
        tested = torch.isin(test[1], seen)
        return Task(train[0][known], train[1][known], (test[0][tested], test[1][tested]))

    return draw


KINDS: dict[str, Callable[[Data, Choice, int], Draw]] = {
    "labels": labels,
    "pixels": pixels,
    "shuffle": shuffle,
    "warm": warm,
    "classes": classes,
}


def images_problem(kind: str, data: Data, settings: Choice, seed: int) -> Problem:
    """The problem of one of KINDS; the images are chosen from the seed, once."""
    box = Box(0, 255, tuple(data.images.shape[1:]), np.uint8)
    return Problem(data.source, box, Discrete(data.classes), KINDS[kind](data, settings, seed))


def _true(data: Data, settings: Choice, seed: int) -> tuple[Labelled, Labelled]:
    """The chosen training images with their own labels, and the test set."""
    whole = held_out(data)
    assert whole.test is not None
    which = _chosen(whole, settings.images, seed)[1]
    return (whole.images[which], whole.labels[which]), whole.test


def _chosen(data: Data, images: int, seed: int, reserved: int = 0) -> tuple[Tensor, Tensor]:
    """`reserved` random positions, and `images` of the others, all if 0."""
    order = torch.from_numpy(generator(seed, IMAGES).permutation(len(data.labels)))
    if images > len(order) - reserved:
        left = len(order) - reserved
        raise ValueError(f"images is {images}, but {data.name} has {left} here; write at most {left}, or 0 for all")
    return order[:reserved], order[reserved:][: images or None]
