"""The toys, worked by hand."""

import numpy as np
import pytest
from dm_env import StepType

from envs.make import make_env
from envs.toy import NAMES, Catch, chain_q_star


def rows(env, actions):
    """(step type, reward, discount) of each step."""
    steps = (env.step(np.array([action])) for action in actions)
    return [(int(s.step_type[0]), float(s.reward[0]), float(s.discount[0])) for s in steps]


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_toy_makes_the_steps_of_the_straight_run(restores, name):
    restores(lambda: make_env(name, 2), points=[0, 1, 9, 10, 11, 12, 30, 35, 36, 47], after=80)


def test_four_steps_right_end_the_chain():
    env = make_env("toy:chain")
    assert env.reset(0).observation.tolist() == [[1, 0, 0, 0, 0]]
    assert rows(env, [1, 1, 1, 1]) == [(1, 0, 1)] * 3 + [(2, 1, 0)]
    assert env.finished() == [(0, 1.0, 4, 0)]


def test_the_left_end_of_the_chain_is_a_wall():
    env = make_env("toy:chain")
    env.reset(0)
    assert env.step(np.array([0])).observation.tolist() == [[1, 0, 0, 0, 0]]
    assert env.step(np.array([1])).observation.tolist() == [[0, 1, 0, 0, 0]]
    assert env.step(np.array([0])).observation.tolist() == [[1, 0, 0, 0, 0]]


def test_the_chain_is_cut_off_after_20_steps():
    env = make_env("toy:chain")
    env.reset(0)
    assert rows(env, [0] * 20) == [(1, 0, 1)] * 19 + [(2, 0, 1)]
    assert env.finished() == [(0, 0.0, 20, 0)]


def test_the_chains_values_by_hand():
    assert chain_q_star(0.5).tolist() == [
        [0.0625, 0.125],
        [0.0625, 0.25],
        [0.125, 0.5],
        [0.25, 1.0],
        [0.0, 0.0],
    ]


def test_the_chains_values_are_a_fixed_point_of_its_own_steps():
    q, gamma = chain_q_star(0.9), 0.9
    game = make_env("toy:chain")._games[0]
    obs = np.zeros(5, np.float32)
    for cell in range(4):
        for action in (0, 1):
            game.load_state_dict({"cell": cell, "tally": {"score": 0.0, "steps": 0, "over": False}})
            reward, discount, _ = game.step(action, obs)
            assert q[cell, action] == pytest.approx(reward + discount * gamma * q[obs.argmax()].max())


def column(frame):
    """The ball's column in one 44x44 frame, read off its pixels."""
    return int(frame[:40].any(axis=0).argmax()) // 4


def test_a_catch_frame_holds_one_ball_and_one_paddle():
    first = make_env("toy:catch").reset(0)
    frame = first.observation[0, -1]
    assert not first.observation[0, :-1].any()
    assert (frame == 255).sum() == 32 and set(np.unique(frame)) == {0, 255}
    assert frame[:4].any(axis=0).sum() == 4  # the ball in the top row
    assert frame[40:, 20:24].all()  # the paddle in the middle of the bottom


def test_a_paddle_that_follows_the_ball_plays_to_the_time_limit():
    env = make_env("toy:catch")
    now = env.reset(0)
    paddle, seen = 5, []
    for _ in range(35):
        move = np.sign(column(now.observation[0, -1]) - paddle) if now.observation[0, -1, :40].any() else 0
        paddle += move
        now = env.step(np.array([1 + move]))
        seen.append((int(now.step_type[0]), float(now.reward[0]), float(now.discount[0])))
    assert [k for k, row in enumerate(seen, 1) if row[1] == 1] == [10, 20, 30]
    assert seen[-1] == (StepType.LAST, 0, 1)
    assert env.finished() == [(0, 3.0, 35, 0)]


def test_a_missed_ball_ends_catch():
    env = make_env("toy:catch")
    now = env.reset(0)
    away = 0 if column(now.observation[0, -1]) > 5 else 2
    assert rows(env, [away] * 10) == [(1, 0, 1)] * 9 + [(2, -1, 0)]
    assert env.finished() == [(0, -1.0, 10, 0)]


