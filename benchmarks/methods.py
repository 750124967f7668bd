"""What each intervention costs: an update with it on over one without, or a firing, for Nature-DQN and SAC."""

from collections.abc import Iterator
from dataclasses import fields
from statistics import median

import torch

from agents.build import build, problems
from agents.config import AgentConfig
from agents.dqn import DQN, DQNConfig
from agents.flags import parse
from agents.learner import Learner
from agents.sac import SAC, SACConfig
from benchmarks.pieces import seconds
from interventions import methods
from interventions.base import Intervention
from runs.units import Period

AGENTS: dict[str, tuple[type[Learner], type[AgentConfig], list[str]]] = {
    "dqn": (DQN, DQNConfig, ["--env=Pong", "--warmup=200", "--capacity=2k"]),
    "sac": (SAC, SACConfig, ["--env=HalfCheetah", "--warmup=200", "--capacity=2k"]),
}
ROUNDS, UPDATES = 9, {"dqn": 10, "sac": 20}  # alternations, and updates in each: whole cycles of what is kept for 10
TYPICAL = {  # first fields that are numbers, at the value of their source
    "l2init": 1e-2,
    "wasserstein": 1e-3,
    "spectral": 1e-4,
    "parseval": 1e-3,
    "featurerank": 1e-3,
    "dr3": 0.1,
    "infer": 0.1,
    "churn": 100.0,
    "popart": 3e-4,
    "softshrink": 1e-6,
    "snr": 0.01,
    "clip": 2.0,
    "amplitude": 0.6,
}


def made(name: str, flags: list[str]) -> Learner | str:
    """An agent with 300 steps in its replay and a few updates; or why there is none."""
    kind, config, common = AGENTS[name]
    settings = parse(name, config, [*common, *flags])
    try:
        if wrong := problems(settings):
            raise ValueError("; ".join(wrong))
        world, agent = build(kind, settings)
    except ValueError as error:
        return str(error)
    world.begin()
    for _ in world.loop(agent):
        if agent.clock["steps"] >= 300:
            break
    for _ in range(5):
        agent.update()
    return agent


def switch(name: str, method: type[Intervention]) -> list[str] | None:
    """Flags that turn a method on without letting it fire; None where it needs another run to learn from."""
    first = fields(method)[0]
    flag = f"--{first.name.replace('_', '-')}"
    if isinstance(first.default, str):
        return None
    match first.default:
        case Period():
            on = f"{flag}=1M:updates"
        case bool():
            on = flag
        case int():
            on = f"{flag}=1"
        case _:
            on = f"{flag}={TYPICAL.get(name, 0.1)}"
    return [on, *beside(method)]


def beside(method: type[Intervention]) -> list[str]:
    """What it cannot do without, a reset that never comes included."""
    reset = ["--reset-every=1M:updates"] if method.follows else []
    return [*method.needs.split(), *reset, *(["--project-norms=any"] if method.name() == "project" else [])]


def costs(name: str) -> Iterator[tuple[str, str]]:
    """(method, its cost in words) on one agent."""
    bare: dict[str, Learner] = {}
    for method, kind in methods().items():
        flags = switch(method, kind)
        if flags is None:
            continue
        needs = kind.needs  # an optimizer, say, which the plain agent then has too
        if needs not in bare:
            plain = made(name, needs.split())
            if isinstance(plain, str):
                yield method, f"refused: {plain}"
                continue
            bare[needs] = plain
        agent = made(name, flags)
        if isinstance(agent, str):
            yield method, f"refused: {agent}"
            continue
        yield method, cost(bare[needs], agent, UPDATES[name])


def cost(without: Learner, agent: Learner, updates: int) -> str:
    """In one run, in turn; a firing is timed on its own, its event row included."""
    pairs = [(seconds(agent.update, 1, updates), seconds(without.update, 1, updates)) for _ in range(ROUNDS)]
    text = f"update {median(a / b for a, b in pairs):.3f} x"
    link = agent.chain.links[-1]
    if link.method.period and len(agent.chain.links) == 1:
        text += f", firing {1e3 * seconds(link.fire, 3):.1f} ms of an update's {1e3 * median(b for _, b in pairs):.1f}"
    return text


def table() -> Iterator[str]:
    torch.set_num_threads(1)
    for name in AGENTS:
        for method, text in costs(name):
            yield f"{name:4} {method:14} {text}"
