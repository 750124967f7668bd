"""Human-normalised scores, by hand."""

import pytest

from runs.scores import RANDOM_AND_HUMAN, human_normalised


@pytest.mark.parametrize(
    ("game", "score", "expected"),
    [
        ("Pong", -20.7, 0.0),
        ("Pong", 14.6, 1.0),
        ("Pong", 21.0, 41.7 / 35.3),
        ("Alien", 1032.5, 0.116624),  # 804.7 / 6899.9: BBF's own table has .1166
        ("MontezumaRevenge", 400.0, 400 / 4753.3),
        ("DoubleDunk", -16.4, 1.0),
        ("Skiing", -17098.1, 0.0),
    ],
)
def test_a_score_is_normalised_by_random_and_human(game, score, expected):
    assert human_normalised(game, score) == pytest.approx(expected, abs=1e-6)


def test_a_game_nobody_measured_has_no_normalised_score():
    assert human_normalised("Tetris", 10.0) is None
    assert human_normalised("CartPole-v1", 500.0) is None


def test_the_table_holds_57_games_with_a_human_above_random():
    assert len(RANDOM_AND_HUMAN) == 57
    assert all(human > random for random, human in RANDOM_AND_HUMAN.values())


def test_where_the_sources_disagree_the_table_is_dqn_zoos():
    assert RANDOM_AND_HUMAN["VideoPinball"] == (16256.9, 17667.9)
    assert RANDOM_AND_HUMAN["Defender"] == (2874.5, 18688.9)
    assert RANDOM_AND_HUMAN["Surround"] == (-10.0, 6.5)
