"""A probe: reads a network on a batch of its replay and returns numbers; never writes, and draws from its own seed."""

from abc import ABC, abstractmethod

from nets.part import Subject
from replay.batch import Batch


class Probe(ABC):
    """The file's name is the tag: probes/norm.py returns {"": total, "torso.fc1": x} for probe/norm/torso.fc1."""

    @abstractmethod
    def measure(self, subject: Subject, batch: Batch) -> dict[str, float]:
        """{tag below probe/<file>: number}; NaN where the input is not finite; absent where undefined."""

    @classmethod
    def name(cls) -> str:
        return cls.__module__.rpartition(".")[2]
