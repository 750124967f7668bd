"""What probes read off an agent at a step: in a run, and on its snapshots."""

from collections.abc import Mapping

from agents.learner import Learner
from agents.world import Row
from probes.base import Memory, Probe
from runs.rng import stream


def readings(agent: Learner, probes: Mapping[str, Probe], size: int, memory: dict[str, Memory], seed: int) -> Row:
    """{probe/<name>/<tag>: number} on one batch of `size` states; memory: of each probe that keeps something.

    They read only, and each draws from a stream of its own at this step.
    """
    row: Row = {}
    step = agent.clock["steps"]
    batch = agent.view(stream(seed, "probe", step)).batch(size)
    for name, probe in probes.items():
        subject, kept = agent.view(stream(seed, "probe", name, step)), memory.get(name, {})
        row |= {f"probe/{name}/{tag}".rstrip("/"): x for tag, x in probe.measure(subject, batch, kept).items()}
        if kept:
            memory[name] = kept
    return row
