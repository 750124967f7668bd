"""Several runs' scores as one: IQM, median, mean and optimality gap over games and seeds, with intervals.

`python -m runs.aggregate --out aggregate.png results/*/*/*` prints two tables and draws a picture. Runs of one agent,
its methods and its settings are pooled over games; several such configurations stand side by side, over the same games.
Each run gives its last evaluation, 0 as a random policy and 1 as the human; interval.py has the figures.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tyro.conf import Positional

from runs.compare import Band, Curve, Refused, command, curve, named, shared, treatment
from runs.directory import CONFIG
from runs.interval import FIGURES, Estimate, draw, estimate, figures, iqm
from runs.progress import say
from runs.scores import human_normalised
from runs.units import Count

NORMALISED, RAW = "hns/", "return/"


@dataclass(frozen=True)
class Aggregate:
    """Aggregate the evaluations of several runs over games and seeds"""

    runs: Positional[tuple[Path, ...]]
    """Run directories"""
    tag: str = "hns/eval"
    """hns/eval: human-normalised; any other is taken as it was recorded, e.g. return/eval where there is no human"""
    step: Count = 0
    """Agent steps of the evaluation; 0 takes each run's last"""
    games: str = ""
    """Only these, with commas between them; needed where configurations were not run on the same"""
    labels: str = ""
    """Names of the configurations, with commas between them, in the order of their first run; else their directories"""
    out: Path = Path("aggregate.png")
    """The picture (PNG)"""


class Run(NamedTuple):
    path: Path
    curve: Curve  # its evaluations


Games = dict[str, list[Run]]  # of one configuration, by the name of the game


def main(flags: Aggregate) -> None:
    if find_spec("rliable") is None:
        raise Refused("aggregates are computed by rliable: pip install -c constraints.txt -e '.[report]'")
    only = flags.games.split(",") if flags.games else []
    groups = pooled(flags.runs, flags.tag, only)
    names = named(groups, flags.labels)
    chosen = {names[key]: games for key, games in same_games(groups, only).items()}
    scores = {name: {game: ends(runs, flags.step) for game, runs in games.items()} for name, games in chosen.items()}
    kinds = FIGURES if flags.tag.startswith(NORMALISED) else FIGURES[:-1]  # a raw return has no optimum
    found = {name: estimate(list(games.values()), figures) for name, games in scores.items()}
    bands = {name: band for name, games in chosen.items() if (band := course(games, flags.step))}
    draw(found, kinds, bands, flags.tag, flags.out)
    for line in (*summary(found, kinds), "", *per_game(scores), *remarks(chosen, bands, flags), str(flags.out)):
        say(line)


def pooled(paths: Sequence[Path], tag: str, only: Sequence[str]) -> dict[str, Games]:
    """{agent, methods and settings: its runs by game}; a directory named twice counts once."""
    groups: dict[str, Games] = defaultdict(lambda: defaultdict(list))
    seeds: dict[tuple[str, str, int], Path] = {}
    for path in dict.fromkeys(p.resolve() for p in paths):
        game, seed = identity(path)
        games = groups[key := treatment(path)]
        if only and game not in only:
            continue
        if (twin := seeds.setdefault((key, game, seed), path)) != path:
            raise Refused(f"{path} and {twin} are both seed {seed} of {key} in {game}; leave one out")
        games[game].append(Run(path, evaluations(path, game, tag)))
    return dict(groups)


