"""A saved Atari game goes on as if it had never stopped (every game x 50 points in the slow lane)."""

import numpy as np
import pytest

from envs.ale import Console, games
from envs.atari import AtariSettings
from envs.make import make_env

SHORT = AtariSettings(sticky=0.25, noops=5, max_frames=160)  # new games begin inside the compared steps


@pytest.mark.parametrize("game", ["Pong", "Breakout", "MontezumaRevenge", "Qbert"])
def test_a_restored_game_makes_the_steps_of_the_straight_run(restores, game):
    restores(lambda: make_env(game, 1, SHORT), points=[0, 1, 17, 41], after=50)


@pytest.mark.parametrize("rom", ["qbert", "yars_revenge"])
def test_every_frame_after_a_restore_is_the_straight_runs(rom):
    straight, screen = Console(rom), np.zeros((210, 160), np.uint8)
    actions = [straight.actions[k] for k in np.random.default_rng(0).integers(len(straight.actions), size=500)]

    def shown(console, steps):
        for action in steps:
            reward = console.act(action)
            console.screen(screen)
            yield reward, console.over(), console.lives(), screen.tobytes()

    list(shown(straight, actions[:450]))
    state, rows = straight.state(), list(shown(straight, actions[450:]))
    for used in (0, 30):
        other = Console(rom)
        list(shown(other, actions[:used]))
        other.restore(state)
        assert list(shown(other, actions[450:])) == rows


def test_a_restored_game_keeps_its_lives(restores):
    settings = AtariSettings(sticky=0.9, life_loss=True, fire=True)
    restores(lambda: make_env("Breakout", 1, settings), points=[5, 35, 70], after=80)


@pytest.mark.slow
@pytest.mark.parametrize("game", games())
def test_every_game_is_restored_at_fifty_points(restores, game):
    settings = AtariSettings(noops=30, life_loss=True, max_frames=1000)
    restores(lambda: make_env(game, 1, settings), points=list(range(0, 350, 7)), after=60)