def test_with_lives_a_missed_ball_ends_the_episode_and_not_the_game():
    env = make_env("toy:lives")
    now = env.reset(0)
    away = 0 if column(now.observation[0, -1]) > 5 else 2
    assert rows(env, [away] * 10)[-1] == (StepType.LAST, -1, 0)
    assert env.finished() == []
    first = env.step(np.array([0]))
    assert first.step_type[0] == StepType.FIRST
    assert not first.observation[0, :-1].any()
    assert first.observation[0, -1, 40:, 0 if away == 0 else 40].all()  # the paddle is where it was


def test_short_games_with_lives_see_every_kind_of_end():
    env, ends = make_env("toy:lives", 1), set()
    env.reset(0)
    for action in np.random.default_rng(0).integers(3, size=3000):
        now = env.step(np.array([action]))
        if now.step_type[0] == StepType.LAST:
            ends.add((float(now.discount[0]), bool(env.finished())))
    assert ends == {(0.0, False), (0.0, True), (1.0, True)}  # a lost life, the last one, the time limit


def test_balls_fall_in_every_column():
    game, seen = Catch(), set()
    game.seed(0)
    obs = np.zeros((4, 44, 44), np.uint8)
    for _ in range(200):
        game._tally.over = True
        game.reset(obs)
        seen.add(column(obs[-1]))
    assert seen == set(range(11))


def test_the_counter_counts_and_pays_in_powers_of_ten():
    env = make_env("toy:counter")
    assert env.reset(0).observation.tolist() == [[0, 0]]
    steps = [env.step(np.array([0])) for _ in range(2)]
    assert [s.observation.tolist() for s in steps] == [[[1, 0]], [[2, 0]]]
    assert [r for _, r, _ in rows(env, [0] * 9)] == [100, 1000, 1, 10, 100, 1000, 1, 10, 100]


def test_the_counter_ends_truly_and_by_time_in_turn():
    env = make_env("toy:counter")
    env.reset(0)
    assert rows(env, [0] * 11)[-1] == (2, 100, 0)
    assert env.step(np.array([0])).observation.tolist() == [[0, 1]]
    assert rows(env, [0] * 7)[-1] == (2, 100, 1)
    assert [whole.steps for whole in env.finished()] == [11, 7]


def pushed(env, force):
    """(step type, reward, discount, x) after an action."""
    now = env.step(np.array([[force]], np.float32))
    return int(now.step_type[0]), float(now.reward[0]), float(now.discount[0]), float(now.observation[0, 0])


def test_a_reach_moves_by_a_fifth_of_the_action_and_pays_its_distance():
    env = make_env("toy:reach")
    x = float(env.reset(0).observation[0, 0])
    assert -1 <= x <= 1
    for force, moved in ((0.5, 0.1), (-1.0, -0.2), (3.0, 0.2)):
        x += moved
        assert pushed(env, force) == (1, pytest.approx(-abs(x), abs=1e-6), 1, pytest.approx(x, abs=1e-6))


def test_a_reach_truly_ends_at_the_edge():
    env = make_env("toy:reach")
    x = float(env.reset(0).observation[0, 0])
    steps = int(np.ceil((1.5 - x) / 0.2))
    told = [pushed(env, 1.0) for _ in range(steps)]
    assert [row[::2] for row in told] == [(1, 1)] * (steps - 1) + [(2, 0)]
    assert env.finished()[0].steps == steps


def test_a_reach_is_cut_off_after_12_steps():
    env = make_env("toy:reach")
    env.reset(0)
    assert [pushed(env, 0.0)[::2] for _ in range(12)] == [(1, 1)] * 11 + [(2, 1)]


def test_reaches_start_evenly_on_both_sides():
    starts = [float(make_env("toy:reach").reset(seed).observation[0, 0]) for seed in range(200)]
    assert -1 <= min(starts) < -0.9 and 0.9 < max(starts) <= 1
    assert abs(np.mean(starts)) < 0.12  # three standard errors
