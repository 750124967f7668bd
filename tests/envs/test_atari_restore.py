"""A saved Atari game goes on as if it had never stopped (every game x 50 points in the slow lane)."""

import pytest

from envs.ale import games
from envs.atari import AtariSettings
from envs.make import make_env

SHORT = AtariSettings(sticky=0.25, noops=5, max_frames=160)  # new games begin inside the compared steps


@pytest.mark.parametrize("game", ["Pong", "Breakout", "MontezumaRevenge", "Pitfall"])
def test_a_restored_game_makes_the_steps_of_the_straight_run(restores, game):
    restores(lambda: make_env(game, 1, SHORT), points=[0, 1, 17, 40, 41, 60], after=60)


def test_a_restored_game_keeps_its_lives(restores):
    settings = AtariSettings(sticky=0.9, life_loss=True, fire=True)
    restores(lambda: make_env("Breakout", 1, settings), points=[5, 35, 70], after=80)


@pytest.mark.slow
@pytest.mark.parametrize("game", games())
def test_every_game_is_restored_at_fifty_points(restores, game):
    settings = AtariSettings(noops=30, life_loss=True, max_frames=1000)
    restores(lambda: make_env(game, 1, settings), points=list(range(0, 350, 7)), after=60)
