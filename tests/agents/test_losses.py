"""TD losses and the bootstrap, by hand (algorithms A.0.4); distributions around a number (B.16)."""

import math

import pytest
import torch

from agents.losses import at, bootstrap, hl_gauss, huber, squared, support, two_hot

FOLLOWING = torch.tensor([[1.0, 3.0], [4.0, 2.0]])
JUDGE = torch.tensor([[9.0, 0.0], [0.0, 9.0]])


@pytest.mark.parametrize(
    ("td", "value"), [(0.0, 0.0), (0.5, 0.125), (-0.5, 0.125), (1.0, 0.5), (3.0, 2.5), (-3.0, 2.5)]
)
def test_huber_is_half_the_square_up_to_one_and_linear_beyond(td, value):
    assert huber(torch.tensor([td])).item() == value


def test_huber_with_another_kappa():
    assert huber(torch.tensor([0.5, 2.0, 5.0]), kappa=2.0).tolist() == [0.125, 2.0, 2 * (5 - 1)]


@pytest.mark.parametrize("kappa", [1.0, 0.5])
def test_the_gradient_of_huber_is_the_clipped_error(kappa):
    td = torch.tensor([-1e6, -3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0, 1e6], requires_grad=True)
    huber(td, kappa).sum().backward()
    assert td.grad.tolist() == td.detach().clamp(-kappa, kappa).tolist()


def test_huber_does_not_hide_a_nan():
    assert huber(torch.tensor([torch.nan])).isnan().all()


def test_the_squared_error_has_no_half():
    assert squared(torch.tensor([-3.0, 0.5])).tolist() == [9, 0.25]


def test_at_takes_the_value_of_the_action_taken():
    assert at(FOLLOWING, torch.tensor([1, 0])).tolist() == [3, 4]


def test_the_bootstrap_by_hand():
    reward, discount = torch.tensor([10.0, 20.0]), torch.tensor([0.5, 0.5])
    assert bootstrap(reward, discount, FOLLOWING, FOLLOWING).tolist() == [10 + 0.5 * 3, 20 + 0.5 * 4]


def test_double_lets_the_judge_choose_and_the_target_pay():
    reward, discount = torch.tensor([10.0, 20.0]), torch.tensor([0.5, 0.5])
    assert bootstrap(reward, discount, FOLLOWING, JUDGE).tolist() == [10 + 0.5 * 1, 20 + 0.5 * 2]


def test_a_true_end_is_worth_its_reward_alone():
    reward, discount = torch.tensor([10.0, 20.0]), torch.zeros(2)
    assert bootstrap(reward, discount, FOLLOWING, JUDGE).tolist() == [10, 20]


def test_no_gradient_flows_through_the_bootstrap():
    following = FOLLOWING.clone().requires_grad_()
    assert not bootstrap(torch.zeros(2), torch.ones(2), following, following).requires_grad


# ---- distributions around a number (B.16)


def test_the_bins_of_hl_gauss_lie_within_the_range_and_those_of_two_hot_reach_its_ends():
    assert support(-1, 1, 4, "hl_gauss").tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert support(-1, 1, 3, "two_hot").tolist() == [-1, 0, 1]


def test_hl_gauss_sums_to_1_and_its_mean_is_within_a_bin_of_any_number_inside():
    bins = support(-10, 10, 51, "hl_gauss")
    value = torch.linspace(-10, 10, 401)
    p = hl_gauss(value, bins)
    torch.testing.assert_close(p.sum(1), torch.ones(401))
    assert ((p @ bins - value).abs() < 20 / 51).all()


def test_hl_gauss_of_no_width_is_one_hot():
    bins = support(-1, 1, 4, "hl_gauss")
    p = hl_gauss(torch.tensor([-0.9, -0.1, 0.4, 0.6]), bins, ratio=1e-6)
    assert torch.equal(p, torch.eye(4))


def test_hl_gauss_is_the_mass_between_the_edges_by_hand():
    """Two bins of width 1 on [-1, 1], sigma .75 around .5: edges at -1.5, -.5 and .5 of it."""
    phi = lambda x: 0.5 * (1 + math.erf(x / 0.75 / math.sqrt(2)))
    whole = phi(0.5) - phi(-1.5)
    expected = [(phi(-0.5) - phi(-1.5)) / whole, (phi(0.5) - phi(-0.5)) / whole]
    assert hl_gauss(torch.tensor([0.5]), support(-1, 1, 2, "hl_gauss"))[0].tolist() == pytest.approx(expected)


def test_hl_gauss_beyond_the_range_is_that_of_its_end():
    bins = support(-1, 1, 4, "hl_gauss")
    far = hl_gauss(torch.tensor([-1e6, 1e6, torch.inf]), bins)
    torch.testing.assert_close(far, hl_gauss(torch.tensor([-1.0, 1.0, 1.0]), bins))


def test_two_hot_has_the_number_as_its_mean_and_at_most_two_bins():
    bins, value = support(-10, 10, 51, "two_hot"), torch.linspace(-10, 10, 401)
    p = two_hot(value, bins)
    torch.testing.assert_close(p @ bins, value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(p.sum(1), torch.ones(401), rtol=1e-4, atol=0)
    assert ((p > 0).sum(1) <= 2).all()
