"""An Env of one game as a plain dm_env.Environment (https://github.com/google-deepmind/dm_env)."""

import dm_env
import numpy as np
from dm_env import specs
from gymnasium.spaces import Discrete

from envs.spec import Env


class DmView(dm_env.Environment):  # type: ignore[misc]  # dm_env is untyped
    """Unbatched views of an Env with N = 1; each reset starts from another seed, drawn from the first."""

    def __init__(self, env: Env, seed: int) -> None:
        if env.num_envs != 1:
            raise ValueError(f"a dm_env.Environment is one game; {env.spec.name} has {env.num_envs}: make it with 1")
        self._env, self._rng = env, np.random.Generator(np.random.PCG64(seed))
        self._started = False

    def reset(self) -> dm_env.TimeStep:
        self._started = True
        return _unbatched(self._env.reset(int(self._rng.integers(2**63))))

    def step(self, action: int | np.ndarray) -> dm_env.TimeStep:
        if not self._started:
            return self.reset()
        return _unbatched(self._env.step(np.asarray(action)[None]))

    def observation_spec(self) -> specs.BoundedArray:
        space = self._env.spec.observation
        return specs.BoundedArray(space.shape, space.dtype, space.low, space.high, "observation")

    def action_spec(self) -> specs.BoundedArray:
        space = self._env.spec.action
        if isinstance(space, Discrete):
            return specs.DiscreteArray(int(space.n), np.int64, "action")
        return specs.BoundedArray(space.shape, space.dtype, space.low, space.high, "action")


def as_dm_env(env: Env, seed: int) -> dm_env.Environment:
    """A view of `env`, which must hold one game and is then stepped through the view only."""
    return DmView(env, seed)


def _unbatched(now: dm_env.TimeStep) -> dm_env.TimeStep:
    obs = now.observation[0].copy()
    if now.step_type[0] == dm_env.StepType.FIRST:
        return dm_env.restart(obs)
    return dm_env.TimeStep(dm_env.StepType(now.step_type[0]), float(now.reward[0]), float(now.discount[0]), obs)
