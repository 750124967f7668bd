"""gymnasium's small environments (Towers et al. 2024, arXiv:2407.17032) behind one adapter, saved exactly."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.ale import plain
from envs.spec import EnvSpec, Tally

NAMES = (
    "Acrobot",
    "CartPole",
    "FrozenLake",
    "FrozenLake8x8",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "Taxi",
)


@cache
def ids() -> list[str]:
    """The newest version of each: ["Acrobot-v1", "CartPole-v1", ...]."""
    versions = dict.fromkeys(NAMES, 0)
    for spec in gym.registry.values():
        if spec.namespace is None and spec.name in versions:
            versions[spec.name] = max(versions[spec.name], spec.version or 0)
    return [f"{name}-v{version}" for name, version in versions.items()]


def canonical(name: str) -> str | None:
    """ "cart_pole", "CartPole" or "CartPole-v1" -> "CartPole-v1"; None if it is none of these."""
    known = {plain(i): i for i in ids()} | {plain(i.rsplit("-", 1)[0]): i for i in ids()}
    return known.get(plain(name))


class GymGame:
    """A gymnasium environment as a Game. Discrete observations become one-hot float32 vectors."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env = env
        assert env.spec is not None and isinstance(env.action_space, Discrete | Box)
        self.spec = EnvSpec(env.spec.id, _box(env.observation_space), env.action_space)
        self._tally = Tally()

    def seed(self, seed: int) -> None:
        self.env.unwrapped.np_random = np.random.Generator(np.random.PCG64(seed))  # what its own reset(seed) does
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        self._write(self.env.reset()[0], obs)
        self._tally = Tally(over=False)

    def step(self, action: Any, obs: np.ndarray) -> tuple[float, float, bool]:
        act = int(action) if isinstance(self.spec.action, Discrete) else action
        then, reward, terminated, truncated, _ = self.env.step(act)
        self._write(then, obs)
        self._tally.add(float(reward), terminated or truncated)
        return float(reward), 0.0 if terminated else 1.0, self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": self.env.unwrapped.np_random.bit_generator.state,
            "layers": {str(i): _attributes(layer) for i, layer in enumerate(_layers(self.env))},
            "tally": asdict(self._tally),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.unwrapped.np_random.bit_generator.state = state["rng"]
        for i, layer in enumerate(_layers(self.env)):
            for stale in _attributes(layer):
                del vars(layer)[stale]
            vars(layer).update({key: _decode(value) for key, value in state["layers"][str(i)].items()})
        self._tally = Tally(**state["tally"])

    def _write(self, value: Any, obs: np.ndarray) -> None:
        if isinstance(self.env.observation_space, Discrete):
            obs[:] = 0
            obs[value] = 1
        else:
            obs[...] = value


def make_control(name: str) -> GymGame:
    """A game by its canonical name, e.g. "CartPole-v1", with gymnasium's own defaults and time limit."""
    return GymGame(gym.make(name, disable_env_checker=True))


def _box(space: gym.Space[Any]) -> Box:
    if isinstance(space, Discrete):
        return Box(0, 1, (int(space.n),), np.float32)
    assert isinstance(space, Box)
    return Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)


def _layers(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """The wrappers from the outermost inwards, then the environment itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def _attributes(layer: gym.Env[Any, Any]) -> dict[str, Any]:
    """Every plain attribute of one layer, encoded: numbers, strings, arrays and tuples of them; spaces, tables, lists
    of constants and the like are what the constructor makes."""
    return {key: _encode(value) for key, value in vars(layer).items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biufc"
    return value is None or isinstance(value, bool | int | float | str)


def _encode(value: Any) -> Any:
    """Keep the type through a file: a tuple and a numpy scalar say what they are, an array is a copy."""
    if isinstance(value, tuple):
        return {"tuple": len(value)} | {str(i): _encode(item) for i, item in enumerate(value)}
    if isinstance(value, np.generic):
        return {"scalar": np.array([value])}
    return value.copy() if isinstance(value, np.ndarray) else value


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value.copy() if isinstance(value, np.ndarray) else value
    if "scalar" in value:
        return value["scalar"][0]
    return tuple(_decode(value[str(i)]) for i in range(value["tuple"]))
