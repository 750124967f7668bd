"""The replay that suits an environment: of a stack of frames, gray or in colour, it keeps the newest."""

import numpy as np
from gymnasium.spaces import Discrete

from envs.spec import EnvSpec
from replay.uniform import Uniform


def memory(spec: EnvSpec, capacity: int, num_envs: int, holdout: float = 0.0, nstep_compat: str = "") -> Uniform:
    """A replay for these spaces: of a stack it keeps the newest frame, [H, W] or [C, H, W]."""
    shape, action = spec.observation.shape, spec.action
    channels = shape[0] // spec.stack if spec.stack else 0
    return Uniform(
        capacity,
        shape if not spec.stack else shape[1:] if channels == 1 else (channels, *shape[1:]),
        spec.observation.dtype,
        spec.stack,
        () if isinstance(action, Discrete) else action.shape,
        np.int32 if isinstance(action, Discrete) else np.float32,
        num_envs,
        holdout,
        nstep_compat,
    )
