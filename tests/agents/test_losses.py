"""TD losses and the bootstrap, by hand (algorithms A.0.4); distributions around a number (B.16)."""

import math

import pytest
import torch

from agents.losses import (
    at,
    bootstrap,
    bootstrap_atoms,
    bootstrap_quantiles,
    cross_entropy,
    hl_gauss,
    huber,
    projected,
    quantile_huber,
    rows,
    self_prediction,
    squared,
    support,
    two_hot,
)

FOLLOWING = torch.tensor([[1.0, 3.0], [4.0, 2.0]])
JUDGE = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
ATOMS = torch.linspace(-10, 10, 51)


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


# ---- distributions as goals (A.0.4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rows_are_the_atoms_of_the_action_taken():
    outputs = torch.arange(12.0).view(2, 3, 2)
    assert rows(outputs, torch.tensor([2, 0])).tolist() == [[4, 5], [6, 7]]


@pytest.mark.parametrize("bins", [ATOMS, torch.linspace(-10, 10, 201), torch.linspace(0, 1, 7)])
def test_the_projection_of_a_dirac_at_an_atom_is_itself(bins):
    n = len(bins)
    torch.testing.assert_close(
        projected(torch.eye(n), torch.zeros(n), torch.ones(n), bins), torch.eye(n), atol=1e-4, rtol=0
    )


def test_the_projected_mass_sums_to_1_after_clipping():
    mass = normal(64, 51).softmax(1)
    for reward in (0.0, 3.0, -50.0, 1e6):
        goal = projected(mass, torch.full((64,), reward), torch.linspace(0, 1, 64), ATOMS)
        assert (goal >= 0).all()
        torch.testing.assert_close(goal.sum(1), torch.ones(64), atol=1e-5, rtol=0)


def test_the_projected_mean_is_the_bellman_mean_where_nothing_is_clipped():
    mass, reward, discount = normal(64, 51).softmax(1), 2 * torch.rand(64) - 1, torch.full((64,), 0.9)
    mean = projected(mass, reward, discount, ATOMS) @ ATOMS
    torch.testing.assert_close(mean, reward + discount * (mass @ ATOMS), atol=1e-4, rtol=0)


def test_the_projection_by_hand():
    """Atoms -1, 0, 1; R = .25, gamma^k = .5: they go to -.25, .25 and .75."""
    goal = projected(
        torch.tensor([[0.5, 0.2, 0.3]]), torch.tensor([0.25]), torch.tensor([0.5]), support(-1, 1, 3, "c51")
    )
    expected = [0.5 * 0.25, 0.5 * 0.75 + 0.2 * 0.75 + 0.3 * 0.25, 0.2 * 0.25 + 0.3 * 0.75]
    assert goal[0].tolist() == pytest.approx(expected)


def test_the_projection_is_that_of_the_loop_over_its_definition():
    mass, reward, discount = normal(4, 9).softmax(1), 3 * normal(4, seed=1), torch.tensor([0.0, 0.5, 0.99, 1.0])
    bins = torch.linspace(-2, 2, 9)
    expected = torch.zeros(4, 9)
    for b in range(4):
        for i in range(9):
            for j in range(9):
                goal = min(max(reward[b] + discount[b] * bins[j], bins[0]), bins[-1])
                expected[b, i] += mass[b, j] * max(0.0, 1 - abs(goal - bins[i]) / (bins[1] - bins[0]))
    torch.testing.assert_close(projected(mass, reward, discount, bins), expected, atol=1e-5, rtol=1e-5)


def test_a_true_end_is_a_number_between_two_atoms():
    """Atoms are .4 apart: .4 is the 27th, -11 is beyond the first, .5 a quarter behind the 27th."""
    goal = projected(normal(3, 51).softmax(1), torch.tensor([0.4, -11.0, 0.5]), torch.zeros(3), ATOMS)
    expected = torch.zeros(3, 51)
    expected[0, 26] = expected[1, 0] = 1
    expected[2, 26], expected[2, 27] = 0.75, 0.25
    torch.testing.assert_close(goal, expected, atol=1e-5, rtol=0)


def test_the_projection_does_not_hide_a_nan():
    goal = projected(torch.ones(1, 51) / 51, torch.tensor([torch.nan]), torch.ones(1), ATOMS)
    assert goal.isnan().all()


def test_the_judge_chooses_whose_atoms_are_projected_and_no_gradient_flows():
    following = normal(2, 2, 51).requires_grad_()
    reward, discount = torch.tensor([1.0, 2.0]), torch.tensor([0.9, 0.0])
    goal = bootstrap_atoms(reward, discount, following, JUDGE, ATOMS)
    chosen = torch.stack([following[0, 0], following[1, 1]]).softmax(1)
    torch.testing.assert_close(goal, projected(chosen, reward, discount, ATOMS).detach())
    assert not goal.requires_grad


