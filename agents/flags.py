"""The command line: class default < preset < --config < flags typed. Every field of every config is one flag."""

import contextlib
import hashlib
import io
import json
import tomllib
from argparse import ArgumentParser
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tyro

from agents.config import EVALUATED, FREE, AgentConfig, RunConfig, deciding
from envs.make import GameSettings, canonical, family
from envs.streams import StreamSettings
from envs.tasks import TaskSettings
from interventions import methods
from interventions.base import Intervention
from runs.units import Period, When

PERIODS = "Periods: 100k (agent steps), 1k:updates, 20k,40k, 20k..100k (below 100k), never."
ELSEWHERE = ("config", "root", "out")  # where a run lies is not part of what it is


class BadInput(Exception):
    """A command line, config or setting that cannot be run; the message names the thing and the mend."""

    code = 2


@dataclass(frozen=True)
class Settings:
    """A command line, understood. flat: {flag: value as typed}; odd: those that differ from the class default; typed:
    of these, {flag: value before} of what the line itself changes, behind its preset and --config."""

    agent: str
    run: RunConfig
    game: GameSettings | StreamSettings
    tasks: TaskSettings
    config: AgentConfig
    methods: tuple[Intervention, ...]
    flat: Mapping[str, Any]
    odd: Mapping[str, Any]
    typed: Mapping[str, Any]

    @property
    def active(self) -> list[str]:
        return [m.name() for m in self.methods if m.on]

    @property
    def free(self) -> set[str]:
        """What may change on resume and is in no hash; what decides a number that a method acts on is not free."""
        acted = [name for m in self.methods if m.when for name in deciding(m.when.tag)]
        acted += [name for m in self.methods if m.on and m.unexamined for name in EVALUATED]
        return {*FREE, "steps"}.difference(acted)

    @property
    def directory(self) -> Path:
        """results/<env>/<agent+active interventions>/<seed>-<hash of the frozen settings that differ>."""
        if self.run.out:
            return Path(self.run.out)
        frozen = {k: v for k, v in self.odd.items() if k not in self.free and k not in ("env", "seed")}
        digest = hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:8]
        env = self.run.env.replace(":", "-").replace("/", "-")
        return Path(self.run.root) / env / "+".join([self.agent, *self.active]) / f"{self.run.seed}-{digest}"

    def saved(self) -> dict[str, Any]:
        """config.json: the agent and every flag as typed."""
        return {"agent": self.agent, **{k: v for k, v in self.flat.items() if k not in ELSEWHERE}}


def parse(agent: str, config: type[AgentConfig], argv: Sequence[str]) -> Settings:
    """Raises BadInput with all problems; --help prints and exits 0."""
    peek = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("env", "preset", "config"):
        peek.add_argument(f"--{name}", nargs="?")  # a missing value is for tyro to say
    typed = {k: v for k, v in vars(peek.parse_known_args(argv)[0]).items() if v is not None}
    kind = command_line(config)
    defaults = kind(run=RunConfig(env=config.home))
    filed = read_config(agent, typed.get("config", ""), dict(flatten(defaults)))
    with refusals():
        env = canonical(str(typed.get("env", filed.get("env", defaults.run.env))))
        preset, values = choose(config, env, str(typed.get("preset", filed.get("preset", ""))))
    base = understand(agent, kind, arguments(values), defaults, f"preset {preset}") if values else defaults
    base = understand(agent, kind, arguments(filed), base, f"--config {typed['config']}") if filed else base
    flags = understand(agent, kind, [*argv, f"--env={env}", f"--preset={preset}"], base, "")
    flat, plain, given = dict(flatten(flags)), dict(flatten(defaults)), dict(flatten(base))
    odd = {k: v for k, v in flat.items() if v != plain[k]}
    return Settings(
        agent=agent,
        run=flags.run,
        game=flags.game,
        tasks=flags.tasks,
        config=flags.agent,
        methods=tuple(getattr(flags, name) for name in methods()),
        flat=flat,
        odd=odd,
        typed={k: given[k] for k, v in odd.items() if v != given[k]},
    )


def command_line(config: type[AgentConfig]) -> Any:
    """The dataclass of all flags, built as a value: run, game, tasks, agent, and one group per intervention."""
    world = {"run": RunConfig, "game": config.world, "tasks": TaskSettings}
    kinds: dict[str, Any] = {**world, "agent": config, **methods()}
    return make_dataclass("Flags", [(n, k, field(default_factory=k)) for n, k in kinds.items()], frozen=True)


