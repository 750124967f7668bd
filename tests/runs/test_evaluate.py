"""Evaluation: the first whole game of each environment, with raw scores, outside the clock."""

import numpy as np
import pytest

from envs.make import make_env
from envs.spec import Finished
from runs.evaluate import play
from tests.agents.tiny import agent, walked


class Scripted:
    """Games that end where the script says: [(env, score), ...] for each step."""

    def __init__(self, num_envs, script):
        self.num_envs, self.script, self.steps, self.seeds = num_envs, script, 0, []

    def reset(self, seed):
        self.seeds.append(seed)

    def step(self, action):
        self.steps += 1

    def finished(self):
        return [Finished(env, score, 1) for env, score in self.script.get(self.steps, [])]


def right(now):
    return np.ones(len(now.observation), np.int64)


def test_one_game_of_each_environment_the_first():
    games = Scripted(3, {1: [(0, 5.0)], 2: [(0, 99.0)], 4: [(2, 7.0), (0, 98.0)], 6: [(1, -3.0)]})
    assert play(lambda now: None, games, 4).tolist() == [5, -3, 7]
    assert (games.steps, games.seeds) == (6, [4])


def test_a_score_of_zero_is_a_score():
    games = Scripted(1, {1: [(0, 0.0)], 2: [(0, 9.0)]})
    assert play(lambda now: None, games, 4).tolist() == [0]


def test_two_games_that_end_at_once_are_both_counted():
    assert play(lambda now: None, Scripted(2, {3: [(1, 2.0), (0, 1.0)]}), 0).tolist() == [1, 2]


def test_an_evaluation_that_is_told_to_stop_has_no_result():
    games, asked = Scripted(1, {50: [(0, 1.0)]}), iter([False, False, True])
    assert play(lambda now: None, games, 0, lambda: next(asked)) is None
    assert games.steps == 2


def test_the_best_policy_of_the_chain_scores_one_everywhere():
    assert play(right, make_env("toy:chain", 4), 0).tolist() == [1, 1, 1, 1]


def test_the_same_seed_gives_the_same_games_and_another_does_not():
    def scores(seed):
        return play(right, make_env("toy:catch", 8), seed).tolist()

    assert scores(3) == scores(3)
    assert any(scores(3) != scores(seed) for seed in range(4, 8))


def test_a_score_is_of_the_whole_game_not_of_a_life():
    scores = play(right, make_env("toy:lives", 20), 0)  # two lives: at least one ball is dropped twice
    assert scores.min() == -2


@pytest.mark.parametrize("num_envs", [1, 3])
def test_evaluation_moves_neither_the_agent_nor_its_clock(num_envs):
    from runs import pack

    learner = walked(*agent(num_envs=num_envs), 60)
    before = pack.digest(learner.state_dict())
    rng = np.random.default_rng(0)
    play(lambda now: learner.act(now, rng, greedy=True), make_env("toy:chain", 5), 0)
    assert pack.digest(learner.state_dict()) == before
