"""From settings to a world and an agent that learns in it."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from difflib import get_close_matches

import torch

from agents.arena import Arena
from agents.config import EVALUATED, PROBED, RECORDED, deciding
from agents.flags import Settings, flatten, nearest
from agents.learner import Learner
from agents.school import School
from agents.world import World
from envs.streams import StreamSettings
from interventions.chain import Chain
from nets.anatomy import Network
from probes import chosen
from probes.norm import matrix


def problems(settings: Settings) -> list[str]:
    """Every problem of a command line that can be seen without building it."""
    rows = settings.run.problems() + settings.config.problems()
    tries: tuple[Callable[[], object], ...] = (lambda: world(settings), lambda: device(settings.run.device))
    for make in tries:
        try:
            make()
        except ValueError as error:
            rows += str(error).splitlines()
    rows += [*unheard(settings), *unread(settings), *unexamined(settings)]
    capacity, envs = settings.config.rl.capacity, settings.run.num_envs
    return rows + ([f"capacity {capacity} holds no transition of {envs} envs"] if capacity < 2 * envs else [])


def unheard(settings: Settings) -> list[str]:
    """A sentence for each condition on a number that this run will not record."""
    run, every, problems = settings.run, chosen("all"), []
    measured = {*(chosen(run.probes) if run.probe_every else ()), *(chosen(run.deep_probes) if run.deep_every else ())}
    for method in (m for m in settings.methods if m.when):
        tag = method.when.tag
        probe = tag.removeprefix("probe/").partition("/")[0]
        if probe in measured or deciding(tag) != PROBED:
            continue
        if probe in every:
            mend = f"; measure it by --probe-every and --probes, or --deep-every and --deep-probes {probe}"
        else:
            mend = f"; {nearest(tag, [*every, *RECORDED])}"
        problems.append(f"{method.name()}_when: no number {tag!r} is recorded{mend}")
    return problems


def unexamined(settings: Settings) -> Iterator[str]:
    """A sentence for each method that reads evaluations, or waits for one, of a run whose first would come at its last
    step or never."""
    run, active = settings.run, [m for m in settings.methods if m.on]
    if run.eval_every.crossed(run.steps - 1):
        return
    readers = {fields(m)[0].name: m.unexamined for m in active if m.unexamined}
    waiting = [m for m in active if m.when and deciding(m.when.tag) == EVALUATED]
    readers |= {f"{m.name()}_when": "evaluate earlier" for m in waiting}
    for flag, mend in readers.items():
        yield f"{flag}: no evaluation comes before the end (eval_every {run.eval_every}); {mend}"


def unread(settings: Settings) -> Iterator[str]:
    """A sentence for each flag typed that nothing reads, of the optimizer or of a method that is off; presets, and
    files that runs share, may set it."""
    yield from settings.config.learn.optim.unread(settings.typed)
    for method in (m for m in settings.methods if not m.on):
        switch, *rest = (f.name for f in fields(method))
        switches = [switch, *(name for name in rest if name == f"{method.name()}_when")]
        words = " or ".join(f"--{name.replace('_', '-')}" for name in switches)
        yield from (f"{name} does nothing without {words}" for name in rest if name in settings.typed)


def world(settings: Settings) -> World:
    """Where the agent learns; ValueError names every setting that it cannot take."""
    run, game, tasks, config = settings.run, settings.game, settings.tasks, settings.config
    if isinstance(game, StreamSettings):
        return School(run, game, tasks, config.learn.batch_size)
    return Arena(run, game, tasks, config.rl)


def build(kind: type[Learner], settings: Settings) -> tuple[World, Learner]:
    """ValueError names every setting that this environment or agent cannot take."""
    place = world(settings)
    kind.accepts(place.spec)
    chain, where = Chain(settings.methods), device(settings.run.device)
    agent = kind(place.spec, settings.config, place.replay(), chain, settings.run.seed, where)
    if wrong := list(misnamed(settings, agent)):
        raise ValueError("\n".join(wrong))
    return place, agent


def misnamed(settings: Settings, agent: Learner) -> Iterator[str]:
    """A sentence for each condition on a layer, weight or part that the agent does not have. Of a probe's tag only a
    last word with a dot is sure to be a path; a loss is a part's, or a term with a weight of its own (spr_weight)."""
    several = len(agent.parts) > 1
    paths = {f"{name}.{x}" if several else x for name, part in agent.parts.items() for x in named(part.net)}
    terms = [key.removesuffix("_weight") for key, _ in flatten(settings.config) if key.endswith("_weight")]
    for method in (m for m in settings.methods if m.when):
        tag = method.when.tag
        first, _, word = tag.partition("/")
        if first in ("loss", "grad"):
            known = [*agent.parts, *(terms if first == "loss" else ())]
        elif deciding(tag) == PROBED and "." in tag.rpartition("/")[2]:
            first, _, word = tag.rpartition("/")
            known = sorted(paths)
        else:
            continue
        if word not in known:
            near = nearest(tag, [f"{first}/{x}" for x in known])
            yield f"{method.name()}_when: no number {tag!r} is recorded; {near}"


def named(net: Network) -> list[str]:
    """What the tags of probes call its layers and its weights."""
    return [layer.name for layer in net.layers()] + [matrix(x) for x, p in net.named_parameters() if p.ndim > 1]


def device(name: str) -> torch.device:
    """auto takes a GPU if there is one."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if here["cuda"] else "cpu")
    kind, _, number = name.partition(":")
    if kind not in here or not (number.isdecimal() or not number):
        near = get_close_matches(kind, here, 1)
        raise ValueError(
            f"no device {name!r}; " + (f"did you mean {near[0]}?" if near else "write auto, cpu or cuda:0")
        )
    if not here[kind] or (kind == "cuda" and int(number or 0) >= torch.cuda.device_count()):
        raise ValueError(f"device {name} is not available on this machine; use --device auto or cpu")
    return torch.device(name)
