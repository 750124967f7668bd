"""gymnasium's environments (Towers et al. 2024, arXiv:2407.17032) behind one adapter, saved exactly; the small ones by
name. Continuous actions lie in [-1, 1] and are rescaled to the environment's own bounds, as in jaxrl."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import RescaleAction

from envs.ale import plain
from envs.spec import EnvSpec, Tally

if TYPE_CHECKING:
    from envs.physics import Physics

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
        assert env.spec is not None
        self.env, action = _rescaled(env)
        self.spec = EnvSpec(env.spec.id, _box(env.observation_space), action)
        self._physics = _physics(env.unwrapped)
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
            "layers": {str(i): attributes(layer) for i, layer in enumerate(_layers(self.env))},
            "physics": self._physics.state_dict() if self._physics else None,
            "tally": asdict(self._tally),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.unwrapped.np_random.bit_generator.state = state["rng"]
        for i, layer in enumerate(_layers(self.env)):
            put_back(layer, state["layers"][str(i)])
        if self._physics:
            self._physics.load_state_dict(state["physics"])
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


def _rescaled(env: gym.Env[Any, Any]) -> tuple[gym.Env[Any, Any], Discrete | Box]:
    """The environment and the actions it takes: Discrete, or [-1, 1] of any dimension."""
    space = env.action_space
    if isinstance(space, Discrete):
        return env, space
    if not (isinstance(space, Box) and np.isfinite([space.low, space.high]).all()):
        raise ValueError(f"the actions of {env.unwrapped} are {space}; only Discrete and a bounded Box can be played")
    unit = Box(-1, 1, space.shape, np.float32)
    return (env if space == unit else RescaleAction(env, np.float32(-1), np.float32(1))), unit


def _physics(env: gym.Env[Any, Any]) -> "Physics | None":
    """What MuJoCo holds of the environment, if it is one of MuJoCo's."""
    data = getattr(env, "data", None)
    if not type(data).__module__.startswith("mujoco."):
        return None
    from envs.physics import Physics

    return Physics(env.get_wrapper_attr("model"), data)


def _layers(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """The wrappers from the outermost inwards, then the environment itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def attributes(thing: object) -> dict[str, Any]:
    """Every plain attribute, encoded: numbers, strings, arrays and tuples of them; spaces, tables, lists of constants
    and the like are what the constructor makes."""
    return {key: _encode(value) for key, value in vars(thing).items() if _is_plain(value)}


def put_back(thing: object, saved: dict[str, Any]) -> None:
    """The inverse of `attributes`; a plain attribute that was not saved did not exist."""
    for stale in attributes(thing):
        del vars(thing)[stale]
    vars(thing).update({key: _decode(value) for key, value in saved.items()})


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
