"""gymnasium's MuJoCo tasks (Towers et al. 2024, arXiv:2407.17032), version 5, with gymnasium's own settings.

Friction: Dohare et al. 2024 (Nature 632) train Ant while its friction with the ground changes every 2M steps. Here a
factor multiplies the sliding friction of every geom; MuJoCo takes the larger of two geoms in contact, so the factor is
the contact's as well.
"""

import importlib.util
import math
import re
from functools import cache

import gymnasium as gym

from envs.ale import plain
from envs.control import GymGame
from envs.suite import rendering

NEEDS = ("mujoco", "imageio")
WALKERS = ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "HumanoidStandup-v5", "Walker2d-v5")


@cache
def ids() -> list[str]:
    """Every task in version 5: ["Reacher-v5", ..., "HalfCheetah-v5", ...]."""
    family = [spec for spec in gym.registry.values() if str(spec.entry_point).startswith("gymnasium.envs.mujoco.")]
    return [spec.id for spec in family if spec.version == 5]


def canonical(name: str) -> str | None:
    """ "half_cheetah", "HalfCheetah" or "HalfCheetah-v5" -> "HalfCheetah-v5"; None if it is no task of this family."""
    known = {plain(i.removesuffix("-v5")): i for i in ids()}
    parts = re.fullmatch(r"(.*?)(v\d+)?", plain(name))
    found = known.get(parts[1]) if parts else None
    if found and parts and parts[2] not in (None, "v5"):
        raise ValueError(f"{name} has other rewards and observations than version 5; write {found}")
    return found


def make(name: str, friction: float = 1.0) -> GymGame:
    """A game by its canonical name; `friction` is the factor on that of the ground."""
    for package in NEEDS:
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"{name} needs {package}; pip install -e '.[mujoco]'")
    if not 0 < friction < math.inf:
        raise ValueError(f"the friction of {name} is {friction}, but must be a positive factor, e.g. 0.5")
    if friction != 1 and name not in WALKERS:
        raise ValueError(f"{name} does not walk on a ground; friction is for {', '.join(WALKERS)}")
    with rendering("disable"):  # MuJoCo's import then looks for no display
        from envs.physics import hushed

        with hushed():
            env = gym.make(name, disable_env_checker=True)
    env.unwrapped.model.geom_friction[:, 0] *= friction  # type: ignore[attr-defined]  # before the game sees the model
    return GymGame(env)
