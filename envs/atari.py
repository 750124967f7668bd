"""Atari games, preprocessed as in Dopamine (Castro et al. 2018, arXiv:1812.06110), by a loop of our own.

Per agent step: repeat the action for `frame_skip` frames, sum the raw rewards and stop early at game over (or a lost
life); max of the last two gray screens; area resize to 84x84; stack of 4, zero where an episode has no past yet.
As in Dopamine the two screens are only read in frames that end nothing, so a last observation may show older ones.
Deviation: presses of `fire` and no-ops count towards the score and `max_frames`, which bounds emulator frames.
"""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.ale import FIRE, NOOP, Emulator
from envs.spec import EnvSpec, Tally
from runs.units import Count

SIDE, STACK = 84, 4
cv2.setNumThreads(1)


@dataclass(frozen=True)
class AtariSettings:
    """How an Atari game is played. Defaults: Dopamine's 200M-frame setting (Machado et al. 2018, arXiv:1709.06009)."""

    sticky: float = 0.25
    """Chance, per emulator frame, that the previous action is repeated instead (Machado et al. 2018; Atari-100k: 0)"""
    noops: int = 0
    """A game starts with 1 to this many emulator frames without action, evenly drawn (Mnih et al. 2015: 30); 0: none"""
    life_loss: bool = False
    """Whether a lost life ends the episode, with discount 0, while the game goes on (Mnih et al. 2015; Atari-100k)"""
    fire: bool = False
    """Whether each episode starts with a press of FIRE and of the next action, a step each (CleanRL, baselines)"""
    clip_reward: bool = True
    """Whether the reward of a step to learn from is clipped to [-1, 1] (Mnih et al. 2015); scores never are"""
    frame_skip: int = 4
    """Emulator frames per agent step (Mnih et al. 2015)"""
    max_frames: Count = 108_000
    """Emulator frames after which a game is cut off, with discount 1: 30 minutes of play (Machado et al. 2018)"""
    full_actions: bool = False
    """All 18 actions instead of the game's own (Machado et al. 2018 advise it; sequences of games always have them)"""


class AtariGame:
    """One Atari game: obs [4, 84, 84] uint8, the newest plane last."""

    def __init__(self, name: str, emulator: Emulator, settings: AtariSettings) -> None:
        actions, skip = emulator.actions, settings.frame_skip
        space = Box(0, 255, (STACK, SIDE, SIDE), np.uint8)
        self.spec = EnvSpec(name, space, Discrete(len(actions)), frames_per_step=skip, stack=STACK)
        self.settings, self.emulator = settings, emulator
        self._opening = (FIRE, actions[2]) if settings.fire and FIRE in actions and len(actions) > 2 else ()
        self._rng = np.random.Generator(np.random.PCG64(0))
        self._previous, self._lives, self._frames = NOOP, 0, 0
        self._screens = np.zeros((2, *emulator.shape), np.uint8)
        self._pooled = np.zeros(emulator.shape, np.uint8)
        self._stack = np.zeros(space.shape, np.uint8)
        self._tally = Tally()

    def seed(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self.emulator.seed(int(self._rng.integers(2**31)))
        self._tally.over = True

    def reset(self, obs: np.ndarray) -> None:
        if self._tally.over:
            self._begin()
        for action in self._opening:
            self._repeat(action)
        self._stack[:] = 0
        self._look(obs)

    def step(self, action: int, obs: np.ndarray) -> tuple[float, float, bool]:
        reward, ended = self._repeat(self.emulator.actions[action])
        self._look(obs)
        self._tally.steps += 1
        self._tally.over = self.emulator.over() or self._frames >= self.settings.max_frames
        if self.settings.clip_reward:
            reward = min(max(reward, -1.0), 1.0)
        return reward, 0.0 if ended else 1.0, ended or self._tally.over

    def finished(self) -> tuple[float, int] | None:
        return self._tally.finished()

    def state_dict(self) -> dict[str, Any]:
        return {
            "emulator": self.emulator.state(),
            "rng": self._rng.bit_generator.state,
            "previous": self._previous,
            "lives": self._lives,
            "frames": self._frames,
            "screens": self._screens.copy(),
            "stack": self._stack.copy(),
            "tally": asdict(self._tally),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.emulator.restore(state["emulator"])
        self._rng.bit_generator.state = state["rng"]
        self._previous, self._lives, self._frames = state["previous"], state["lives"], state["frames"]
        self._screens[:], self._stack[:] = state["screens"], state["stack"]
        self._tally = Tally(**state["tally"])

    def _begin(self) -> None:
        """A new game, up to its first screen."""
        self.emulator.reset()
        self._previous, self._frames, self._tally = NOOP, 0, Tally(over=False)
        if self.settings.noops:
            for _ in range(self._rng.integers(1, self.settings.noops, endpoint=True)):
                self._frame(NOOP)
        self._lives = self.emulator.lives()
        self.emulator.screen(self._screens[0])
        self._screens[1] = 0

    def _repeat(self, action: int) -> tuple[float, bool]:
        """`frame_skip` frames of one action: the raw reward, and whether they ended the episode."""
        reward, pooled_from = 0.0, max(self.settings.frame_skip - 2, 0)
        for frame in range(self.settings.frame_skip):
            reward += self._frame(action)
            if self._ended():
                return reward, True
            if frame >= pooled_from:
                self.emulator.screen(self._screens[frame - pooled_from])
        return reward, False

    def _frame(self, action: int) -> float:
        if self._rng.random() >= self.settings.sticky:
            self._previous = action
        reward = float(self.emulator.act(self._previous))
        self._frames += 1
        self._tally.score += reward
        return reward

    def _ended(self) -> bool:
        before, self._lives = self._lives, self.emulator.lives()
        return self.emulator.over() or (self.settings.life_loss and self._lives < before)

    def _look(self, obs: np.ndarray) -> None:
        """Move the stack on by the two pooled screens, resized, and write it into obs."""
        self._stack[:-1] = self._stack[1:]
        np.maximum(self._screens[0], self._screens[1], out=self._pooled)
        cv2.resize(self._pooled, (SIDE, SIDE), dst=self._stack[-1], interpolation=cv2.INTER_AREA)
        obs[...] = self._stack
