import numpy as np
import pytest
import replay_oracle as ro

from replay.nstep import discounts, ends, length, returns

NO, YES = False, True


def test_return_sums_the_first_k_rewards():
    reward = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]], np.float32)
    assert returns(reward, np.array([1, 2, 3]), 0.5).tolist() == [1.0, 2.0, 2.75]


def test_return_is_summed_in_float64():
    reward = np.array([[2.0**25, 1.0, -(2.0**25)]], np.float32)
    assert returns(reward, np.array([3]), 1.0).tolist() == [1.0]


def test_discount_counts_the_steps_there_were():
    assert discounts(np.array([1, 1, 0], np.float32), np.array([1, 3, 2]), 0.5).tolist() == [0.5, 0.125, 0.0]


def test_length_stops_at_the_first_stop():
    assert length(np.array([[NO, YES, YES], [NO, NO, YES], [YES, NO, YES]])).tolist() == [2, 3, 1]


def test_window_ends_at_last_at_the_newest_row_and_at_n():
    kinds = np.array([[1, 2, 0], [1, 1, 1], [1, 1, 1]])
    ahead = np.array([[1, 2, 3], [2, 3, 4], [5, 6, 7]])
    wanted = [[NO, YES, YES], [NO, NO, YES], [NO, YES, YES]]
    assert ends(kinds, ahead, present=6).tolist() == wanted


def test_a_window_has_at_least_one_step():
    replay = ro.play(ro.random_events(0, rows=20), stack=1, capacity=30, n=1, gamma=0.9)
    with pytest.raises(ValueError, match="n is 0"):
        replay.sample(4, np.random.default_rng(0), n=0)


def test_n_and_gamma_may_change_between_samples():
    events = ro.random_events(1, 2, rows=50)
    replay, truth = ro.make(60, 4, 2), ro.Oracle(60, 4, 2)
    for step in ro.games(events, 2, 4):
        replay.add(*step)
        truth.add(*step)
    for n, gamma in [(10, 0.97), (5, 0.98), (3, 0.997)]:
        ro.compare(replay, truth, n, gamma)
