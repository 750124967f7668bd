"""Another run as a teacher (Agarwal et al. 2022, arXiv:2206.01626): its frozen networks, its score and its replay."""

from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nets.part import Subject, Weights
from replay.batch import Batch
from runs import checkpoint, pack
from runs.record import rows

if TYPE_CHECKING:
    from agents.learner import Learner


@dataclass
class Past:
    """A run read from its last checkpoint (nets/part.py: Teacher)."""

    learner: "Learner"
    loaded: checkpoint.Loaded
    weights: dict[str, Weights]
    digest: str
    score: float
    replay: Any = None  # read when it is first asked for

    def batch(self, size: int, subject: Subject) -> Batch:
        """Of its replay, drawn with the caller's stream."""
        raise NotImplementedError


def read(path: str, learner: "Learner") -> Past:
    """ValueError if the directory holds no checkpoint, or one of other networks."""
    loaded = checkpoint.load(Path(path))
    if loaded is None:
        raise ValueError(f"{path} holds no checkpoint; name the directory of a run that has saved one")
    nets = {name: state["net"] for name, state in loaded.state["agent"]["parts"].items()}
    scores = [row["return/eval"] for row in rows(Path(path)) if "return/eval" in row]
    return Past(learner, loaded, nets, pack.digest(nets), scores[-1] if scores else nan)