def choose(config: type[AgentConfig], env: str, preset: str) -> tuple[str, Mapping[str, Any]]:
    """The preset named, or the first of the environment's family; its values."""
    kin, presets = family(env), config.presets
    mine = [name for name, (families, _) in presets.items() if kin in families.split(",")]
    preset = preset or next(iter(mine), "none")
    if preset == "none":
        return preset, {}
    if preset not in presets:
        raise ValueError(f"no preset {preset!r}; {nearest(preset, [*presets, 'none'])}")
    if preset not in mine:
        families = presets[preset][0].replace(",", " and ")
        use = " or ".join(mine or ["none"])
        raise ValueError(f"preset {preset} is for {families} environments; {env} is {kin}: use {use}")
    return preset, presets[preset][1]


def read_config(agent: str, path: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """{flag: value as typed} of a TOML file or a run's config.json; every unknown key is named with its nearest."""
    if not path:
        return {}
    try:
        text = Path(path).read_text()
        values = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"--config {path}: {error.strerror}; name a TOML file or a run's config.json") from None
    except ValueError as error:
        raise BadInput(f"--config {path} is neither TOML nor JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadInput(f"--config {path}: not a table of flags")
    other = values.pop("agent", agent)
    problems = [f"this is a config of agents.{other}, not of agents.{agent}"] if other != agent else []
    problems += [f"no flag {key!r}; {nearest(key, list(known))}" for key in values if key not in known]
    problems += [f"{key}: {v!r} is not a value" for key, v in values.items() if isinstance(v, dict) or v is None]
    if problems:
        raise BadInput("\n".join(f"--config {path}: {p}" for p in problems))
    return {k: v for k, v in values.items() if k not in ELSEWHERE}


def arguments(values: Mapping[str, Any]) -> list[str]:
    """{"life_loss": True, "hidden": [64, 64]} -> ["--life-loss", "--hidden", "64", "64"]."""
    rows: list[str] = []
    for key, value in values.items():
        name = key.replace("_", "-")
        if isinstance(value, bool):
            rows.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list | tuple):
            rows += [f"--{name}", *map(str, value)]
        else:
            rows.append(f"--{name}={value}")
    return rows


def understand(agent: str, kind: Any, args: Sequence[str], default: Any, source: str) -> Any:
    """tyro over `default`; what it prints of an error becomes one line that begins with the source."""
    said = io.StringIO()
    marks = [tyro.conf.OmitArgPrefixes]
    if not {"-h", "--help"} & set(args):
        marks.append(tyro.conf.HelptextFromCommentsOff)  # reading the help off the sources takes half of the time
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                prog=f"python -m agents.{agent}",
                description=f"Train {agent} with any interventions. {PERIODS}",
                args=list(args),
                default=default,
                config=tuple(marks),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise BadInput((f"{source}: " if source else "") + sentence(said.getvalue(), dict(flatten(default)))) from None


def sentence(box: str, known: Collection[str]) -> str:
    """tyro's framed message without title, frame and help text; where stdout is not UTF-8 the frame is of dashes."""
    lines = [line.strip(" │") for line in box.splitlines()[1:]]
    rules = [i for i, line in enumerate(lines) if i and line and not line.strip("─-")]
    said = " ".join(x for x in (lines[: rules[0]] if rules else lines) if x.strip("-"))
    said = said[:-2] + "." if said.endswith(" .") else said  # a full stop that was wrapped onto a line of its own
    odd = [word.strip("-,").partition("=")[0] for word in said.split() if word.startswith("--")]
    near = get_close_matches(odd[0].replace("-", "_"), known, 1) if odd and "nrecognized" in said else []
    return said + (f"; did you mean --{near[0].replace('_', '-')}?" if near else "")


def flatten(settings: Any) -> Iterator[tuple[str, Any]]:
    """(flag, value as typed) of every field of a nested dataclass."""
    for f in fields(settings):
        value = getattr(settings, f.name)
        if isinstance(value, Period | When):
            yield f.name, str(value)
        elif is_dataclass(value):
            yield from flatten(value)
        else:
            yield f.name, list(value) if isinstance(value, tuple) else value


def nearest(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """A ValueError inside names a setting that cannot be run."""
    try:
        yield
    except ValueError as error:
        raise BadInput(str(error)) from error
