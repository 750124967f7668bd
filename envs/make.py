"""From a name on the command line to an Env: which family it is of, what it is really called, and N games of it."""

import difflib
from collections.abc import Callable
from dataclasses import fields
from typing import Literal

from envs import ale, control, toy
from envs.atari import AtariGame, AtariSettings
from envs.batch import Games
from envs.spec import Game

Family = Literal["atari", "control", "toy"]
FAMILIES: dict[Family, Callable[[str], str | None]] = {
    "atari": ale.canonical,
    "control": control.canonical,
    "toy": toy.canonical,
}


def canonical(name: str) -> str:
    """ "montezuma_revenge" -> "MontezumaRevenge", "cartpole" -> "CartPole-v1"."""
    return _find(name)[1]


def family(name: str) -> Family:
    return _find(name)[0]


def make_env(name: str, num_envs: int = 1, settings: AtariSettings | None = None) -> Games:
    """`num_envs` games of one environment; every problem of the arguments in one ValueError."""
    which, name = _find(name)
    settings = settings or AtariSettings()
    problems = _problems(settings) + ([] if which == "atari" else _misplaced(settings, name))
    if num_envs < 1:
        problems.append(f"num_envs is {num_envs}, but must be at least 1")
    if problems:
        raise ValueError("; ".join(problems))
    return Games([_game(which, name, settings) for _ in range(num_envs)])


def _game(which: Family, name: str, settings: AtariSettings) -> Game:
    if which == "atari":
        return AtariGame(name, ale.Console(ale.games()[name]), settings)
    return control.make_control(name) if which == "control" else toy.make_toy(name)


def _find(name: str) -> tuple[Family, str]:
    for which, known_as in FAMILIES.items():
        if found := known_as(name):
            return which, found
    raise ValueError(f"no environment {name!r}; {_suggestion(name)}")


def _suggestion(name: str) -> str:
    known = {ale.plain(each): each for each in (*ale.games(), *control.ids(), *toy.NAMES)}
    near = difflib.get_close_matches(ale.plain(name), known, n=1)
    return f"did you mean {known[near[0]]}?" if near else "write e.g. MontezumaRevenge, CartPole-v1 or toy:catch"


def _problems(settings: AtariSettings) -> list[str]:
    least = {"noops": 0, "frame_skip": 1, "max_frames": 1}
    found = [
        f"{name} is {value}, but must be at least {n}"
        for name, n in least.items()
        if (value := getattr(settings, name)) < n
    ]
    if not 0 <= settings.sticky <= 1:
        found.insert(0, f"sticky is {settings.sticky}, but must lie in [0, 1]")
    return found


def _misplaced(settings: AtariSettings, name: str) -> list[str]:
    changed = [f.name for f in fields(settings) if getattr(settings, f.name) != f.default]
    if not changed:
        return []
    are = "is an Atari setting" if len(changed) == 1 else "are Atari settings"
    return [f"{', '.join(changed)} {are}; {name} has none"]
