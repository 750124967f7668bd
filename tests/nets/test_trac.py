"""TRAC: its first step, its reference, its tuner; the imaginary error function."""

import math

import pytest
import torch
from torch import nn

from nets.adam_elements import SLOTS
from nets.optim import OptimConfig
from nets.trac import DISCOUNTS, START, erfi, tune

ERFI = {  # erfi(x) = 2/sqrt(pi) sum x^(2k+1) / (k! (2k+1)), to 16 digits
    0.1: 0.1132151741695998,
    0.5: 0.6149520946965110,
    1.0: 1.650425758797543,
    2.0: 18.56480241457555,
    3.0: 1629.994622601566,
    5.0: 8298273880.676808,
    10.0: 1.524307422708669e42,
}


def made(ps, **options):
    return OptimConfig(optimizer="trac", **{"lr": 0.1, "eps": 1e-8, **options}).make(ps)


def pair(dtype=torch.float64):
    return [nn.Parameter(torch.tensor([1.0, -2.0], dtype=dtype)), nn.Parameter(torch.tensor([[3.0]], dtype=dtype))]


def walk(opt, ps, times):
    for _ in range(times):
        for p in ps:
            p.grad = p.detach() - 5.0
        opt.step()


def by_hand(thetas, times, lr=0.1, b1=0.9, b2=0.999, eps=1e-8):
    """The rule in plain numbers, element by element: thetas after `times` steps on the gradient theta - 5."""
    theta, reference = list(thetas), list(thetas)
    m, v = [0.0] * len(theta), [0.0] * len(theta)
    s, variance, sigma = [0.0] * 6, [0.0] * 6, [1e-8] * 6
    for t in range(1, times + 1):
        g = [x - 5.0 for x in theta]
        m = [b1 * a + (1 - b1) * x for a, x in zip(m, g, strict=True)]
        v = [b2 * a + (1 - b2) * x * x for a, x in zip(v, g, strict=True)]
        u = [-lr * a / (1 - b1**t) / (math.sqrt(b / (1 - b2**t)) + eps) for a, b in zip(m, v, strict=True)]
        delta = [(x - r) / (sum(s) + 1e-8) for x, r in zip(theta, reference, strict=True)]
        h = sum(d * x for d, x in zip(delta, g, strict=True))
        delta = [d + x for d, x in zip(delta, u, strict=True)]
        variance = [b * b * x + h * h for b, x in zip(DISCOUNTS, variance, strict=True)]
        sigma = [b * x - h for b, x in zip(DISCOUNTS, sigma, strict=True)]
        arguments = [x / (math.sqrt(2 * y) + 1e-8) for x, y in zip(sigma, variance, strict=True)]
        s = [1e-8 * series(x) / series(math.sqrt(0.5)) for x in arguments]
        theta = [r + max(sum(s), 0.0) * d for r, d in zip(reference, delta, strict=True)]
    return theta


def series(x):
    return 2 / math.sqrt(math.pi) * sum(x ** (2 * k + 1) / math.factorial(k) / (2 * k + 1) for k in range(80))


@pytest.mark.parametrize(("x", "value"), ERFI.items())
def test_the_imaginary_error_function_has_its_known_values(x, value):
    both = erfi(torch.tensor([x, -x], dtype=torch.float64))
    assert both.tolist() == pytest.approx([value, -value], rel=1e-14)


def test_the_imaginary_error_function_is_a_line_near_zero_and_finite_up_to_26():
    x = torch.tensor([0.0, 1e-9, 26.0], dtype=torch.float64)
    zero, near, far = erfi(x).tolist()
    assert zero == 0
    assert near == pytest.approx(2e-9 / math.sqrt(math.pi), rel=1e-14)
    # 1 / (sqrt(pi) x) exp(x^2) (1 + 1 / (2 x^2) + 3 / (4 x^4) + ...)
    assert far == pytest.approx(math.exp(676) / math.sqrt(math.pi) / 26 * (1 + 1 / 1352 + 3 / 4 / 676**2), rel=1e-7)


def test_after_the_first_step_the_scale_is_that_of_the_discounts_alone():
    ps = pair()
    opt = made(ps)
    walk(opt, ps, 1)
    expected = START * sum(series(b) for b in DISCOUNTS) / series(math.sqrt(0.5))
    for p in ps:
        assert opt.state[p]["tuner"][0].sum().item() == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(1e-7, rel=0.1)


def test_the_first_step_is_adams_times_the_scale():
    ps = pair()
    opt = made(ps)
    walk(opt, ps, 1)
    scale = opt.state[ps[0]]["tuner"][0].sum()
    # Adam's first step has the length of lr.
    assert (ps[0] - pair()[0]).tolist() == pytest.approx([0.1 * scale.item()] * 2, rel=1e-6)


@pytest.mark.parametrize("times", [2, 10, 60])
def test_steps_are_those_of_the_rule_in_plain_numbers(times):
    ps = pair()
    walk(made(ps), ps, times)
    assert [x for p in ps for x in p.flatten().tolist()] == pytest.approx(by_hand([1.0, -2.0, 3.0], times), rel=1e-9)


