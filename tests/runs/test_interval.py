"""Figures and their intervals: by hand, and beside scipy and rliable."""

import numpy as np
import pytest
from rliable import library, metrics
from scipy.stats import trim_mean

from runs.interval import DRAWS, FIGURES, draw, estimate, figures, iqm, resampled
from runs.rng import stream

# SPR with resets (Nikishin et al. 2022): human-normalised mean of 32 released runs of each of 26 games at 100k steps.
SPR_RESETS = (
    *(0.101, 0.114, 1.423, 0.095, 0.729, 0.189, 2.646, 0.759, 0.135, 0.747, 1.456, 0.619, 0.409),
    *(0.316, 0.195, 1.417, 0.711, 3.014, 0.658, 0.153, 0.352, 0.001, 0.283, 1.662, 0.014, 5.492),
)


def games(*scores):
    return [np.array(runs, dtype=float) for runs in scores]


def test_the_four_figures_by_hand():
    scores = games([0.0, 0.2, 0.4, 9.0], [0.6, 0.8, 1.0, 5.0])
    assert FIGURES == ("IQM", "median", "mean", "optimality gap")
    iqm_, median, mean, gap = figures(scores)
    assert iqm_ == pytest.approx((0.4 + 0.6 + 0.8 + 1.0) / 4)  # of 8, two go at each end
    assert median == mean == pytest.approx((2.4 + 1.85) / 2)
    assert gap == pytest.approx((1.0 + 0.8 + 0.6 + 0.4 + 0.2) / 8)


def test_the_median_is_of_each_games_mean():
    assert figures(games([0.0, 2.0], [9.0, 11.0], [0.0, 6.0]))[1] == 3.0  # of 1, 10, 3; of all six runs it is 4


@pytest.mark.parametrize(("runs", "kept"), [(3, slice(0, 3)), (4, slice(1, 3)), (7, slice(1, 6)), (9, slice(2, 7))])
def test_the_iqm_drops_a_quarter_of_the_runs_at_each_end_rounded_down(runs, kept):
    scores = np.arange(runs) ** 2.0
    assert figures([scores[::-1]])[0] == pytest.approx(scores[kept].mean())


def test_with_unequal_runs_iqm_and_gap_weigh_runs_and_median_and_mean_weigh_games():
    found = figures(games([0.0] * 6, [1.0] * 2))
    assert found.tolist() == [0.0, 0.5, 0.5, 0.75]


def test_an_iqm_over_time_is_the_iqm_at_each_time():
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=(runs, 5)) for runs in (3, 4, 6)]
    expected = [figures([game[:, t] for game in scores])[0] for t in range(5)]
    assert iqm(scores) == pytest.approx(expected)
    assert expected[2] == pytest.approx(trim_mean(np.concatenate(scores)[:, 2], 0.25))


def test_a_resample_holds_each_games_own_runs_as_many_as_it_has():
    scores, rng = games([1, 2, 3], [10, 20], [100]), stream(0, "x")
    seen = [set(), set(), set()]
    for _ in range(100):
        drawn = resampled(scores, rng)
        assert [len(game) for game in drawn] == [3, 2, 1]
        seen = [old | set(game.tolist()) for old, game in zip(seen, drawn, strict=True)]
    assert seen == [{1, 2, 3}, {10, 20}, {100}]


def test_games_that_differ_widely_do_not_widen_the_interval():
    low, middle, high = estimate(games([0.0] * 5, [100.0] * 5), figures, draws=50)
    assert low.tolist() == middle.tolist() == high.tolist() == [50.0, 50.0, 50.0, 0.5]


def test_a_resampled_run_keeps_its_whole_curve():
    (drawn,) = resampled([np.array([[0, 0], [1, 1], [2, 2]])], stream(0, "x"))
    assert (drawn[:, 0] == drawn[:, 1]).all()


def test_the_interval_is_the_percentiles_of_the_resamples():
    scores, rng = games([0, 1, 2, 3], [4, 6]), stream(3, "bootstrap")
    drawn = sorted(figures(resampled(scores, rng))[2] for _ in range(81))
    low, middle, high = estimate(scores, figures, draws=81, seed=3)
    assert (low[2], middle[2], high[2]) == (drawn[2], 3.25, drawn[78])  # 2.5 and 97.5 percent of 0..80


def test_the_interval_is_the_same_for_the_same_seed_whatever_numpys_own_generator_does():
    scores = games([0.1, 0.5, 0.9], [0.2, 0.3, 0.7])
    first = estimate(scores, figures, draws=60)
    np.random.seed(7)  # noqa: NPY002
    assert np.array_equal(first, estimate(scores, figures, draws=60))
    assert not np.array_equal(first, estimate(scores, figures, draws=60, seed=1))


def test_the_interval_is_rliables_where_every_game_has_as_many_runs():
    scores = np.random.default_rng(0).gamma(1.0, size=(6, 8))  # [R, G]
    _, theirs = library.get_interval_estimates(
        {"a": scores}, lambda x: np.array([metrics.aggregate_iqm(x), metrics.aggregate_mean(x)]), reps=DRAWS
    )
    low, _, high = estimate(list(scores.T), figures)
    width = (high - low)[[0, 2]]
    assert np.abs(low[[0, 2]] - theirs["a"][0]) == pytest.approx(0, abs=0.08 * width.max())
    assert np.abs(high[[0, 2]] - theirs["a"][1]) == pytest.approx(0, abs=0.08 * width.max())


def test_published_means_of_26_games_give_the_published_median_and_mean():
    _, median, mean, _ = figures(games(*([score] for score in SPR_RESETS)))
    assert len(SPR_RESETS) == 26
    assert (round(median, 2), round(mean, 2)) == (0.51, 0.91)  # the table in the README of rl_with_resets


@pytest.mark.parametrize("curves", [0, 1, 2])
def test_a_picture_is_drawn_with_and_without_curves(tmp_path, curves):
    found = {name: estimate(games([0, 1], [1, 2]), figures, draws=9) for name in ("a", "b")}
    line = np.arange(3.0)
    bands = dict([("b", (line, line, line + 1, line + 2)), ("a", (line, line, line, line))][:curves])
    draw(found, FIGURES, bands, "hns/eval", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
