"""Games: an environment as a world, with returns per game and per visit of a task."""

from collections.abc import Callable, Iterator
from typing import Any

import dm_env
import numpy as np

from agents.config import RLConfig, RunConfig
from agents.learner import Learner
from agents.memory import memory
from agents.world import Row, World
from envs.make import GameSettings, examination, make_env
from envs.tasks import TaskSettings
from replay.base import Replay
from replay.prioritized import Prioritized
from runs.evaluate import play
from runs.loop import interact
from runs.progress import say
from runs.rng import draw_seed, stream
from runs.scores import human_normalised


class Arena(World):
    """Owns the environments. A sequence of tasks takes turns in them, a visit each."""

    def __init__(self, run: RunConfig, game: GameSettings, tasks: TaskSettings, rl: RLConfig) -> None:
        self.run, self.game, self.tasks, self.rl = run, game, tasks, rl
        self.env = make_env(run.env, run.num_envs, game, tasks)
        self.spec = self.env.spec
        self.visit = 0  # the same as clock["tasks"]
        self.scores: list[float] = []  # of this visit's whole games, where tasks take turns
        self.stale = False  # whether the replay holds another task's rows and must not
        self.rows: list[Row] = []

    def replay(self) -> Replay:
        rl = self.rl
        rows = memory(self.spec, rl.capacity, self.run.num_envs, rl.holdout, rl.nstep_compat)
        if not rl.priority_exponent:
            return rows
        weight = rl.priority_weight, rl.priority_weight_final, rl.priority_anneal
        return Prioritized(rows, rl.priority_exponent, *weight)

    def begin(self) -> None:
        self.now = self.env.reset(draw_seed(stream(self.run.seed, "env")))

    @property
    def task(self) -> str:
        """The task that is visited."""
        return self.env.tasks[self.visit % len(self.env.tasks)]

    def loop(self, agent: Learner, resumed: bool = False) -> Iterator[None]:
        assert self.now is not None
        for now in interact(agent, self.env, self.now, resumed):
            self.now = now
            if self.env.task > self.visit:
                self.switch(agent)
            yield
            if self.stale:  # only now, so that what fires at the switch still has states to read
                agent.thin()
                self.stale = False

    def switch(self, agent: Learner) -> None:
        """Another task has begun."""
        self.rows += self.closing()
        self.scores = []
        self.visit = agent.clock["tasks"] = self.env.task
        self.stale = self.tasks.task_replay == "clear"

    def news(self, agent: Learner) -> list[Row]:
        rows, self.rows = self.rows, []
        for game in self.env.finished():
            agent.clock["episodes"] += 1
            self.scores += [game.score] if len(self.env.tasks) > 1 else []
            rows.append({**self.returns("train", np.array([game.score])), "length/train": game.steps})
        return rows

    def returns(self, kind: str, scores: np.ndarray) -> Row:
        """return/<kind>, and human-normalised where the game has scores."""
        row = {f"return/{kind}": float(scores.mean())}
        normalised = human_normalised(self.task.partition("@")[0], row[f"return/{kind}"])
        return row if normalised is None else row | {f"hns/{kind}": normalised}

    def evaluate(self, agent: Learner, stop: Callable[[], bool]) -> Row | None:
        """Whole games of the greedy policy on fresh environments of this task, the same seeds every time."""
        rng = stream(self.run.seed, "eval")
        games = examination(self.run.env, self.visit, self.run.eval_episodes, self.game)
        scores = play(lambda now: agent.act(now, rng, greedy=True), games, draw_seed(rng), stop)
        if scores is None:
            return None
        row = self.returns("eval", scores)
        say(f"step {agent.clock['steps']:,}: return {row['return/eval']:g} over {len(scores)} games")
        return row | {"return/eval/min": float(scores.min()), "return/eval/max": float(scores.max())}

    def closing(self) -> list[Row]:
        """The visit that ends here: the mean score of its whole games, and how many they are."""
        if len(self.env.tasks) == 1:
            return []
        mean = {f"return/visit/{self.task}": float(np.mean(self.scores))} if self.scores else {}
        return [mean | {"visit/number": float(self.visit), "visit/games": float(len(self.scores))}]

    def state_dict(self) -> dict[str, Any]:
        assert self.now is not None
        now = {name: np.array(x) for name, x in self.now._asdict().items()}
        mine = {"visit": self.visit, "scores": np.array(self.scores), "stale": self.stale}
        return {"env": self.env.state_dict(), "now": now, **mine}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.load_state_dict(state["env"])
        self.now = dm_env.TimeStep(**state["now"])
        self.visit, self.scores, self.stale = state["visit"], state["scores"].tolist(), state["stale"]
