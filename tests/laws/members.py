"""Every member the laws hold for, found by walking the packages: a new file is under the laws without an edit."""

import random
from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import iter_modules
from tempfile import mkdtemp
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import agents
from agents.build import build, problems
from agents.config import AgentConfig
from agents.flags import Settings, parse
from agents.learner import Learner
from agents.main import run
from agents.world import World
from interventions import methods
from nets.encoders import NetConfig
from runs import pack
from runs.checkpoint import load
from runs.record import rows
from runs.units import Period

COMMON = [
    *("--width=0.25", "--hidden", "96", "--batch-size=8", "--lr=3e-4", "--record-every=20", "--eval-every=never"),
    *("--probe-batch=64", "--probe-every=never", "--save-every=never", "--root=out"),
]
ACTING = ["--capacity=300", "--warmup=40", "--replay-ratio=0.5", "--target-every=25", "--num-envs=2", "--n-step=3"]
LABELS = ["--images=60", "--task-every=30"]
ENVS = ("toy:chain", "toy:catch", "CartPole-v1", "toy:reach", "toy:look", "labels:generated", "drift:bits")
STEADY = {"drq": ["--eps=1.5e-4"]}  # of its few units many are dead: where optreset zeroes v a step is lr m / eps
EARLY = {  # so that they act within the laws' few updates, on any network
    "adaptratio": ["--adaptratio-gap=0.5"],
    "cbp": ["--cbp-maturity=5"],
    "dash": ["--dash-batches=2", "--dash-size=8"],
    "generations": ["--generations-updates=5"],
    "project": ["--project-norms=any"],
    "regrama": ["--regrama-tau=0.3"],
    "qdagger": ["--qdagger-updates=3", "--eval-every=50"],
    "snr": ["--snr-tau-max=5"],
}


def agents_of() -> dict[str, tuple[type[Learner], type[AgentConfig]]]:
    """{name: (agent, config)} of every module in agents/ that defines both."""
    found = {}
    for module in iter_modules(agents.__path__):
        mine = [x for x in vars(import_module(f"agents.{module.name}")).values() if isinstance(x, type)]
        mine = [x for x in mine if x.__module__ == f"agents.{module.name}"]
        kinds = [x for x in mine if issubclass(x, Learner) and x is not Learner]
        configs = [x for x in mine if issubclass(x, AgentConfig) and x is not AgentConfig]
        if kinds and configs:
            found[module.name] = (kinds[0], configs[0])
    return found


AGENTS = agents_of()
METHODS = methods()


def derived(name: str) -> bool:
    """Whether it is another agent with something more."""
    return Learner not in AGENTS[name][0].__bases__


def kin(name: str) -> bool:
    """Whether it is another agent with other defaults, no code of its own: make test then takes fewer of its laws."""
    return derived(name) and not any(
        callable(x) for key, x in vars(AGENTS[name][0]).items() if not key.startswith("__")
    )


def case(name: str, *rest: Any, slow: bool = False) -> Any:
    """A row of pytest's parameters; of a kin, or if it is slow, for make laws alone."""
    return pytest.param(name, *rest, marks=[pytest.mark.slow] if slow or kin(name) else [])


def small(name: str) -> list[str]:
    """Flags that make an agent small and quick."""
    wide = (
        ["--encoder-width=2", "--spr-steps=2"] if "encoder_width" in {f.name for f in fields(net_config(name))} else []
    )
    place = ACTING if "rl" in {f.name for f in fields(AGENTS[name][1])} else LABELS
    return [*COMMON, *wide, *place, *STEADY.get(name, [])]


def net_config(name: str) -> type[NetConfig]:
    """The network's flags of an agent."""
    return type(AGENTS[name][1]().net)


def choices(kind: Any) -> dict[str, list[Any]]:
    """{field: its values} of every Literal field of a dataclass."""
    hints = get_type_hints(kind)
    return {f.name: list(get_args(hints[f.name])) for f in fields(kind) if "Literal" in str(get_origin(hints[f.name]))}


@cache
def past(name: str, env: str, *flags: str) -> Path:
    """The directory of a short run of an agent that another may take as its teacher."""
    out = Path(mkdtemp(prefix="past-")) / "run"
    trained(name, out, env, 60, "--eval-every=50", "--eval-episodes=1", *flags)
    return out


def switched_on(method: str, name: str = "dqn", env: str = "toy:catch") -> list[str]:
    """Flags that switch a method on: firing every 7 updates, or with its first field at .1, at 3, or at another run."""
    kind = METHODS[method]
    switch = fields(kind)[0]
    flag = f"--{switch.name.replace('_', '-')}"
    match switch.default:
        case Period():
            on = f"{flag}=7:updates"
        case bool():
            on = flag
        case str():
            on = f"{flag}={past(name, env)}"
        case int():
            on = f"{flag}=3"
        case _:
            on = f"{flag}=0.1"
    return [on, *EARLY.get(method, []), *beside(method)]


