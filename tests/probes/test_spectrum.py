"""Ranks of matrices whose spectrum is known (algorithms C.5)."""

import math

import pytest
import torch

from probes.spectrum import above, centred, effective, numerical, participation, pca, ranks, singular, srank, stable

SAME = ("srank", "pca99", "effective", "above", "numerical", "stable", "participation")


def spectrum(*values):
    return torch.tensor(values, dtype=torch.float64)


def of_rank(r, rows=96, columns=32):
    g = torch.Generator().manual_seed(r)
    return torch.randn(rows, r, generator=g) @ torch.randn(r, columns, generator=g)


@pytest.mark.parametrize("r", [1, 5, 17, 32])
def test_a_matrix_of_rank_r_has_numerical_rank_r_and_no_larger_one(r):
    found = ranks(singular(of_rank(r)), 96, 32)
    assert found["numerical"] == r
    assert all(found[kind] <= r + 1e-4 for kind in SAME)


@pytest.mark.parametrize("r", [1, 4, 8])
def test_r_equal_singular_values_are_r_by_every_measure(r):
    q, _ = torch.linalg.qr(torch.randn(20, r, generator=torch.Generator().manual_seed(0)))
    found = ranks(singular(q @ torch.eye(r, 8)), 20, 8)
    assert found == {kind: pytest.approx(r, abs=1e-5) for kind in SAME}


def test_the_measures_by_hand():
    s = spectrum(98.5, 1.0, 0.5)  # s sums to 100: .985, .995; s^2 to 9703.5: the first is .9999
    assert (srank(s), pca(s)) == (2, 1)
    assert (srank(s, 0.001), srank(s, 0.02)) == (3, 1)
    assert stable(s) == pytest.approx((98.5**2 + 1.25) / 98.5**2)
    assert participation(s) == pytest.approx((98.5**2 + 1.25) ** 2 / (98.5**4 + 1.0625))
    p = (0.985, 0.01, 0.005)
    assert effective(s) == pytest.approx(math.exp(-sum(x * math.log(x) for x in p)))


def test_one_percent_of_the_sum_is_met_exactly():
    assert srank(spectrum(*[1.0] * 128)) == 127  # 127/128 = .9922, 126/128 = .984
    assert pca(spectrum(*[1.0] * 128)) == 127
    assert srank(spectrum(99.0, 1.0)) == 1  # at least .99


def test_the_rank_of_lyle_sees_the_scale_and_divides_by_the_root_of_the_rows():
    s = spectrum(1.0, 0.11, 0.09)
    assert (above(s, 100), above(s, 64), above(s / 20, 100), above(s, 100, 0.2)) == (2, 3, 0, 0)


def test_the_other_ranks_do_not_depend_on_the_scale():
    s = singular(of_rank(6))
    assert {**ranks(s, 96, 32), "above": 0} == {**ranks(s * 2.0**-20, 96, 32), "above": 0}


def test_the_numerical_rank_is_that_of_torch_in_float32():
    a = torch.diag(torch.tensor([1.0, 1e-3, 2e-6, 1e-7]))
    assert numerical(singular(a), 4) == int(torch.linalg.matrix_rank(a)) == 3
    assert numerical(spectrum(1.0, 1e-5), 100) == 1  # below 100 * 1.2e-7


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (16, 16)])
def test_singular_values_are_those_of_an_svd_from_either_side(shape):
    a = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(singular(a), torch.linalg.svdvals(a.double()), rtol=1e-9, atol=1e-9)


def test_random_relu_features_have_the_numbers_of_the_definitions():
    phi = torch.randn(512, 128, generator=torch.Generator().manual_seed(0)).relu()
    s = singular(phi)
    found = ranks(s, 512, 128)
    assert (found["srank"], found["above"], found["numerical"]) == (126, 128, 128)
    assert found["pca99"] == pytest.approx(122, abs=1)
    assert found["effective"] == pytest.approx(115, abs=1)
    assert found["stable"] == pytest.approx(3.1, abs=0.1)
    assert stable(singular(centred(phi))) == pytest.approx(57, abs=3)  # 128 / (1 + sqrt(128 / 512))^2 = 56.9


def test_a_matrix_of_zeros_has_only_counts():
    assert ranks(singular(torch.zeros(6, 3)), 6, 3) == {"above": 0, "numerical": 0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_spoilt_entry_spoils_every_rank(value):
    a = of_rank(3)
    a[5, 5] = value
    found = ranks(singular(a), 96, 32)
    assert set(found) == set(SAME)
    assert all(math.isnan(x) for x in found.values())
