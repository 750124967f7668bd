"""The Arcade Learning Environment (Bellemare et al. 2013, arXiv:1207.4708): one console, its games and their names.

The emulator behind a small Protocol, so that tests can script one. Stickiness is not the emulator's: its saved state
leaves out the previous action, so with sticky 0.25 in ALE 7-15 % of restored runs diverge one step later.
"""

import re
from functools import cache
from typing import Protocol

import ale_py
import numpy as np
from ale_py import roms

# ALE ends the whole process when one of these is loaded; its own gymnasium registration leaves them out too.
TWO_PLAYERS = {"combat", "joust", "maze_craze", "warlords"}
LEGACY = re.compile(r"(.+?)(-ram)?(Deterministic|NoFrameskip)?-v[04]", re.IGNORECASE)
NOOP, FIRE = 0, 1


class Emulator(Protocol):
    """What a game needs of a console. `actions` are the codes of the minimal set, `shape` is the screen's, [H, W]."""

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
        """Write the gray screen, uint8 [H, W]; stale between `restore` and the next frame."""
        ...

    def state(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...


class Console:
    """An Emulator that plays one ROM of the wheel."""

    def __init__(self, rom: str) -> None:
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        path = roms.get_rom_path(rom)
        if path is None:
            raise ValueError(f"no ROM {rom!r} in ale_py; it has {sorted(roms.get_all_rom_ids())}")
        self._rom, self._ale = path, ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self.act, self.reset, self.screen = self._ale.act, self._ale.reset_game, self._ale.getScreenGrayscale
        self.over, self.lives = self._ale.game_over, self._ale.lives
        self.seed(0)
        self.actions = [action.value for action in self._ale.getMinimalActionSet()]
        self.shape = self._ale.getScreenDims()

    def seed(self, seed: int) -> None:
        self._ale.setInt("random_seed", seed % 2**31)
        self._ale.loadROM(self._rom)  # ALE reads its seed only here

    def state(self) -> bytes:
        return self._ale.cloneState(include_rng=True).serialize()

    def restore(self, state: bytes) -> None:
        self._ale.restoreState(ale_py.ALEState(state))


def plain(name: str) -> str:
    """ "Montezuma_Revenge" and "montezuma-revenge" -> "montezumarevenge"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def games() -> dict[str, str]:
    """Each game's canonical name and its ROM: {"MontezumaRevenge": "montezuma_revenge", ...}."""
    return {rom.title().replace("_", ""): rom for rom in sorted(roms.get_all_rom_ids()) if rom not in TWO_PLAYERS}


def canonical(name: str) -> str | None:
    """Any customary name of a game -> its canonical one; None if it is no game. A legacy id is refused."""
    known = {plain(game): game for game in games()}
    base = re.sub(r"(?i)^ale/|-v5$", "", name)
    if (legacy := LEGACY.fullmatch(base)) and (game := known.get(plain(legacy[1]))):
        raise ValueError(
            f"{name} is a legacy id with a frame skip and stickiness of its own; write {game} and set these by flags"
        )
    if plain(base) in {plain(rom) for rom in TWO_PLAYERS}:
        raise ValueError(f"{name} has no game for one player in ALE; write e.g. Pong")
    return known.get(plain(base))
