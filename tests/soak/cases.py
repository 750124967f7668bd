"""The command lines under test: two games, DQN alone or with every intervention, two sensitised profiles.

Greedy with epsilon .02 shows a wrong weight at once; random actions with sticky .9 show a wrong game at once. Something
is due every few dozen steps, so that every kill lies close to something unfinished.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

FIRING = ("37:updates", "53", "71", "41:updates", "2:episodes")  # in turn: nothing fires in step with anything else
SPECIAL = {"optreset": ["--optreset-every", "1:targets"], "redo": ["--redo-every", "29:updates", "--redo-batch", "32"]}
DUE = (
    "--warmup 60 --batch-size 8 --replay-ratio 0.5 --save-every 40 --record-every 30 --probe-every 70 "
    "--probe-batch 16 --eval-every 130 --eval-episodes 1 --snapshot-every 110"
)
ATARI = "--env Breakout --width 0.25 --hidden 32 --lr 1e-3 --capacity 200 --life-loss --noops 4 --max-frames 280"
CARTPOLE = "--env CartPole-v1 --hidden 24 --capacity 150"
GREEDY = "--epsilon-start 0.02 --epsilon-final 0.02 --init xavier"  # no bias: the action follows the observation
RANDOM = "--epsilon-start 1 --epsilon-final 1"
STICKY = "--sticky 0.9"
HARD = "--target-every 64"
MOVING = "--target-every 1:updates --target-tau 0.1 --optimizer rmsprop"
FANCY = "--double --head dueling --norm layer"
ALL = "--every-intervention"  # stands for the flags that switch them on, found when the line is made
PROCESS = "process"  # the case whose lives are processes of their own


@dataclass(frozen=True)
class Case:
    """A run of so many agent steps."""

    name: str
    steps: int
    flags: list[str] = field(repr=False)

    def line(self, out: Path) -> list[str]:
        """What stands behind `python -m agents.dqn`."""
        methods = switches() if ALL in self.flags else {}
        flags = [flag for flag in self.flags if flag != ALL] + [word for row in methods.values() for word in row]
        return [*flags, "--steps", str(self.steps), "--out", str(out)]


def cases() -> dict[str, Case]:
    """{name: case}; the number of environments, n, network and optimizer vary along the way."""
    alone, every = "--seed 1", f"--seed 2 {ALL}"
    rows = (
        case("atari-alone-greedy", 260, ATARI, "--fire", GREEDY, alone, HARD),
        case("atari-alone-random", 260, ATARI, RANDOM, STICKY, alone, HARD, FANCY, "--num-envs 2 --n-step 3"),
        case("atari-all-greedy", 260, ATARI, "--fire", GREEDY, every, HARD, "--num-envs 2 --n-step 3"),
        case("atari-all-random", 260, ATARI, RANDOM, STICKY, every, HARD),
        case("cartpole-alone-greedy", 500, CARTPOLE, GREEDY, alone, HARD, "--n-step 3"),
        case("cartpole-alone-random", 500, CARTPOLE, RANDOM, alone, MOVING, "--num-envs 3"),
        case("cartpole-all-greedy", 500, CARTPOLE, GREEDY, every, HARD, FANCY, "--num-envs 3"),
        case("cartpole-all-random", 500, CARTPOLE, RANDOM, every, HARD, "--n-step 3"),
        # Three environments seal a chunk of 256 rows, the real size, at step 768.
        case(PROCESS, 820, ATARI.replace("200", "1k"), RANDOM, STICKY, every, HARD, "--num-envs 3"),
    )
    return {row.name: row for row in rows}


def case(name: str, steps: int, *flags: str) -> Case:
    return Case(name, steps, " ".join([DUE, *flags]).split())


def switches() -> dict[str, list[str]]:
    """{intervention: the flags that switch it on}: a new file joins by itself."""
    from interventions import methods  # torch, which the first process of the soak can do without

    rows = enumerate(methods().items())
    return {name: SPECIAL.get(name) or switch(method, FIRING[i % len(FIRING)]) for i, (name, method) in rows}


def switch(method: Any, period: str) -> list[str]:
    """An intervention's first field, as the flag that turns it on."""
    from runs.units import Period

    first = fields(method)[0]
    flag = f"--{first.name.replace('_', '-')}"
    if isinstance(first.default, Period):
        return [flag, period]
    if isinstance(first.default, bool):
        return [flag]
    if isinstance(first.default, int | float):
        return [flag, "0.01" if isinstance(first.default, float) else "1"]
    raise ValueError(f"{flag}: say in SPECIAL of tests/soak/cases.py how it is switched on")