def beside(method: str) -> list[str]:
    """Flags without which a method is refused: what it needs, and a reset for one that waits for resets."""
    return [*METHODS[method].needs.split(), *(["--reset-every=7:updates"] if METHODS[method].follows else [])]


def turns(method: str) -> list[str]:
    """A flag for each value of each Literal field of a method, and one for each of its bools, but the switch."""
    kind = METHODS[method]
    values = [f"--{k.replace('_', '-')}={v}" for k, row in choices(kind).items() for v in row]
    bools = [f for f in fields(kind)[1:] if isinstance(f.default, bool)]
    return values + [f"--{'no-' * f.default}{f.name.replace('_', '-')}" for f in bools]


def variants(method: str, name: str = "dqn", env: str = "toy:catch") -> list[list[str]]:
    """Flags of a method switched on, once for each of its turns."""
    on = switched_on(method, name, env)
    return [[*on, flag] for flag in turns(method)] or [on]


@cache
def together(name: str, env: str) -> tuple[str, ...]:
    """As many methods at once as bear each other: each joins, in the order of their names, unless it is refused."""
    flags: tuple[str, ...] = ()
    for method in METHODS:
        more = tuple(switched_on(method, name, env))
        if taken(name, env, *flags, *more):
            flags += more
    return flags


def combinations(name: str) -> list[list[str]]:
    """Every combination of the network's Literal flags; 64 of them if there are more."""
    table = choices(net_config(name))
    rows = list(product(*table.values()))
    rows = random.Random(0).sample(rows, min(64, len(rows)))
    return [[f"--{k.replace('_', '-')}={v}" for k, v in zip(table, row, strict=True)] for row in rows]


def nets(name: str) -> list[list[str]]:
    """The default network, each Literal flag's values one at a time, and six combinations of them all."""
    alone = [[f"--{k.replace('_', '-')}={v}"] for k, values in choices(net_config(name)).items() for v in values[1:]]
    return [[], *alone, *random.Random(0).sample(combinations(name), 6)]


@cache
def parsed(name: str, *flags: str) -> Settings:
    return parse(name, AGENTS[name][1], flags)


def dressed(name: str, *flags: str) -> Settings:
    """As `parsed`, but Literal flags of the network are set on what was read: reading takes longer than the updates."""
    table, net, rest = choices(net_config(name)), {}, []
    for flag in flags:
        key, _, value = flag.removeprefix("--").partition("=")
        if value in table.get(key.replace("-", "_"), []):
            net[key.replace("-", "_")] = value
        else:
            rest.append(flag)
    settings = parsed(name, *rest)
    return replace(settings, config=replace(settings.config, net=replace(settings.config.net, **net)))


def taken(name: str, env: str, *flags: str) -> tuple[World, Learner] | None:
    """(world, agent) of a small command line; None if it is refused with a sentence."""
    kind, _ = AGENTS[name]
    settings = dressed(name, f"--env={env}", "--preset=none", *small(name), *flags)
    try:
        if wrong := problems(settings):
            raise ValueError(wrong)
        return build(kind, settings)
    except ValueError as error:
        assert str(error)
        return None


@cache
def homes(name: str) -> list[str]:
    """The environments of ENVS in which an agent learns."""
    return [env for env in ENVS if taken(name, env)]


@cache
def home(name: str) -> str:
    """One of them, of images if there is one: where the product of everything is too much for all."""
    images = [env for env in homes(name) if len(taken(name, env)[0].spec.observation.shape) == 3]  # type: ignore[index]
    return [*images, *homes(name)][0]


def learn(agent: Learner, world: World, updates: int) -> None:
    """The loop of agents/main.py without a session."""
    world.begin()
    for _ in world.loop(agent):
        agent.chain.tick()
        while agent.owed() > 0 and agent.clock["updates"] < updates:
            agent.update()
        if agent.clock["updates"] >= updates:
            return


def trained(name: str, out: Path, env: str, steps: int, *flags: str) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """A real run: (state of its last checkpoint, replay rows and all, and metrics rows without wall time)."""
    kind, config = AGENTS[name]
    line = [f"--env={env}", "--preset=none", *small(name), *flags, f"--steps={steps}", f"--out={out}"]
    assert run(kind, config, line) == 0
    loaded = load(out)
    assert loaded is not None
    _, fresh = build(kind, parsed(name, *line))
    fresh.load_state_dict(loaded.state["agent"])
    state = dict(loaded.state)
    for log_name, log in fresh.replay.logs().items():
        loaded.restore(log_name, log)
        state[f"log {log_name}"] = log.rows(log.start, log.stop)
    timeless = [{k: v for k, v in row.items() if not k.startswith("speed/")} for row in rows(out)]
    return state, timeless


def same(a: Any, b: Any) -> bool:
    return pack.digest({"x": a}) == pack.digest({"x": b})
