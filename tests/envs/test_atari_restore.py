"""A saved Atari game goes on as if it had never stopped (every game x 50 points in the slow lane)."""

import numpy as np
import pytest

from envs.ale import Console, games
from envs.atari import AtariSettings
from envs.make import make_env
from envs.tasks import TaskSettings
from runs.units import Period

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


@pytest.mark.parametrize("game", ["Breakout@mode=4@difficulty=1", "SpaceInvaders@mode=8"])
def test_a_restored_game_keeps_its_mode(restores, game):
    restores(lambda: make_env(game, 1, SHORT), points=[0, 17, 41, 60], after=50)


def test_a_restored_sequence_of_games_goes_on_over_its_switch(restores):
    tasks = TaskSettings(Period(15))
    restores(lambda: make_env("Pong,Breakout@mode=4", 1, SHORT, tasks), points=[20, 8], after=12)


@pytest.mark.slow
def test_a_sequence_of_games_is_restored_at_every_step_over_two_switches(restores):
    tasks = TaskSettings(Period(15))
    restores(lambda: make_env("Pong,Pong@mode=1,Breakout", 1, SHORT, tasks), points=list(range(34)), after=34)


@pytest.mark.parametrize("name", ["pong", "qbert", "breakout"])
def test_a_console_seeded_in_mid_game_is_a_new_console(name):
    used, fresh, screens = Console(name, mode=0), Console(name, mode=0), np.zeros((2, 210, 160), np.uint8)
    for k in range(300):
        used.act(used.actions[k % 4])
    used.seed(5)
    fresh.seed(5)
    for k in range(200):
        assert used.act(used.actions[k % 3]) == fresh.act(used.actions[k % 3])
        used.screen(screens[0])
        fresh.screen(screens[1])
        assert (screens[0] == screens[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("game", games())
def test_every_game_is_restored_at_fifty_points(restores, game):
    settings = AtariSettings(noops=30, life_loss=True, max_frames=1000)
    restores(lambda: make_env(game, 1, settings), points=list(range(0, 350, 7)), after=60)