def test_the_scale_grows_while_the_gradient_agrees_with_the_way_so_far():
    ps = pair()
    opt = made(ps)
    scales = []
    for _ in range(5):
        walk(opt, ps, 6)
        scales.append(opt.state[ps[0]]["tuner"][0].sum().item())
    assert scales == sorted(scales)
    assert scales[-1] > 1e3 * scales[0]


def test_the_scale_grows_in_float32_although_the_first_steps_are_below_the_last_digit_of_a_weight():
    ps = pair(torch.float32)
    opt = made(ps, lr=1e-3)
    walk(opt, ps, 1)
    assert all(torch.equal(p, q) for p, q in zip(ps, pair(torch.float32), strict=True))
    walk(opt, ps, 100)
    assert opt.state[ps[0]]["tuner"][0].sum() > 1e-3


def test_if_the_gradient_is_orthogonal_to_the_way_the_parameters_stay_at_the_reference():
    # One axis a step: h is 0 on the first step, and the way along an axis never meets its gradient again.
    ps = [nn.Parameter(torch.ones(20, dtype=torch.float64))]
    opt = made(ps, betas=(0.0, 0.0))
    for k in range(20):
        ps[0].grad = torch.zeros(20, dtype=torch.float64).index_fill_(0, torch.tensor(k), 1.0)
        opt.step()
    assert not opt.state[ps[0]]["tuner"][1].any()
    assert (ps[0] - 1).abs().max() < 1e-6


def test_with_the_base_frozen_the_parameters_stand_at_the_reference():
    ps = pair()
    opt = made(ps)
    for group in opt.param_groups:
        group["lr"] = 0.0
    walk(opt, ps, 50)
    assert all(torch.equal(p, q) for p, q in zip(ps, pair(), strict=True))


def test_a_negative_scale_counts_as_none():
    ps = pair()
    opt = made(ps)
    walk(opt, ps, 3)
    for p in ps:
        opt.state[p]["tuner"][2] = -10 * opt.state[p]["tuner"][1].sqrt()
    walk(opt, ps, 1)
    assert opt.state[ps[0]]["tuner"][0].sum() < 0
    assert all(torch.equal(p, q) for p, q in zip(ps, pair(), strict=True))


def test_the_tuner_by_hand():
    tuner = torch.zeros(3, 6, dtype=torch.float64)
    tune(tuner, torch.tensor(-2.0, dtype=torch.float64))
    assert tuner[1].tolist() == [4.0] * 6
    assert tuner[2].tolist() == [2.0] * 6
    # sigma / (sqrt 2 sqrt v) = 1 / sqrt 2, so each scale is its start.
    assert tuner[0].tolist() == pytest.approx([START] * 6, rel=1e-7)


def test_the_slots():
    ps = pair()
    opt = made(ps)
    for p in ps:
        assert set(opt.state[p]) == {*SLOTS, "reference", "way", "tuner"}
        assert not any(slot.any() for slot in opt.state[p].values())


def test_what_others_write_is_a_way_gone():
    ps, twins = pair(), pair()
    walk(made(ps), ps, 20)
    opt = made(twins)
    walk(opt, twins, 19)
    scale = opt.state[twins[0]]["tuner"][0].sum().item()
    with torch.no_grad():
        twins[0] += 0.25
        opt.resume(twins, torch.tensor(scale, dtype=torch.float64))
    moved = twins[0] - opt.state[twins[0]]["reference"]
    torch.testing.assert_close(opt.state[twins[0]]["way"], moved.detach() / (scale + START))


def test_a_forgotten_element_begins_again_from_where_it_stands_and_the_tuner_goes_on():
    ps = pair()
    opt = made(ps)
    walk(opt, ps, 40)
    tuner = opt.state[ps[0]]["tuner"].clone()
    with torch.no_grad():
        ps[0][1] = 7.0
    for slot in (*SLOTS, "reference", "way"):
        opt.state[ps[0]][slot][1] = 0
    walk(opt, ps, 1)
    assert opt.state[ps[0]]["reference"].tolist() == [1.0, 7.0]
    assert opt.state[ps[0]]["tuner"][1, 5] >= tuner[1, 5] * DISCOUNTS[5] ** 2 > 0
    assert ps[0][1].item() == pytest.approx(7.0, abs=0.2)


@pytest.mark.parametrize("which", [0, 1])
def test_the_tuner_survives_in_whichever_tensor_is_left(which):
    ps, twins = pair(), pair()
    opt, other = made(ps), made(twins)
    walk(opt, ps, 40)
    walk(other, twins, 40)
    for p, q in zip(ps, twins, strict=True):
        opt.state[p]["reference"].copy_(p)
        other.state[q]["reference"].copy_(q)
    opt.state[ps[which]]["tuner"].zero_()
    walk(opt, ps, 1)
    walk(other, twins, 1)
    assert all(torch.equal(p, q) for p, q in zip(ps, twins, strict=True))
    assert torch.equal(opt.state[ps[which]]["tuner"], other.state[twins[0]]["tuner"])


def test_it_finds_a_minimum():
    ps = pair()
    walk(made(ps), ps, 400)
    assert all(((p - 5).abs() < 0.5).all() for p in ps)
