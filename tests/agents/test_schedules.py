"""n and gamma over a cycle of BBF (algorithms A.4.2)."""

import pytest

from agents.schedules import annealed_gamma, annealed_n


@pytest.mark.parametrize(
    ("updates", "n"), [(0, 10), (1_000, 9), (2_500, 7), (5_000, 5), (7_500, 4), (10_000, 3), (40_000, 3)]
)
def test_n_falls_from_10_to_3(updates, n):
    assert annealed_n(updates) == n


@pytest.mark.parametrize("updates", [0, 1, 2_500, 5_000, 7_500, 9_999, 10_000, 40_000])
def test_gamma_follows_its_formula_to_1e_6(updates):
    passed = min(updates / 10_000, 1)
    assert annealed_gamma(updates) == pytest.approx(1 - 0.03 * 0.1**passed, abs=1e-6)


@pytest.mark.parametrize(
    ("updates", "gamma"), [(0, 0.97), (2_500, 0.9831), (5_000, 0.9905), (7_500, 0.9947), (10_000, 0.997)]
)
def test_gamma_at_each_quarter(updates, gamma):
    assert annealed_gamma(updates) == pytest.approx(gamma, abs=5e-5)


def test_the_discount_of_the_bootstrap_rises_from_737_to_991_thousandths():
    assert annealed_gamma(0) ** annealed_n(0) == pytest.approx(0.737, abs=5e-4)
    assert annealed_gamma(10_000) ** annealed_n(10_000) == pytest.approx(0.991, abs=5e-4)


def test_n_never_rises_and_gamma_never_falls():
    ns, gammas = zip(*((annealed_n(x), annealed_gamma(x)) for x in range(0, 12_000, 50)), strict=True)
    assert list(ns) == sorted(ns, reverse=True)
    assert list(gammas) == sorted(gammas)
    assert set(ns) == set(range(3, 11))


@pytest.mark.parametrize("updates", [0, 5_000, 50_000])
def test_equal_ends_or_no_time_are_no_schedule(updates):
    assert annealed_n(updates, 3, 3) == annealed_n(updates, 10, 3, over=0) == 3
    assert annealed_gamma(updates, 0.99, 0.99) == pytest.approx(0.99, abs=1e-12)
    assert annealed_gamma(updates, 0.97, 0.997, over=0) == pytest.approx(0.997, abs=1e-12)


def test_twice_the_time_is_half_the_pace():
    assert annealed_n(5_000, over=20_000) == annealed_n(2_500) == 7
    assert annealed_gamma(5_000, over=20_000) == annealed_gamma(2_500)
