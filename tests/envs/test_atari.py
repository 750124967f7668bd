"""Atari: the preprocessing against scripted consoles, worked by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from dm_env import StepType

from envs.atari import AtariGame, AtariSettings
from envs.batch import Games

PLAIN = AtariSettings(sticky=0.0)


def env_of(console, **settings):
    env = Games([AtariGame("Scripted", console, replace(PLAIN, **settings))])
    return env, env.reset(0)


def planes(step):
    """The stack of a scripted console, whose planes are constant, as four numbers."""
    obs = step.observation[0]
    assert (obs == obs[:, :1, :1]).all()
    return obs[:, 0, 0].tolist()


def step(env, action=0):
    return env.step(np.array([action]))


def test_a_stack_is_zero_where_the_episode_has_no_past(scripted):
    env, first = env_of(scripted())
    assert planes(first) == [0, 0, 0, 10]
    assert planes(step(env)) == [0, 0, 10, 14]
    assert planes(step(env)) == [0, 10, 14, 18]


@pytest.mark.parametrize(("skip", "newest"), [(4, 97), (2, 99), (1, 99)])
def test_the_two_last_screens_of_a_step_are_pooled_by_their_maximum(scripted, skip, newest):
    class Fading(scripted):
        def screen(self, out):
            out[...] = 100 - self.frame

    env, first = env_of(Fading(), frame_skip=skip)
    assert planes(first)[-1] == 100
    assert planes(step(env))[-1] == newest  # frames 1, 2, 3, 4 show 99, 98, 97, 96


@pytest.mark.parametrize(("skip", "newest"), [(1, 11), (2, 12), (3, 13), (5, 15)])
def test_every_frame_skip_shows_its_last_frame(scripted, skip, newest):
    env, _ = env_of(scripted(), frame_skip=skip)
    assert planes(step(env))[-1] == newest
    assert env.spec.frames_per_step == skip


def test_with_the_flag_a_lost_life_ends_the_episode_and_not_the_game(scripted):
    console = scripted(lost=(6,))
    env, _ = env_of(console, life_loss=True)
    step(env)
    then = step(env)
    assert (then.step_type[0], then.discount[0]) == (StepType.LAST, 0)
    assert env.finished() == []
    newest = planes(then)[-1]
    first = step(env)
    assert (first.step_type[0], first.reward[0], first.discount[0]) == (StepType.FIRST, 0, 1)
    assert planes(first) == [0, 0, 0, newest]
    assert (console.frame, console.games) == (6, 1)  # stopped in frame 6, and nothing has moved since


def test_a_life_lost_in_the_first_frame_of_a_game_counts(scripted):
    env, _ = env_of(scripted(lost=(1,)), life_loss=True)
    assert step(env).step_type[0] == StepType.LAST


def test_without_the_flag_a_lost_life_is_nothing(scripted):
    env, _ = env_of(scripted(lost=(2,)))
    then = step(env)
    assert (then.step_type[0], then.discount[0]) == (StepType.MID, 1)
    assert planes(then) == [0, 0, 10, 14]


def test_a_gained_life_ends_nothing(scripted):
    console = scripted(lost=(0, 0))
    env, _ = env_of(console, life_loss=True)
    console.lost = ()
    assert step(env).step_type[0] == StepType.MID


def test_game_over_stops_the_skip_and_finishes_the_game(scripted):
    console = scripted(over=6, reward=2.0)
    env, _ = env_of(console)
    step(env)
    then = step(env)
    assert (then.step_type[0], then.discount[0], console.frame) == (StepType.LAST, 0, 6)
    assert env.finished() == [(0, 12.0, 2, 0)]
    assert planes(step(env)) == [0, 0, 0, 10]
    assert console.games == 2


def test_a_last_life_lost_before_game_over_finishes_the_game_once(scripted):
    env, _ = env_of(scripted(lost=(2,), over=8), life_loss=True)
    assert step(env).step_type[0] == StepType.LAST
    assert env.finished() == []
    assert [int(step(env).step_type[0]) for _ in range(3)] == [StepType.FIRST, StepType.MID, StepType.LAST]
    assert len(env.finished()) == 1


def test_the_time_limit_counts_emulator_frames_and_leaves_the_discount_alone(scripted):
    console = scripted(reward=1.0)
    env, _ = env_of(console, max_frames=10)
    kinds = [int(step(env).step_type[0]) for _ in range(2)]
    then = step(env)
    assert kinds == [StepType.MID, StepType.MID]
    assert (then.step_type[0], then.discount[0], console.frame) == (StepType.LAST, 1, 12)
    assert env.finished() == [(0, 12.0, 3, 0)]
    assert planes(step(env)) == [0, 0, 0, 10]
    assert [int(step(env).step_type[0]) for _ in range(3)] == [StepType.MID, StepType.MID, StepType.LAST]
    assert console.games == 2


def test_the_opening_of_a_game_counts_towards_its_time_limit(scripted):
    env, _ = env_of(scripted(), fire=True, max_frames=12)
    assert step(env).step_type[0] == StepType.LAST


def test_the_time_limit_spans_lost_lives(scripted):
    env, _ = env_of(scripted(lost=(2,)), life_loss=True, max_frames=10)
    rows = [step(env) for _ in range(4)]  # 2 frames; the life is lost; 4 frames; 4 frames
    assert (rows[-1].step_type[0], rows[-1].discount[0]) == (StepType.LAST, 1)
    assert len(env.finished()) == 1


@pytest.mark.parametrize(("clip", "learned"), [(True, 1.0), (False, 12.0)])
def test_rewards_are_clipped_for_learning_and_scores_never_are(scripted, clip, learned):
    env, _ = env_of(scripted(over=8, reward=3.0), clip_reward=clip)
    assert [float(step(env).reward[0]) for _ in range(2)] == [learned, learned]
    assert env.finished() == [(0, 24.0, 2, 0)]


def test_negative_rewards_are_clipped_too(scripted):
    env, _ = env_of(scripted(reward=-3.0))
    assert step(env).reward[0] == -1


def test_stickiness_is_drawn_for_every_emulator_frame(scripted):
    console, steps = scripted(), 1500
    game = AtariGame("Scripted", console, AtariSettings(sticky=0.25))
    game.seed(0)
    game.emulator.reset()
    for k in range(steps):
        game._repeat(k % 2)
    stale = np.array(console.played).reshape(steps, 4) != (np.arange(steps) % 2)[:, None]
    # A frame still plays the last step's action after 1, 2, 3, 4 repeats in a row: 1/4, 1/16, 1/64, 1/256.
    assert stale.mean(axis=0) == pytest.approx([0.25, 0.0625, 0.0156, 0.004], abs=0.03)
    assert abs(stale[:, 0].mean() - 0.25) < 0.034  # three standard errors


def test_a_game_starts_with_no_action_to_repeat(scripted):
    console = scripted(over=8)
    env, _ = env_of(console, sticky=1.0)
    for _ in range(5):
        step(env, action=2)
    assert set(console.played) == {0}


def test_the_previous_action_is_forgotten_at_a_new_game(scripted):
    console = scripted(over=8)
    game = AtariGame("Scripted", console, PLAIN)
    obs = np.zeros(game.spec.observation.shape, np.uint8)
    game.seed(0)
    game.reset(obs)
    last = [game.step(2, obs)[-1] for _ in range(2)]
    game.reset(obs)
    assert last == [False, True]
    assert (console.played[-1], game.state_dict()["previous"]) == (3, 0)


def test_noops_are_single_frames_from_one_to_the_most(scripted):
    console = scripted(over=12)
    game = AtariGame("Scripted", console, replace(PLAIN, noops=3))
    obs = np.zeros(game.spec.observation.shape, np.uint8)
    starts = Counter()
    for seed in range(60):
        game.seed(seed)
        game.reset(obs)
        starts[console.frame] += 1
        assert obs[:, 0, 0].tolist() == [0, 0, 0, 10 + console.frame]
    assert sorted(starts) == [1, 2, 3]
    assert min(starts.values()) > 10


def test_noops_come_at_new_games_only(scripted):
    console = scripted(lost=(6,), over=40)
    env, _ = env_of(console, noops=3, life_loss=True)
    while step(env).step_type[0] != StepType.LAST:
        pass
    step(env)
    assert console.frame == 6


def test_fire_and_the_next_action_are_pressed_for_a_step_each_at_every_first(scripted):
    console = scripted(lost=(12,), reward=1.0)
    env, first = env_of(console, fire=True, life_loss=True)
    assert console.played == [1] * 4 + [3] * 4
    assert planes(first) == [0, 0, 0, 18]
    step(env)
    console.played.clear()
    assert planes(step(env)) == [0, 0, 0, 30]
    assert console.played == [1] * 4 + [3] * 4


def test_rewards_of_the_opening_presses_belong_to_the_score(scripted):
    env, _ = env_of(scripted(over=12, reward=1.0), fire=True)
    step(env)
    assert env.finished() == [(0, 12.0, 1, 0)]


def test_a_game_that_dies_in_its_opening_is_reported_one_step_later(scripted):
    env, first = env_of(scripted(over=6, reward=0.0), fire=True)
    then = step(env)
    assert (first.step_type[0], then.step_type[0], then.discount[0]) == (StepType.FIRST, StepType.LAST, 0)
    assert len(env.finished()) == 1


def test_a_game_without_fire_is_not_fired_at(scripted):
    console = scripted()
    console.actions = [0, 3, 4]
    env_of(console, fire=True)
    assert console.played == []


def test_actions_index_the_minimal_set(scripted):
    console = scripted()
    env, _ = env_of(console)
    step(env, action=2)
    assert (env.spec.action.n, console.played) == (4, [3, 3, 3, 3])


def test_the_emulator_is_seeded_by_the_game(scripted):
    class Listening(scripted):
        def seed(self, seed):
            self.played.append(seed)

    console = Listening()
    game = AtariGame("Scripted", console, PLAIN)
    for seed in (1, 1, 2):
        game.seed(seed)
    assert console.played[0] == console.played[1] != console.played[2]
