"""Another run as a teacher (Agarwal et al. 2022, arXiv:2206.01626): its frozen networks, its score and its replay.

It is read from its last checkpoint and never written into ours. Its replay is restored when a batch of it is first
asked for, into a memory of its own capacity.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.memory import memory
from envs.tasks import split
from interventions import methods
from interventions.base import Intervention
from nets.part import Weights
from nets.subject import Subject
from replay.batch import Batch
from replay.uniform import Uniform
from runs import checkpoint, pack
from runs.record import METRICS, rows

if TYPE_CHECKING:
    from agents.learner import Learner

MEND = "name the directory of a finished run of the same agent"


@dataclass
class Past:
    """A run read from its last checkpoint (nets/subject.py: Teacher)."""

    learner: "Learner"
    loaded: checkpoint.Loaded
    config: dict[str, Any]
    weights: dict[str, Weights]
    digest: str
    tag: str
    score: float
    replay: Uniform | None = None

    def batch(self, size: int, subject: Subject) -> Batch:
        """[B] transitions of its replay with this agent's n and gamma; 0 is a minibatch's size."""
        learner, rng = self.learner, np.random.default_rng(subject.seed())
        self.replay = self.replay or self.restored()
        size = size or learner.learn.batch_size
        batch = learner.place(self.replay.peek(size, rng, *learner.window, learner.ahead))
        return batch._replace(index=batch.index[:0])

    def restored(self) -> Uniform:
        replay = memory(self.learner.spec, self.config["capacity"], self.config["num_envs"])
        for name, log in replay.logs().items():
            span = self.loaded.manifest.logs[name]
            log.load_state_dict({"start": span.start, "stop": span.stop})
            self.loaded.restore(name, log)
        return replay


def read(path: str, learner: "Learner") -> Past:
    """ValueError if the directory holds no checkpoint, or one of another agent, of other games or of other networks."""
    loaded, config = checkpoint.load(Path(path)), Path(path) / "config.json"
    if loaded is None or not config.is_file():
        raise ValueError(f"{path} holds no checkpoint; {MEND}")
    saved, mine = json.loads(config.read_text()), type(learner).__name__.lower()
    if saved["agent"] != mine:
        raise ValueError(f"{path} is a run of {saved['agent']}, this is {mine}; {MEND}")
    if not games(learner.spec.name) <= games(saved["env"]):
        raise ValueError(f"{path} is a run on {saved['env']}, this is on {learner.spec.name}; {MEND} on the same game")
    if learner.seen is not None or "seen" in loaded.state["agent"]:
        raise ValueError(f"{path}: the statistics of norm_obs are each run's own; leave --norm-obs out of both")
    nets = {name: state["net"] for name, state in loaded.state["agent"]["parts"].items()}
    check(path, nets, learner)
    device = learner.device
    weights: dict[str, Weights] = {part: {n: x.to(device) for n, x in net.items()} for part, net in nets.items()}
    tag, score = scored(Path(path))
    return Past(learner, replace(loaded, state={}), saved, weights, pack.digest(nets), tag, score)


def check(path: str, nets: Mapping[str, Weights], learner: "Learner") -> None:
    """ValueError where it has other parts, or tensors of other names or shapes."""
    mine = shapes({name: part.net.state_dict() for name, part in learner.parts.items()})
    theirs = shapes(nets)
    for name in sorted(mine.keys() | theirs.keys()):
        here, there = (str(net.get(name, "not there")) for net in (mine, theirs))
        if here != there:
            mend = "train the teacher with the same network flags"
            if "not there" in (here, there):
                adding = [n for n, kind in methods().items() if kind.on_build is not Intervention.on_build]
                mend += f" and the same of {', '.join(adding)}, which add to a network, or leave these out of both"
            raise ValueError(f"{path} has another network: {name} is {there} in it, {here} here; {mend}")


def games(env: str) -> set[str]:
    """Those of a sequence of tasks, without what is changed of them."""
    return {game for game, _ in split(env)}


def shapes(nets: Mapping[str, Weights]) -> dict[str, list[int]]:
    """{path of a tensor: its shape} over all parts."""
    return {f"{part}.{name}": list(x.shape) for part, net in nets.items() for name, x in net.items()}


def scored(path: Path) -> tuple[str, float]:
    """The tag and the number of its last evaluation: human-normalised where it has that."""
    every = list(rows(path)) if (path / METRICS).exists() else []
    for tag in ("hns/eval", "return/eval"):
        scores = [row[tag] for row in every if tag in row]
        if scores:
            return tag, scores[-1]
    return "return/eval", nan
