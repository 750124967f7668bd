"""A probe: reads a network on a batch of its replay and returns numbers; never writes, and draws from its own seed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from nets.part import Part
from nets.subject import Subject
from replay.batch import Batch

Cost = Literal["cheap", "mid", "dear"]  # for every 10k steps; every 100k updates; about ten times a run
Memory = dict[
    str, Any
]  # tensors, numbers, strings: what a probe keeps from one time to the next; saved with checkpoints


class Probe(ABC):
    """The file's name is the tag: probes/norm.py returns {"": total, "torso.fc1": x} for probe/norm/torso.fc1.

    What must be trained or changed is `subject.shadow()`: an agent of copies. A number that is undefined is absent.
    """

    cost: ClassVar[Cost] = "cheap"

    @abstractmethod
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        """{tag below probe/<file>: number}; NaN where the input is not finite; absent where undefined."""

    @classmethod
    def name(cls) -> str:
        return cls.__module__.rpartition(".")[2]


def parts_of(subject: Subject) -> Iterator[tuple[str, str, Part]]:
    """(prefix of its tags, name, part): "critic." where there are several parts, "" for the only one."""
    for name, part in subject.parts.items():
        yield f"{name}." if len(subject.parts) > 1 else "", name, part
