"""dm_control's tasks as an agent sees them: pictures, stacked, an action for several steps (Yarats et al. 2022,
arXiv:2107.09645; Kostrikov et al. 2020, arXiv:2004.13649).

Only the picture after the last repeat is taken. Deviation: where an episode has no past yet its frames are zero, as the
replay and Atari have it, not the first one again: two observations of each episode with a stack of 3.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from envs import suite
from envs.spec import EnvSpec, Tally
from envs.suite import DmGame
from runs.units import broken

GRAY = np.array([0.299, 0.587, 0.114])  # of red, green and blue, rounded down as jaxrl does
# PlaNet (Hafner et al. 2019, arXiv:1811.04551); 2 for the rest, as rl_with_resets train_pixels.py.
REPEATS: Mapping[str, int] = {
    "dmc:ball_in_cup-catch": 4,
    "dmc:cartpole-swingup": 8,
    "dmc:cheetah-run": 4,
    "dmc:finger-spin": 2,
    "dmc:reacher-easy": 4,
    "dmc:walker-walk": 2,
}


@dataclass(frozen=True)
class PixelSettings:
    """How a task of dm_control is seen. Defaults: DrQ-v2 (Yarats et al. 2022, arXiv:2107.09645)."""

    image_size: int = 84
    """Pixels of a side (DrQ-v2: 84; DrQ of Nikishin et al. 2022, arXiv:2205.07802: 64)"""
    frame_stack: int = 3
    """Pictures of an observation, the newest last (arXiv:2004.13649: 3)"""
    action_repeat: int = 2
    """Steps of dm_control per agent step (DrQ-v2: 2); 0: PlaNet's for the task, 2 to 8 (arXiv:1811.04551)"""
    gray: bool = False
    """Whether pictures have one channel (arXiv:2205.07802) or three (DrQ-v2)"""
    camera: int = -1
    """Which of the task's cameras; -1: 2 for quadruped, 0 for the rest (DrQ-v2)"""

    def problems(self) -> list[str]:
        rules = {
            "image_size": (self.image_size > 0, "at least 1"),
            "frame_stack": (self.frame_stack > 0, "at least 1"),
            "action_repeat": (self.action_repeat >= 0, "at least 0"),
            "camera": (self.camera >= -1, "at least 0, or -1"),
        }
        return broken(self, rules)


def make(name: str, settings: PixelSettings) -> "PixelGame":
    """A game by its canonical name; ValueError if nothing can be drawn here."""
    return PixelGame(suite.make(name), settings)


class PixelGame:
    """A task of the suite as a Game: obs [stack * C, size, size] uint8, the newest picture last."""

    def __init__(self, game: DmGame, settings: PixelSettings) -> None:
        from envs.camera import Camera  # with mujoco, which the settings do without

        name, size = game.spec.name, settings.image_size
        self.channels = 1 if settings.gray else 3
        self.repeat = settings.action_repeat or REPEATS.get(name, 2)
        space = Box(0, 255, (settings.frame_stack * self.channels, size, size), np.uint8)
        self.spec = EnvSpec(name, space, game.spec.action, self.repeat, settings.frame_stack)
        number = settings.camera if settings.camera >= 0 else 2 * name.startswith("dmc:quadruped-")
        physics = game.env.physics
        self.game, self.camera = game, Camera(name, physics.model.ptr, physics.data.ptr, number, size)
        self._vector = np.zeros(game.spec.observation.shape, np.float32)
        self._stack = np.zeros(space.shape, np.uint8)
        self._tally = Tally()

    def seed(self, seed: int) -> None:
        self.game.seed(seed)
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        self.game.reset(self._vector)
        self._stack[:], self._tally = 0, Tally(over=False)
        self._look(obs)

    def step(self, action: Any, obs: np.ndarray) -> tuple[float, float, bool]:
        """The rewards of the repeats, summed; an end among them is the last."""
        reward = 0.0
        for _ in range(self.repeat):
            r, discount, last = self.game.step(action, self._vector)
            reward += r
            if last:
                break
        self._tally.add(reward, last)
        self._look(obs)
        return reward, discount, last

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {"game": self.game.state_dict(), "stack": self._stack.copy(), "tally": asdict(self._tally)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.game.load_state_dict(state["game"])
        self._stack[:], self._tally = state["stack"], Tally(**state["tally"])

    def _look(self, obs: np.ndarray) -> None:
        """Move the stack on by a picture and write it into obs."""
        picture = self.camera.picture()  # [size, size, 3]
        self._stack[: -self.channels] = self._stack[self.channels :]
        self._stack[-self.channels :] = picture @ GRAY if self.channels == 1 else picture.transpose(2, 0, 1)
        obs[...] = self._stack
