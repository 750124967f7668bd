"""TD losses and the bootstrap, by hand (algorithms A.0.4)."""

import pytest
import torch

from agents.losses import at, bootstrap, huber, squared

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
