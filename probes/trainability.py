"""Trainability: how well the network fits sines of 1e5 times a random network, beside fresh networks on the same task
(Lyle et al. 2023, arXiv:2303.01486). The only number of a run that is plasticity itself.

This is the probe of a run in progress: on the first states that it was given, with a small budget. `python -m
agents.probe trainability` does the same to snapshots with a budget that decides (docs/algorithms.md).
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nets.subject import Subject
from probes.base import Cost, Memory, Probe, parts_of
from probes.fit import Trial, score
from probes.targets import Pool, parts_to_fit, pool
from replay.batch import Batch, labelled

UPDATES, BATCH, REPEATS = 500, 64, 2  # of a fit in a run (ours; Lyle et al. 2023: 2,000 updates, 10 repeats)
STATES = 256  # to fit; the rest of --probe-batch is held out
FRESH = 3  # fresh networks per repeat


class Trainability(Probe):
    """1 - loss / variance of the targets after the fit, that of fresh networks, and the gap: fresh minus own."""

    cost: ClassVar[Cost] = "dear"

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        if not memory:
            memory |= first(subject, batch)
        states = remembered(memory)
        for prefix, name, _ in parts_of(subject):
            if name in parts_to_fit(subject) and len(states.held.obs):
                row |= self.fitted(subject, name, prefix.rstrip("."), states, memory)
        return row

    def fitted(self, subject: Subject, name: str, tag: str, states: Pool, memory: Memory) -> dict[str, float]:
        """The numbers of a part; none where the targets do not vary."""
        trial, repeats = Trial(name, updates=UPDATES, batch=BATCH, seed=memory["seed"]), range(REPEATS)
        records = trial.run(subject, states, repeats)
        if not all(record["const"] > 0 for record in records):
            return {}
        if name not in memory["fresh"]:
            rows = [record for j in range(FRESH) for record in trial.run(subject, states, repeats, draw=j)]
            memory["fresh"][name] = float(np.mean([score(record) for record in rows]))
        mine, fresh = float(np.mean([score(record) for record in records])), memory["fresh"][name]
        if not math.isfinite(mine):
            mine = fresh = math.nan
        return {tag: mine, f"{tag}/fresh".lstrip("/"): fresh, f"{tag}/gap".lstrip("/"): fresh - mine}


def first(subject: Subject, batch: Batch) -> Memory:
    """What stays for the whole run, so that its numbers can be compared: states, seed and the fresh networks' score."""
    states = pool(batch, STATES)
    kept = {kind: {"obs": x.obs, "action": x.action} for kind, x in states._asdict().items()}
    return {"seed": subject.seed() % 2**31, "states": kept, "fresh": {}}


def remembered(memory: Mapping[str, Any]) -> Pool:
    return Pool(*(labelled(memory["states"][kind]["obs"], memory["states"][kind]["action"]) for kind in Pool._fields))
