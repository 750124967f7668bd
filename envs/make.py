"""From a name on the command line to an Env: which family it is of, what it is really called, and N games of it."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Literal

from envs import ale, control, mujoco, pixels, suite, toy
from envs.atari import AtariGame, AtariSettings
from envs.batch import Games
from envs.pixels import PixelSettings
from envs.spec import EnvSpec, Game
from envs.tasks import Task, TaskSequence, TaskSettings, changed, split


def _labelled(name: str) -> str | None:
    from envs import streams  # with torch, which no game needs

    return streams.canonical(name)


GameSettings = AtariSettings | PixelSettings
Family = Literal["atari", "control", "toy", "mujoco", "dmc", "data"]
FAMILIES: dict[Family, Callable[[str], str | None]] = {
    "atari": ale.canonical,
    "control": control.canonical,
    "toy": toy.canonical,
    "mujoco": mujoco.canonical,
    "dmc": suite.canonical,
    "data": _labelled,
}


def canonical(name: str) -> str:
    """ "montezuma_revenge" -> "MontezumaRevenge", "pong,breakout@mode=4" -> "Pong,Breakout@mode=4"."""
    return _spelled(_find(name)[1])


def family(name: str) -> Family:
    return _find(name)[0]


def make_env(
    name: str, num_envs: int = 1, settings: GameSettings | None = None, tasks: TaskSettings | None = None
) -> Games:
    """`num_envs` games of one environment or sequence; every problem of the arguments in one ValueError."""
    which, sequence = _find(name)
    settings, tasks = _equipped(which, sequence, settings or AtariSettings()), tasks or TaskSettings()
    problems = _problems(which, settings, _spelled(sequence))
    problems += tasks.problems() + _untimely(tasks, sequence)
    if num_envs < 1:
        problems.append(f"num_envs is {num_envs}, but must be at least 1")
    if which == "data":
        problems = [f"{_spelled(sequence)} is a stream of labelled data; use python -m agents.classifier"]
    if problems:
        raise ValueError("; ".join(problems))
    makes = tuple(partial(_game, which, task, settings) for task in sequence)
    first = [make() for make in makes]
    _agree([game.spec for game in first], sequence)
    turns = TaskSequence(
        tuple(map(str, sequence)), makes, tuple(task.reward for task in sequence), tasks.task_every, tasks.task_cycle
    )
    return Games([first[0], *(makes[0]() for _ in range(1, num_envs))], turns)


def examination(name: str, task: int, num_envs: int, settings: GameSettings) -> Games:
    """Fresh games of the visit `task` of a sequence, with its action space: as in training, but a lost life never ends
    a game."""
    which, sequence = _find(name)
    if isinstance(settings, AtariSettings):
        settings = replace(settings, life_loss=False)
    settings = _equipped(which, sequence, settings)
    return make_env(str(sequence[task % len(sequence)]), num_envs, settings)


def _game(which: Family, task: Task, settings: GameSettings) -> Game:
    if isinstance(settings, PixelSettings):
        return pixels.make(task.game, settings) if which == "dmc" else toy.make_toy(task.game)
    if which == "atari":
        console = ale.Console(ale.games()[task.game], task.mode, task.difficulty, settings.full_actions)
        return AtariGame(task.game, console, settings)
    if which == "mujoco":
        return mujoco.make(task.game, task.friction)
    if which == "dmc":
        return suite.make(task.game)
    return control.make_control(task.game) if which == "control" else toy.make_toy(task.game)


def _find(name: str) -> tuple[Family, list[Task]]:
    """The family of a sequence and its tasks; one environment is a sequence of one."""
    found = [(*_known(game), options) for game, options in split(name)]
    which, first, _ = found[0]
    for other, game, _ in found[1:]:
        if other != which:
            raise ValueError(f"{first} is of family {which}, {game} of family {other}; a sequence needs one family")
    if which == "data" and len(found) > 1:
        raise ValueError(f"{first} is a stream that changes its task by itself; write it alone, without a comma")
    return which, [changed(game, which, options) for _, game, options in found]


def _known(name: str) -> tuple[Family, str]:
    for which, known_as in FAMILIES.items():
        if found := known_as(name):
            return which, found
    raise ValueError(f"no environment {name!r}; {_suggestion(name)}")


def _suggestion(name: str) -> str:
    known = {ale.plain(each): each for each in (*ale.games(), *control.ids(), *mujoco.ids(), *toy.NAMES)}
    near = difflib.get_close_matches(ale.plain(name), known, n=1)
    return f"did you mean {known[near[0]]}?" if near else "write e.g. MontezumaRevenge, CartPole-v1 or toy:catch"


def _spelled(sequence: Sequence[Task]) -> str:
    return ",".join(map(str, sequence))


def _equipped(which: Family, sequence: Sequence[Task], settings: GameSettings) -> GameSettings:
    """Different Atari games have no actions in common but the full set."""
    several = which == "atari" and len({task.game for task in sequence}) > 1
    return replace(settings, full_actions=True) if several and isinstance(settings, AtariSettings) else settings


def _agree(specs: Sequence[EnvSpec], sequence: Sequence[Task]) -> None:
    """One network sees and plays all tasks."""

    def spaces(spec: EnvSpec) -> str:
        seen, action = spec.observation, spec.action
        return f"{seen.dtype}{list(seen.shape)} and {action}"

    for spec, task in zip(specs, sequence, strict=True):
        if spaces(spec) != spaces(specs[0]) or spec.stack != specs[0].stack:
            raise ValueError(
                f"a sequence needs one observation and action space, but {sequence[0]} has {spaces(specs[0])}, "
                f"{task} {spaces(spec)}"
            )


def _problems(which: Family, settings: GameSettings, name: str) -> list[str]:
    if isinstance(settings, AtariSettings):
        return _unplayable(settings) + ([] if which == "atari" else _misplaced(settings, name, "Atari"))
    if which not in ("dmc", "toy"):
        return [f"pictures are drawn of tasks of dm_control, e.g. dmc:walker-walk; {name} is of family {which}"]
    return settings.problems() + ([] if which == "dmc" else _misplaced(settings, name, "picture"))


def _unplayable(settings: AtariSettings) -> list[str]:
    least = {"noops": 0, "frame_skip": 1, "max_frames": 1}
    found = [
        f"{name} is {value}, but must be at least {n}"
        for name, n in least.items()
        if (value := getattr(settings, name)) < n
    ]
    if not 0 <= settings.sticky <= 1:
        found.insert(0, f"sticky is {settings.sticky}, but must lie in [0, 1]")
    return found


def _misplaced(settings: GameSettings, name: str, kind: str) -> list[str]:
    odd = [f.name for f in fields(settings) if getattr(settings, f.name) != f.default]
    if not odd:
        return []
    article = "an" if kind == "Atari" else "a"
    are = f"is {article} {kind} setting" if len(odd) == 1 else f"are {kind} settings"
    return [f"{', '.join(odd)} {are}; {name} has none"]


def _untimely(tasks: TaskSettings, sequence: Sequence[Task]) -> list[str]:
    """A sequence without a time for its tasks, or a time without a sequence."""
    name = _spelled(sequence)
    if len(sequence) > 1:
        return [] if tasks.task_every else [f"{name} needs --task-every, e.g. 1M"]
    odd = [f.name for f in fields(tasks) if getattr(tasks, f.name) != f.default]
    return [f"{', '.join(odd)} needs a sequence of tasks, e.g. {name},{name}@reward=0"] if odd else []
