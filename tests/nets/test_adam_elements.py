"""Adam with a bias correction per element, beside torch's Adam and by hand; StableAdamW."""

import math

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from nets.adam_elements import count
from nets.optim import OptimConfig

SLOTS = {"exp_avg", "exp_avg_sq", "corrected1", "corrected2"}


def parameters(seed=0):
    rng = torch.Generator().manual_seed(seed)
    kernel = torch.randn(4, 3, 3, 3, generator=rng).contiguous(memory_format=torch.channels_last)
    rest = [torch.randn(shape, generator=rng) for shape in ((4, 3), (4,), ())]
    return [nn.Parameter(x) for x in (kernel, *rest)]


def gradients(ps, seed):
    for p, q in zip(ps, parameters(seed), strict=True):
        p.grad = q.detach().clone() * 10 ** (seed % 5 - 3)


def made(ps, kind="adam", **options):
    options = {"lr": 0.01, "eps": 1e-4, "betas": (0.9, 0.999), **options}
    return OptimConfig(optimizer=kind, adam_step="elements", **options).make(ps)


def walk(opt, p, gs):
    """The parameter after each gradient, from where it stands."""
    path = []
    for g in gs:
        p.grad = torch.full_like(p, g)
        opt.step()
        path.append(p.detach().clone())
    return path


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.9), (0.0, 0.99)])
@pytest.mark.parametrize(("kind", "reference"), [("adam", Adam), ("adamw", AdamW)])
def test_fifty_steps_are_those_of_torch(kind, reference, betas, decay):
    ours, theirs = parameters(), parameters()
    opt = made(ours, kind, betas=betas, weight_decay=decay)
    groups = [{"params": theirs[:2], "weight_decay": decay}, {"params": theirs[2:], "weight_decay": 0.0}]
    other = reference(groups, lr=0.01, eps=1e-4, betas=betas, foreach=False)
    for k in range(50):
        gradients(ours, k)
        gradients(theirs, k)
        opt.step()
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)
    assert all(not torch.equal(p, q) for p, q in zip(ours, parameters(), strict=True))


def test_a_correction_ends_three_in_a_hundred_thousand_short_of_one():
    c = torch.zeros(1)
    for _ in range(12_000):
        count([c], 0.999)
    assert 0.99997 <= c.item() < 1


def test_the_slots_are_four_each_shaped_and_laid_out_as_its_parameter():
    ps = parameters()
    opt = made(ps)
    gradients(ps, 0)
    opt.step()
    for p in ps:
        assert set(opt.state[p]) == SLOTS
        assert all(x.shape == p.shape and x.stride() == p.stride() for x in opt.state[p].values())


def test_the_corrections_are_one_minus_beta_to_the_t():
    p = nn.Parameter(torch.zeros(2))
    opt = made([p], betas=(0.5, 0.75))
    walk(opt, p, [1.0, 1.0])
    assert opt.state[p]["corrected1"].tolist() == [1 - 0.5**2] * 2
    assert opt.state[p]["corrected2"].tolist() == [1 - 0.75**2] * 2


@pytest.mark.parametrize("index", [(slice(None), 1), (2, slice(None)), (0, 1)], ids=["column", "row", "element"])
def test_what_is_zeroed_at_an_index_steps_as_if_new_and_the_rest_goes_on(index):
    p, q, new = (nn.Parameter(torch.zeros(4, 3)) for _ in range(3))
    opt, other, young = made([p]), made([q]), made([new])
    walk(opt, p, [1.0] * 500)
    walk(other, q, [1.0] * 500)
    for slot in opt.state[p].values():
        slot[index] = 0
    with torch.no_grad():
        p.zero_()
        q.zero_()
    born = torch.zeros(4, 3, dtype=torch.bool)
    born[index] = True
    jump = [100.0] * 3
    for mine, old, fresh in zip(walk(opt, p, jump), walk(other, q, jump), walk(young, new, jump), strict=True):
        assert torch.equal(mine[born], fresh[born])
        assert torch.equal(mine[~born], old[~born])
    assert (q.abs() > 2 * new.abs()).all()  # an old element leaps at such a gradient, a new one does not


def test_the_first_step_of_a_new_element_has_the_length_of_the_learning_rate():
    p = nn.Parameter(torch.zeros(2, 2))
    walk(made([p], eps=0.0), p, [-3.0])
    torch.testing.assert_close(p.detach(), torch.full((2, 2), 0.01))


def test_an_element_without_a_gradient_stands_still_even_with_eps_zero_and_weight_decay_off():
    p = nn.Parameter(torch.ones(2))
    walk(made([p], eps=1e-8), p, [0.0, 0.0])
    assert p.tolist() == [1.0, 1.0]


def test_a_parameter_without_a_gradient_is_passed_over():
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    opt = made([p, q])
    walk(opt, p, [1.0])
    assert not opt.state[q]["corrected1"].any()
    assert q.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_while_the_second_moment_is_fresh_a_clipped_update_is_adams(kind):
    p, q = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    walk(made([p], kind, clip_update=1.0, weight_decay=0.1), p, [1.0] * 5)
    walk(made([q], kind, weight_decay=0.1), q, [1.0] * 5)
    torch.testing.assert_close(p, q)


def test_a_stale_second_moment_shortens_the_step_of_its_tensor_by_its_rms():
    # b2 = .75, gradients 1, 10: v = .75 * .25 + .25 * 100 = 25.1875, c2 = 1 - .75^2 = .4375, RMS^2 = 100 c2 / v.
    p, calm = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    opt = made([p, calm], "adamw", betas=(0.0, 0.75), eps=0.0, clip_update=1.0)
    walk(opt, p, [1.0])
    with torch.no_grad():
        p.zero_()
    calm.grad = torch.ones(2)
    walk(opt, p, [10.0])
    rms = math.sqrt(100 * 0.4375 / 25.1875)
    assert rms > 1
    # Adam's step is lr 10 / sqrt(v / c2) = lr RMS; over RMS it is lr.
    torch.testing.assert_close(p.detach(), torch.full((2,), -0.01))
    torch.testing.assert_close(calm.detach(), torch.full((2,), -0.01))


def test_a_clipped_update_decays_weights_by_the_shorter_step_too():
    p = nn.Parameter(torch.zeros(1, 2))
    opt = made([p], "adamw", betas=(0.0, 0.75), eps=0.0, clip_update=1.0, weight_decay=0.5)
    walk(opt, p, [1.0])
    with torch.no_grad():
        p.fill_(2.0)
    walk(opt, p, [10.0])
    rms = math.sqrt(100 * 0.4375 / 25.1875)
    torch.testing.assert_close(p.detach(), torch.full((1, 2), 2 * (1 - 0.01 / rms * 0.5) - 0.01))


def test_the_bound_of_the_rms_is_the_flag():
    p, q = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    walk(made([p], betas=(0.0, 0.75), eps=0.0, clip_update=0.5), p, [1.0])
    walk(made([q], betas=(0.0, 0.75), eps=0.0, clip_update=2.0), q, [1.0])
    torch.testing.assert_close(q.detach(), 2 * p.detach())  # RMS is 1 on a first step
