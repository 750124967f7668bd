"""From a snapshot to an agent that probes can be asked about: networks, optimizer, clock and 4,096 transitions.

The run's replay and checkpoints are not needed. Only those methods are there that shape the networks.
"""

import json
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from agents.build import device, world
from agents.config import AgentConfig
from agents.flags import BadInput, Settings, arguments, parse, refusals
from agents.learner import Learner
from agents.world import World
from interventions.base import Intervention
from interventions.chain import Chain
from replay.batch import Batch
from replay.excerpt import Excerpt
from runs import snapshot
from runs.directory import CONFIG

MEND = "name a run that was started with --snapshot-every 100k"


class Frozen(NamedTuple):
    """A run's agent as it was at a step."""

    step: int
    learner: Learner
    settings: Settings
    states: Batch  # all transitions that were kept, as its networks take them
    optimizer: bool  # whether the optimizer's state was kept


def steps(run: Path) -> list[int]:
    """Agent steps of a run's snapshots; BadInput if it has none."""
    if not (run / CONFIG).is_file():
        raise BadInput(f"{run} is not a run directory; {MEND}")
    found = sorted(int(path.name) for path in (run / "snapshots").glob("*") if path.name.isdecimal())
    if not found:
        raise BadInput(f"{run} has no snapshots; {MEND}")
    return found


def settings_of(config: dict[str, Any]) -> tuple[type[Learner], Settings]:
    """The kind of agent and the command line that a config.json stands for, on this machine."""
    kind, flags = kinds(config["agent"])
    values = {key: value for key, value in config.items() if key != "agent"}
    return kind, parse(config["agent"], flags, arguments({**values, "device": "cpu"}))


def kinds(name: str) -> tuple[type[Learner], type[AgentConfig]]:
    """The agent and its config in agents/<name>.py."""
    rows = [x for x in vars(import_module(f"agents.{name}")).values() if isinstance(x, type)]
    mine = [x for x in rows if x.__module__ == f"agents.{name}"]
    (agent,) = [x for x in mine if issubclass(x, Learner)]
    (config,) = [x for x in mine if issubclass(x, AgentConfig)]
    return agent, config


@lru_cache(4)
def place(run: Path) -> World:
    """The environment or stream of a run, anew: its spaces are those of the networks."""
    with refusals():
        return world(settings_of(json.loads((run / CONFIG).read_text()))[1])


@lru_cache(2)
def thaw(run: Path, step: int) -> Frozen:
    """The agent of a snapshot. It is kept for the next question about it, which may not change it."""
    path = run / "snapshots" / f"{step:09d}"
    try:
        state, arrays = snapshot.load(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}); remove it, or copy it again") from error
    kind, settings = settings_of(state["config"])
    shaping = [m for m in settings.methods if type(m).on_build is not Intervention.on_build]
    with refusals():
        spec, seed = place(run).spec, settings.run.seed
        replay = Excerpt(arrays)
        learner = kind(spec, settings.config, replay, Chain(shaping), seed, device("cpu"))
    for name, part in learner.parts.items():
        saved = state["parts"][name]
        part.load_state_dict({**saved, "opt": saved["opt"] or part.state_dict()["opt"]})
    learner.clock.update(state["clock"])
    if learner.seen is not None:
        learner.seen.load_state_dict(state["seen"])
    optimizer = all(part["opt"] for part in state["parts"].values())
    return Frozen(step, learner, settings, learner.place(replay.batch), optimizer)
