"""The DeepMind Control Suite (Tassa et al. 2018, arXiv:1801.00690), each task of which ends by a time limit.

lqr differs: it ends at rest, its motors know no bounds (an action in [-1, 1] is the force), and dm_control draws the
stiffness of its springs when it is made: here always from seed 0.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from envs.ale import plain
from envs.control import attributes, put_back
from envs.spec import EnvSpec, Tally

CLOCK = ("_step_count", "_reset_next_step")  # of dm_control's Environment
UNBOUNDED = 1e10  # what dm_control writes where a motor has no limits


def names() -> list[str]:
    """Every task: ["dmc:acrobot-swingup", ..., "dmc:walker-run"]."""
    return [f"dmc:{domain}-{task}" for domain, task in _suite().ALL_TASKS]


def canonical(name: str) -> str | None:
    """ "dmc/Quadruped_Run" -> "dmc:quadruped-run"; None if it does not begin with dmc."""
    if not plain(name).startswith("dmc"):
        return None
    known = {plain(each): each for each in names()}
    if found := known.get(plain(name)):
        return found
    near = difflib.get_close_matches(plain(name), known, n=1, cutoff=0)
    raise ValueError(f"no task {name!r} in dm_control's suite; did you mean {known[near[0]]}?")


def make(name: str) -> "DmGame":
    """A game by its canonical name, with dm_control's own time limit."""
    suite = _suite()
    from envs.physics import hushed

    with hushed():
        env = suite.load(*name.removeprefix("dmc:").split("-"), task_kwargs={"random": 0})
    return DmGame(name, env)


class DmGame:
    """A task of the suite as a Game. Its observations are one float32 vector in the order of dm_control's spec."""

    def __init__(self, name: str, env: Any) -> None:
        from envs.physics import Physics

        _tell_no_renderer(env.physics)
        action, parts = env.action_spec(), env.observation_spec().values()
        observation = Box(-np.inf, np.inf, (sum(int(np.prod(part.shape)) for part in parts),), np.float32)
        self.spec = EnvSpec(name, observation, Box(-1, 1, action.shape, np.float32))
        self.env, self._env = env, _rescaled(env)
        self._physics = Physics(env.physics.model.ptr, env.physics.data.ptr)
        self._tally = Tally()

    def seed(self, seed: int) -> None:
        self.env.task.random.seed(seed % 2**32)  # what dm_control makes of task_kwargs={"random": seed}
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        _write(self._env.reset().observation, obs)
        self._tally = Tally(over=False)

    def step(self, action: Any, obs: np.ndarray) -> tuple[float, float, bool]:
        then = self._env.step(action)
        _write(then.observation, obs)
        reward = float(then.reward)
        self._tally.add(reward, then.last())
        return reward, float(then.discount), self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {
            "physics": self._physics.state_dict(),
            "random": self.env.task.random.get_state(legacy=False),
            "task": attributes(self.env.task),
            "clock": {key: getattr(self.env, key) for key in CLOCK},
            "tally": asdict(self._tally),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._physics.load_state_dict(state["physics"])
        self.env.task.random.set_state(state["random"])
        put_back(self.env.task, state["task"])
        vars(self.env).update(state["clock"])
        self._tally = Tally(**state["tally"])


def _suite() -> Any:
    with rendering("disable"):  # dm_control then looks for no display; pictures are those of envs/camera.py
        try:
            from dm_control import suite
        except ImportError as error:
            raise ValueError("the tasks dmc:... need dm_control; pip install -e '.[mujoco]'") from error
    return suite


@contextmanager
def rendering(value: str) -> Iterator[None]:
    """MUJOCO_GL for those who read it once, put back afterwards."""
    before = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ["MUJOCO_GL"]
        else:
            os.environ["MUJOCO_GL"] = before


def _rescaled(env: Any) -> Any:
    """The bounds are reached from [-1, 1]: quadruped's are -1 and 1.1."""
    from dm_control.suite.wrappers import action_scale

    low, high = env.action_spec().minimum, env.action_spec().maximum
    if (high >= UNBOUNDED).all() or ((low == -1) & (high == 1)).all():
        return env
    return action_scale.Wrapper(env, minimum=-1, maximum=1)


def _tell_no_renderer(physics: Any) -> None:
    """quadruped-escape shows each new terrain to the renderer, and fails where there is none."""
    physics.__class__ = type("Blind", (type(physics),), {"contexts": None})


def _write(parts: Mapping[str, Any], obs: np.ndarray) -> None:
    np.concatenate(list(parts.values()), axis=None, out=obs)
