"""A scripted console, and the sweep that proves a saved game goes on as if it had never stopped."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from envs.batch import Games
from envs.spec import EnvSpec


class Scripted:
    """A console whose frame k is a constant screen of 10 + k; lives drop and the game ends at given frames."""

    def __init__(self, lost: tuple[int, ...] = (), over: int = 10**9, reward: float = 0.0) -> None:
        self.actions, self.shape = [0, 1, 3, 4], (210, 160)
        self.lost, self.end, self.reward = lost, over, reward
        self.frame, self.games, self.played = 0, 0, []

    def seed(self, seed: int) -> None:
        pass

    def reset(self) -> None:
        self.frame, self.games = 0, self.games + 1

    def act(self, action: int) -> float:
        self.frame += 1
        self.played.append(action)
        return self.reward

    def over(self) -> bool:
        return self.frame >= self.end

    def lives(self) -> int:
        return 5 - sum(self.frame >= at for at in self.lost)

    def screen(self, out: np.ndarray) -> None:
        out[...] = (10 + self.frame) % 256

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


def random_actions(spec: EnvSpec, steps: int, envs: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if isinstance(spec.action, Discrete):
        return rng.integers(spec.action.n, size=(steps, envs))
    return rng.uniform(spec.action.low, spec.action.high, (steps, envs, *spec.action.shape)).astype(np.float32)


def play(env: Games, actions: np.ndarray) -> list[tuple[Any, ...]]:
    rows = []
    for action in actions:
        now = env.step(action)
        rows.append((*(x.tobytes() for x in now), env.finished()))
    return rows


def through_file(value: Any) -> Any:
    """What a checkpoint gives back: arrays are read-only copies, the rest has been through JSON."""
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        return {key: through_file(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return np.frombuffer(value.tobytes(), value.dtype).reshape(value.shape)
    if type(value) is bytes:
        return value
    assert type(value) in (bool, int, float, str, type(None)), f"{value!r} is a {type(value)}"
    return json.loads(json.dumps(value))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


def check_restores(make: Callable[[], Games], points: list[int], after: int = 50) -> None:
    """Save at each of `points`; another env that loads it must make the `after` steps of the straight run."""
    straight, resumed = make(), make()
    straight.reset(7)
    actions = random_actions(straight.spec, max(points) + after, straight.num_envs)
    saved, rows = {}, []
    for k, action in enumerate(actions):
        if k in points:
            saved[k] = through_file(straight.state_dict())
        rows += play(straight, action[None])
    for k in points:
        resumed.load_state_dict(saved[k])
        assert same(through_file(resumed.state_dict()), saved[k]), f"loading at step {k} lost something"
        assert play(resumed, actions[k : k + after]) == rows[k : k + after], f"restored at step {k}, it went elsewhere"


@pytest.fixture
def restores() -> Callable[..., None]:
    return check_restores


@pytest.fixture
def played() -> Callable[..., list[tuple[Any, ...]]]:
    """Rows of `steps` random steps after a reset."""

    def run(env: Games, steps: int, seed: int = 7) -> list[tuple[Any, ...]]:
        env.reset(seed)
        return play(env, random_actions(env.spec, steps, 1).repeat(env.num_envs, axis=1))

    return run