def identity(path: Path) -> tuple[str, int]:
    """Its game and its seed. Its settings are known by its name alone, so that must not have been chosen by hand."""
    try:
        config = json.loads((path / CONFIG).read_text())
        game, seed = str(config["env"]), int(config["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(f"{path} is not a run: it has no {CONFIG} with env and seed; name run directories") from None
    if not path.name.startswith(f"{seed}-"):
        raise Refused(
            f"{path} is not named <seed>-<hash>, which tells its settings; run it without --out, under --root"
        )
    return game, seed


def evaluations(path: Path, game: str, tag: str) -> Curve:
    """{agent step: score}, normalised here from raw returns if the tag asks for that."""
    normalised = tag.startswith(NORMALISED)
    recorded = tag.replace(NORMALISED, RAW, 1) if normalised else tag
    try:
        found = curve(path, recorded)
    except OSError as error:
        raise Refused(f"{path} has no record: {error.strerror}; run it again") from None
    if not found:
        raise Refused(f"{path} has no {recorded}; run it with --eval-every, or ask for another --tag")
    if broken := [step for step, value in found.items() if not math.isfinite(value)]:
        raise Refused(f"{path}: {recorded} at step {broken[0]:,.0f} is not finite; leave this run out")
    return {step: human(game, value) for step, value in found.items()} if normalised else found


def human(game: str, score: float) -> float:
    value = human_normalised(game.partition("@")[0], score)
    if value is None:
        raise Refused(f"{game} has no human score; leave it out, or aggregate raw returns by --tag {RAW}eval")
    return value


def same_games(groups: Mapping[str, Games], only: Sequence[str]) -> dict[str, Games]:
    """Every configuration with the games compared, in one order; a comparison over different games is refused."""
    every = sorted(set().union(*groups.values()))
    asked = only or every
    both = [game for game in every if all(game in games for games in groups.values())]
    for key, games in groups.items():
        if lacking := [game for game in asked if game not in games]:
            mend = f"--games {','.join(both)}" if both else "runs that share a game"
            raise Refused(f"{key} has no run of {', '.join(lacking)}: a comparison needs the same games; give {mend}")
    return {key: {game: games[game] for game in asked} for key, games in groups.items()}


def at(run: Run, step: float) -> float:
    if step not in run.curve:
        near = min(run.curve, key=lambda other: abs(other - step))
        raise Refused(f"{run.path} has no evaluation at step {step:,.0f}; the nearest is at {near:,.0f}")
    return run.curve[step]


def ends(runs: Sequence[Run], step: int) -> np.ndarray:
    """[R]: of each run its evaluation at a step, or its last for 0."""
    return np.array([at(run, step or max(run.curve)) for run in runs])


def course(games: Games, until: int) -> Band | None:
    """The IQM at the steps where every run was evaluated, up to `until` (0: all); None if these are fewer than two."""
    steps = [s for s in shared([run.curve for runs in games.values() for run in runs]) if s <= (until or s)]
    if len(steps) < 2:
        return None
    scores = [np.array([[run.curve[s] for s in steps] for run in runs]) for runs in games.values()]  # [R, T] each
    return np.array(steps), *estimate(scores, iqm)


def summary(found: Mapping[str, Estimate], kinds: Sequence[str]) -> Iterator[str]:
    """A line a configuration: its figures, each with its interval."""
    rows = [("", *kinds)]
    for name, (low, middle, high) in found.items():
        cells = [f"{m:.4g} [{a:.4g}, {b:.4g}]" for a, m, b in zip(low, middle, high, strict=True)]
        rows.append((name, *cells[: len(kinds)]))
    return columns(rows)


def per_game(scores: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    """A line a game: its mean score and number of runs, of each configuration."""
    rows = [("mean (runs)", *scores)]
    for game in next(iter(scores.values())):
        rows.append((game, *(f"{games[game].mean():.4g} ({len(games[game])})" for games in scores.values())))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each as wide as its longest cell; the first to the left."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        yield "   ".join([name.ljust(wide[0]), *(cell.rjust(w) for cell, w in zip(cells, wide[1:], strict=True))])


def remarks(chosen: Mapping[str, Games], bands: Mapping[str, Band], flags: Aggregate) -> Iterator[str]:
    """What a reader must know to trust these numbers."""
    last = {max(run.curve) for games in chosen.values() for runs in games.values() for run in runs}
    if not flags.step and len(last) > 1:
        yield f"the last evaluations are at steps {min(last):,.0f} to {max(last):,.0f}: --step compares at one"
    for name, games in chosen.items():
        counts = {len(runs) for runs in games.values()}
        if len(counts) > 1:
            yield f"{name}: {min(counts)} to {max(counts)} runs a game: IQM and gap weigh runs alike, not games"
        if 1 in counts:
            yield f"{name}: a game with one run adds nothing to the interval, which is too narrow"
        if name not in bands:
            yield f"{name}: no curve, its runs share fewer than two steps of evaluation"


if __name__ == "__main__":
    command(main, Aggregate)