def test_the_cross_entropy_is_least_where_the_atoms_are_the_goal():
    goal = normal(3, 51).softmax(1)
    logits = goal.log().requires_grad_()
    value = cross_entropy(logits, goal)
    torch.testing.assert_close(value, -(goal * goal.log()).sum(1))
    (grad,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(grad, torch.zeros(3, 51), atol=1e-6, rtol=0)


def test_quantiles_are_moved_and_shrunk_each_by_itself():
    following = torch.arange(8.0).view(2, 2, 2)
    reward, discount = torch.tensor([10.0, 20.0]), torch.tensor([0.5, 0.0])
    assert bootstrap_quantiles(reward, discount, following, JUDGE).tolist() == [[10, 10.5], [20, 20]]


@pytest.mark.parametrize("kappa", [1.0, 0.5])
def test_the_quantile_loss_is_that_of_the_loop_over_its_definition(kappa):
    quantiles, goal = 2 * normal(3, 5), 2 * normal(3, 4, seed=1)
    expected = torch.zeros(3)
    for b in range(3):
        for i in range(5):
            for j in range(4):
                u = goal[b, j] - quantiles[b, i]
                size = abs(u)
                value = u**2 / 2 if size <= kappa else kappa * (size - kappa / 2)
                expected[b] += abs((2 * i + 1) / 10 - float(u < 0)) * value / kappa / 4
    torch.testing.assert_close(quantile_huber(quantiles, goal, kappa), expected, atol=1e-5, rtol=1e-5)


def test_the_quantile_loss_by_hand():
    """One quantile at .5, goals 2 above and .5 below: (.5 * 1.5 + .5 * .125) / 2."""
    value = quantile_huber(torch.zeros(1, 1), torch.tensor([[2.0, -0.5]]))
    assert value.tolist() == [(0.5 * 1.5 + 0.5 * 0.125) / 2]


def test_the_quantile_loss_leads_to_the_quantiles():
    """Goals 0, .01 ... 1 and a narrow Huber: quantiles at .1, .3, .5, .7, .9."""
    goal, quantiles = torch.linspace(0, 1, 101)[None], torch.zeros(1, 5, requires_grad=True)
    opt = torch.optim.SGD([quantiles], lr=0.01)
    for _ in range(400):
        opt.zero_grad()
        quantile_huber(quantiles, goal, kappa=0.01).sum().backward()
        opt.step()
    torch.testing.assert_close(quantiles[0], torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]), atol=0.02, rtol=0)


# ---- self-prediction (A.3.2)


def test_self_prediction_is_0_where_it_is_right_and_4_where_it_is_opposite():
    goal, mask = normal(5, 3, 8), torch.ones(5, 3)
    assert self_prediction(goal, goal, mask).tolist() == [0, 0, 0]
    torch.testing.assert_close(self_prediction(-goal, goal, mask), torch.full((3,), 4.0))


def test_self_prediction_is_2_minus_2_cos_and_sees_no_length():
    prediction, goal, mask = normal(5, 3, 8), normal(5, 3, 8, seed=1), torch.ones(5, 3)
    expected = torch.zeros(3)
    for k in range(5):
        for b in range(3):
            y, t = prediction[k, b], goal[k, b]
            expected[b] += (2 - 2 * (y @ t) / (y.norm() * t.norm())) / 5
    found = self_prediction(prediction, goal, mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(self_prediction(7 * prediction, goal / 3, mask), found)


def test_self_prediction_counts_masked_steps_as_0_of_all_k():
    prediction = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # [2, 1, 2]
    goal = torch.tensor([[[-1.0, 0.0]], [[1.0, 0.0]]])
    assert self_prediction(prediction, goal, torch.tensor([[1.0], [1.0]])).tolist() == [(4 + 2) / 2]
    assert self_prediction(prediction, goal, torch.tensor([[1.0], [0.0]])).tolist() == [4 / 2]


def test_no_gradient_of_self_prediction_reaches_the_goal_or_a_masked_step():
    prediction, goal = normal(3, 2, 8).requires_grad_(), normal(3, 2, 8, seed=1).requires_grad_()
    self_prediction(prediction, goal, torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])).sum().backward()
    assert goal.grad is None
    assert prediction.grad.abs().sum(2).bool().tolist() == [[True, True], [True, False], [False, False]]


def test_self_prediction_of_nothing_has_a_finite_gradient():
    prediction = torch.zeros(1, 2, 8, requires_grad=True)
    value = self_prediction(prediction, torch.zeros(1, 2, 8), torch.ones(1, 2))
    value.sum().backward()
    assert value.tolist() == [0, 0]
    assert prediction.grad.isfinite().all()


def test_self_prediction_of_no_steps_is_0():
    assert self_prediction(torch.empty(0, 3, 8), torch.empty(0, 3, 8), torch.empty(0, 3)).tolist() == [0, 0, 0]
