"""UPGD: what moves how far, its noise, its utility; the form normalised by Adam."""

import math

import pytest
import torch
from torch import nn

from nets.adam_elements import SLOTS
from nets.optim import OptimConfig

KINDS = ("upgd", "adam_upgd")


def made(ps, kind="upgd", **options):
    options = {"lr": 0.1, "eps": 0.0, "upgd_decay": 0.0, "upgd_noise": 0.0, **options}
    return OptimConfig(optimizer=kind, **options).make(ps)


def vectors(*rows):
    return [nn.Parameter(torch.tensor(row)) for row in rows]


def step(opt, ps, *rows):
    for p, row in zip(ps, rows, strict=True):
        p.grad = torch.tensor(row)
    opt.step()
    return [p.tolist() for p in ps]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_the_most_useful_weight_moves_at_half_the_learning_rate_and_one_of_no_utility_at_lr():
    ps = vectors([-1.0, 0.0, -0.5])
    # utilities -g theta: 1, 0, .5
    (moved,) = step(made(ps), ps, [1.0, 1.0, 1.0])
    kept = [sigmoid(1), 0.5, sigmoid(0.5)]
    expected = [x - 0.2 * (1 - s) for x, s in zip([-1.0, 0.0, -0.5], kept, strict=True)]
    assert moved == pytest.approx(expected)
    assert -(moved[0] + 1) / 0.1 == pytest.approx(0.54, abs=0.005)
    assert -moved[1] / 0.1 == pytest.approx(1.0)


def test_the_largest_utility_is_over_all_parameters():
    ps = vectors([-1.0], [-4.0])
    (a,), (b,) = step(made(ps), ps, [1.0], [1.0])
    assert a == pytest.approx(-1 - 0.2 * (1 - sigmoid(0.25)))
    assert b == pytest.approx(-4 - 0.2 * (1 - sigmoid(1)))


def test_the_utility_is_a_corrected_running_mean():
    ps = vectors([-1.0])
    opt = made(ps, upgd_decay=0.5)
    step(opt, ps, [1.0])
    assert opt.state[ps[0]]["utility"].item() == 0.5
    with torch.no_grad():
        ps[0].fill_(-3.0)
    step(opt, ps, [1.0])
    assert opt.state[ps[0]]["utility"].item() == 0.5 * 0.5 + 0.5 * 3
    assert opt.state[ps[0]]["corrected"].item() == 0.75
    assert opt.useful({**opt.param_groups[0], "decay": 1.0 - 1e-12})[0].item() == pytest.approx(1.75 / 0.75)


@pytest.mark.parametrize("start", [1.0, 0.0])
def test_where_no_utility_is_above_zero_nothing_moves_the_wrong_way(start):
    ps = vectors([start])
    ((moved,),) = step(made(ps), ps, [1.0])
    assert moved == pytest.approx(start - (0.2 if start else 0.1))


def test_weight_decay_is_decoupled_and_spares_biases():
    ps = [nn.Parameter(torch.tensor([[2.0]])), nn.Parameter(torch.tensor([2.0]))]
    step(made(ps, weight_decay=0.5), ps, [[0.0]], [0.0])
    assert [p.item() for p in ps] == pytest.approx([2 * (1 - 0.1 * 0.5), 2.0])


def test_the_normalised_form_puts_adams_direction_for_the_gradient():
    ps = vectors([-1.0, 0.0])
    (moved,) = step(made(ps, "adam_upgd"), ps, [7.0, -3.0])
    # Adam's first direction is the sign; the utilities are of the gradient itself, 7 and 0.
    assert moved == pytest.approx([-1 - 0.2 * (1 - sigmoid(1)), 0.2 * 0.5])


def test_the_normalised_form_by_hand_on_a_second_step():
    ps = vectors([0.0])
    opt = made(ps, "adam_upgd", betas=(0.5, 0.75), eps=0.25)
    step(opt, ps, [1.0])
    with torch.no_grad():
        ps[0].zero_()
    ((moved,),) = step(opt, ps, [3.0])
    m, v = 0.5 * 0.5 + 0.5 * 3, 0.75 * 0.25 + 0.25 * 9
    assert moved == pytest.approx(-0.1 * (m / 0.75) / (math.sqrt(v / 0.4375) + 0.25))


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_has_its_deviation_and_joins_the_gradient(kind):
    ps = [nn.Parameter(torch.zeros(100, 100))]
    opt = made(ps, kind, upgd_noise=0.5, eps=1.0)
    ps[0].grad = torch.zeros(100, 100)
    opt.step()
    # Utility 0: moved by lr xi.
    assert ps[0].std().item() == pytest.approx(0.05, rel=0.05)
    assert ps[0].mean().item() == pytest.approx(0.0, abs=0.002)


def draws(times=2):
    """The noise of each step on two tensors of one shape."""
    ps = [nn.Parameter(torch.zeros(32)), nn.Parameter(torch.zeros(32))]
    opt = made(ps, upgd_noise=1.0)
    found = []
    for _ in range(times):
        for p in ps:
            p.grad = torch.zeros_like(p)
            p.data.zero_()
        opt.step()
        found += [p.detach().clone() for p in ps]
    return found


def test_the_noise_differs_between_steps_and_between_tensors():
    found = draws()
    assert all(not torch.equal(a, b) for i, a in enumerate(found) for b in found[:i])
    assert abs(torch.corrcoef(torch.stack(draws(50)))[~torch.eye(100, dtype=torch.bool)]).mean() < 0.2


def test_the_noise_comes_again_and_moves_no_global_generator():
    before = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(draws(), draws(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copied_state_goes_on_to_the_last_bit(kind):
    ps, twins = (vectors([1.0, -2.0], [0.5, 0.5]) for _ in range(2))
    opt, other = (made(x, kind, upgd_noise=0.1, upgd_decay=0.9, eps=1e-5) for x in (ps, twins))
    for _ in range(3):
        step(opt, ps, [1.0, 2.0], [3.0, -1.0])
    for p, q in zip(ps, twins, strict=True):
        q.data.copy_(p)
        for name, slot in other.state[q].items():
            slot.copy_(opt.state[p][name])
    rows = ([1.0, 2.0], [3.0, -1.0])
    assert step(opt, ps, *rows) == step(other, twins, *rows)


@pytest.mark.parametrize("kind", KINDS)
def test_the_slots(kind):
    ps = vectors([1.0, 2.0])
    opt = made(ps, kind)
    assert set(opt.state[ps[0]]) == {"utility", "corrected", "draws", *(SLOTS if kind == "adam_upgd" else ())}
    assert not any(slot.any() for slot in opt.state[ps[0]].values())
