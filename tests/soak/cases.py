"""The command lines under test: each agent alone or with every intervention, in sensitised profiles.

What acts sharply (epsilon .02, a small deviation) shows a wrong weight at once; what acts at random (sticky .9, a large
temperature) shows a wrong game at once. Something is due every few dozen steps, so that every kill lies close to
something unfinished.
"""

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

FIRING = ("37:updates", "53", "71", "41:updates", "2:episodes")  # in turn: nothing fires in step with anything else
TASKS = ("37:updates", "53", "1:tasks", "41:updates", "67")  # the same where tasks switch
SPECIAL = {  # to have something to do within some hundred steps
    "snr": ["--snr-tau-max", "40", "--snr-adapt", "20:updates"],
    "redo": ["--redo-batch", "32", "--redo-when", "clock/updates > 60 rearm 0"],
}
OPTRESET = {"dqn": "1:targets", "rainbow": "1:targets"}  # whose targets are hard copies
DUE = "--save-every 40 --record-every 30 --probe-every 70 --probe-batch 16 --snapshot-every 110 --batch-size 8"
PLAY = f"{DUE} --warmup 60 --replay-ratio 0.5 --eval-every 130 --eval-episodes 1"
ATARI = f"{PLAY} --width 0.25 --hidden 32 --lr 1e-3 --capacity 200 --noops 4 --max-frames 280"
BREAKOUT = f"{ATARI} --env Breakout --life-loss"
CARTPOLE = f"{PLAY} --env CartPole-v1 --hidden 24 --capacity 150"
GREEDY = "--epsilon-start 0.02 --epsilon-final 0.02 --init xavier"  # no bias: the action follows the observation
RANDOM = "--epsilon-start 1 --epsilon-final 1"
STICKY = "--sticky 0.9"
HARD = "--target-every 64"
MOVING = "--target-every 1:updates --target-tau 0.1 --optimizer rmsprop"
FANCY = "--double --head dueling --norm layer"
BODY = f"{PLAY} --hidden 16 --lr 1e-3 --capacity 150"
SHARP = "--log-std-min -9 --log-std-max -2 --alpha-init 0.01"
NOISY = "--log-std-min -1 --alpha-init 10"
WHOLE = (
    f"{PLAY} --env Breakout --life-loss --noops 4 --max-frames 280 --capacity 200 --hidden 32 --lr 1e-3 --spr-steps 2"
)
CYCLE = "--n-step-start 5 --gamma-start .9 --anneal-updates 20 --target-tau 0.1"
DATA = f"{DUE} --eval-every 130 --images 64 --hidden 16 16 --lr 1e-2"
ALONE = "--seed 1"
ALL = "--every-intervention"  # stands for the flags that switch them on, found when the line is made
EVERY = f"--seed 2 {ALL}"
PROCESS = "process"  # the case whose lives are processes of their own


@dataclass(frozen=True)
class Case:
    """A run of so many agent steps."""

    name: str
    agent: str
    steps: int
    flags: list[str] = field(repr=False)

    @property
    def plays(self) -> bool:
        """Whether it acts, and so has a replay whose rows are saved."""
        return self.agent != "classifier"

    @property
    def methods(self) -> dict[str, list[str]]:
        """{intervention: the flags that switch it on}."""
        return switches(self.agent, tuple(flag for flag in self.flags if flag != ALL)) if ALL in self.flags else {}

    def line(self, out: Path) -> list[str]:
        """What stands behind `python`."""
        flags = [flag for flag in self.flags if flag != ALL] + [word for row in self.methods.values() for word in row]
        return ["-m", f"agents.{self.agent}", *flags, "--steps", str(self.steps), "--out", str(out)]


