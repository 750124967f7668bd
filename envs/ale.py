"""The Arcade Learning Environment (Bellemare et al. 2013, arXiv:1207.4708): one console, its games and their names.

The emulator stands behind a small Protocol, so that tests can script one.

ALE's saved state is not all of its state (0.12.1). It leaves out the previous action of sticky actions, so stickiness
is not ALE's here; the TIA's flag of an unfinished frame, so a restored Qbert or Tetris is another game from its first
frame on; and the screen buffers, so half the restores of YarsRevenge show stale pixels in their first frame. A console
therefore saves the state at the start of its game and the actions since, and plays them again to restore: 0.07 ms a
frame, 8 s for the longest game of 108,000 frames.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import ale_py
import numpy as np
from ale_py import roms

# ALE ends the whole process when a game for two is loaded (its gymnasium registration leaves them out too), and stores
# the level counters of MiniatureGolf as booleans (0.12.1; mended in ALE's a9a043e2).
FOR_TWO = "has no game for one player in ALE"
REFUSED = dict.fromkeys(("combat", "joust", "maze_craze", "warlords"), FOR_TWO) | {
    "miniature_golf": "pays wrong rewards after ALE has restored it"
}
LEGACY = re.compile(r"(.+?)(-ram)?(Deterministic|NoFrameskip)?-v[04]", re.IGNORECASE)
NOOP, FIRE = 0, 1


class Emulator(Protocol):
    """What a game needs of a console. `actions` are the codes of ALE's actions, `shape` is the screen's, [H, W]."""

    actions: list[int]
    shape: tuple[int, int]

    def seed(self, seed: int) -> None: ...
    def reset(self) -> None: ...
    def act(self, action: int) -> float:
        """One frame; its raw reward."""
        ...

    def over(self) -> bool: ...
    def lives(self) -> int: ...
    def screen(self, out: np.ndarray) -> None:
        """Write the gray screen, uint8 [H, W]."""
        ...

    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


class Console:
    """An Emulator that plays one ROM of the wheel, in a game mode and difficulty of its own (None: ALE's default) and
    with the actions that do something in it, or with all 18."""

    def __init__(self, rom: str, mode: int | None = None, difficulty: int | None = None, full: bool = False) -> None:
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        path = roms.get_rom_path(rom)
        if path is None:
            raise ValueError(f"no ROM {rom!r} in ale_py; it has {sorted(roms.get_all_rom_ids())}")
        self._rom, self._ale = path, ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self.over, self.lives, self.screen = self._ale.game_over, self._ale.lives, self._ale.getScreenGrayscale
        self._mode, self._difficulty = mode, difficulty
        self.seed(0)
        actions = self._ale.getLegalActionSet() if full else self._ale.getMinimalActionSet()
        self.actions = [action.value for action in actions]
        self.shape = self._ale.getScreenDims()

    def seed(self, seed: int) -> None:
        self._ale.setInt("random_seed", seed % 2**31)
        self._ale.loadROM(self._rom)  # ALE reads its seed only here, and forgets mode and difficulty
        self._switch("mode", self._mode, self._ale.getAvailableModes(), self._ale.setMode)
        self._switch("difficulty", self._difficulty, self._ale.getAvailableDifficulties(), self._ale.setDifficulty)
        self.reset()

    def reset(self) -> None:
        self._ale.reset_game()
        self._start = self._ale.cloneState(include_rng=True).serialize()
        self._played = bytearray()

    def act(self, action: int) -> float:
        self._played.append(action)
        return self._ale.act(action)

    def state(self) -> dict[str, Any]:
        return {"start": self._start, "played": bytes(self._played)}

    def restore(self, state: dict[str, Any]) -> None:
        self._ale.reset_game()  # what ALE does not save is now as it was when `start` was
        self._start, self._played = state["start"], bytearray(state["played"])
        self._ale.restoreState(ale_py.ALEState(self._start))
        for action in self._played:
            self._ale.act(action)

    def _switch(self, what: str, value: int | None, known: list[int], switch: Callable[[int], None]) -> None:
        """Turn a switch of the console; it takes effect at the next reset."""
        if value is None:
            return
        if value not in known:
            raise ValueError(f"{self._rom.stem} has no {what} {value}; it has {', '.join(map(str, known))}")
        switch(value)


def plain(name: str) -> str:
    """ "Montezuma_Revenge" and "montezuma-revenge" -> "montezumarevenge"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def games() -> dict[str, str]:
    """Each game's canonical name and its ROM: {"MontezumaRevenge": "montezuma_revenge", ...}."""
    return {rom.title().replace("_", ""): rom for rom in sorted(roms.get_all_rom_ids()) if rom not in REFUSED}


def canonical(name: str) -> str | None:
    """Any customary name of a game -> its canonical one; None if it is no game. A legacy id is refused."""
    known = {plain(game): game for game in games()}
    base = re.sub(r"(?i)^ale/|-v5$", "", name)
    if (legacy := LEGACY.fullmatch(base)) and (game := known.get(plain(legacy[1]))):
        raise ValueError(
            f"{name} is a legacy id with a frame skip and stickiness of its own; write {game} and set these by flags"
        )
    if reason := {plain(rom): why for rom, why in REFUSED.items()}.get(plain(base)):
        raise ValueError(f"{name} {reason}; write e.g. Pong")
    return known.get(plain(base))