def cases() -> dict[str, Case]:
    """{name: case}; the number of environments, n, network and optimizer vary along the way."""
    two, three, n = "--num-envs 2", "--num-envs 3", "--n-step 3"
    dqn = (
        ("atari-alone-greedy", 260, BREAKOUT, "--fire", GREEDY, ALONE, HARD),
        ("atari-alone-random", 260, BREAKOUT, RANDOM, STICKY, ALONE, HARD, FANCY, two, n),
        ("atari-all-greedy", 260, BREAKOUT, "--fire", GREEDY, EVERY, HARD, two, n),
        ("atari-all-random", 260, BREAKOUT, RANDOM, STICKY, EVERY, HARD),
        ("cartpole-alone-greedy", 500, CARTPOLE, GREEDY, ALONE, HARD, n),
        ("cartpole-alone-random", 500, CARTPOLE, RANDOM, ALONE, MOVING, three),
        ("cartpole-all-greedy", 500, CARTPOLE, GREEDY, EVERY, HARD, FANCY, three),
        ("cartpole-all-random", 500, CARTPOLE, RANDOM, EVERY, HARD, n),
        (
            "tasks-alone-random",
            300,
            ATARI,
            "--env Breakout,Breakout@mode=4 --task-every 90 --max-frames 120",
            RANDOM,
            ALONE,
            HARD,
            two,
        ),
        ("tasks-all-greedy", 300, ATARI, "--env Pong,Breakout --task-every 110", GREEDY, EVERY, HARD),
        # Three environments seal a chunk of 256 rows, the real size, at step 768.
        (PROCESS, 820, BREAKOUT, "--capacity 1k", RANDOM, STICKY, EVERY, HARD, three),
    )
    sac = (
        ("hopper-alone-sharp", 260, BODY, "--env Hopper-v5 --norm-obs", SHARP, ALONE),
        ("hopper-all-noisy", 260, BODY, "--env Hopper-v5", NOISY, EVERY, two, n),
        ("walker-alone-noisy", 300, BODY, "--env dmc:walker-walk,dmc:walker-run --task-every 110", NOISY, ALONE, two),
        # Games of dm_control end by a time limit only, after 1,000 steps.
        (
            "finger-all-sharp",
            1060,
            BODY,
            "--replay-ratio 0.1 --eval-every 500 --env dmc:finger-turn_hard --norm-obs",
            SHARP,
            EVERY,
        ),
    )
    classifier = (
        ("labels-alone", 300, DATA, "--env labels:generated --task-every 110 --images 32", ALONE),
        ("labels-all", 300, DATA, "--env labels:generated --task-every 110 --net cnn --width 0.25", EVERY),
        ("classes-all", 300, DATA, "--env classes:generated --task-until 0.9", EVERY),
    )
    rainbow = (
        ("rainbow-alone", 500, CARTPOLE, GREEDY, ALONE, HARD, "--noisy 0.5 --loss quantile", n),
        ("rainbow-all", 500, CARTPOLE, GREEDY, EVERY, HARD, FANCY, "--noisy 0.5", three),
    )
    spr = (("spr-all", 260, WHOLE, "--width 0.25", RANDOM, EVERY, HARD, two),)
    bbf = (  # the Impala CNN at a quarter of BBF's width
        ("bbf-alone", 160, WHOLE, "--width 0.25", GREEDY, ALONE, CYCLE),
        ("bbf-all", 160, WHOLE, "--width 0.25", RANDOM, STICKY, EVERY, CYCLE),
    )
    agents = {"dqn": dqn, "sac": sac, "classifier": classifier, "rainbow": rainbow, "spr": spr, "bbf": bbf}
    rows = [Case(name, agent, n, words(*flags)) for agent, group in agents.items() for name, n, *flags in group]
    return {row.name: row for row in rows}


def words(*flags: str) -> list[str]:
    return " ".join(flags).split()


@cache
def switches(agent: str, flags: tuple[str, ...]) -> dict[str, list[str]]:
    """Every intervention that bears this line and those before it. A new file in interventions/ joins by itself."""
    from interventions import methods  # torch, which the first process of the soak can do without

    firing = TASKS if "--task-every" in flags else FIRING
    chosen: dict[str, list[str]] = {}
    for i, (name, method) in enumerate(methods().items()):
        on = switch(name, method, agent, firing[i % len(firing)])
        if on and borne(agent, [*flags, *(word for row in chosen.values() for word in row), *on]):
            chosen[name] = on
    return chosen


def switch(name: str, method: Any, agent: str, period: str) -> list[str]:
    """An intervention's first field, as the flag that turns it on; [] for one that learns from another run."""
    from runs.units import Period
    from tests.laws.members import EARLY, beside

    first = fields(method)[0]
    flag = f"--{first.name.replace('_', '-')}"
    default, more = first.default, [*beside(name), *EARLY.get(name, []), *SPECIAL.get(name, [])]
    if name == "optreset":
        return [flag, OPTRESET.get(agent, "31:updates")]
    if isinstance(default, str):
        return []
    if isinstance(default, bool):
        return [flag, *more]
    return [flag, period if isinstance(default, Period) else "0.1" if isinstance(default, float) else "3", *more]


def borne(agent: str, line: list[str]) -> bool:
    """Whether an agent can be built of it."""
    from agents.build import build
    from agents.flags import BadInput, parse
    from tests.laws.members import AGENTS

    kind, config = AGENTS[agent]
    try:
        return bool(build(kind, parse(agent, config, line)))
    except (BadInput, ValueError):
        return False
