"""Optimizers: awake from the first, yet torch's own to the last bit."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from nets.optim import OptimConfig, awake

KINDS = {
    "adam": lambda groups: Adam(groups, lr=0.1, eps=1e-3, betas=(0.5, 0.9), fused=True),
    "adamw": lambda groups: AdamW(groups, lr=0.1, eps=1e-3, betas=(0.5, 0.9), fused=True),
    "rmsprop": lambda groups: RMSprop(groups, lr=0.1, eps=1e-3, alpha=0.9, centered=True),
    "sgd": lambda groups: SGD(groups, lr=0.1, momentum=0.5, fused=True),
}
SLOTS = {
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "rmsprop": {"step", "square_avg", "grad_avg"},
    "sgd": {"momentum_buffer"},
}


OURS = {
    "trac": {"exp_avg", "exp_avg_sq", "corrected1", "corrected2", "reference", "way", "tuner"},
    "upgd": {"utility", "corrected", "draws"},
    "adam_upgd": {"exp_avg", "exp_avg_sq", "corrected1", "corrected2", "utility", "corrected", "draws"},
}


def parameters(seed=0):
    rng = torch.Generator().manual_seed(seed)
    kernel = torch.randn(4, 3, 3, 3, generator=rng).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(x) for x in (kernel, torch.randn(4, 3, generator=rng), torch.randn(4, generator=rng))]


def gradients(ps, seed):
    for p, q in zip(ps, parameters(seed), strict=True):
        p.grad = q.detach().clone()


def config(kind, decay=0.0):
    return OptimConfig(optimizer=kind, lr=0.1, eps=1e-3, betas=(0.5, 0.9), weight_decay=decay)


def same(ps, qs):
    return all(torch.equal(p, q) for p, q in zip(ps, qs, strict=True))


@pytest.mark.parametrize("kind", [*KINDS, *OURS])
def test_waking_leaves_every_bit_of_the_parameters(kind):
    ps = parameters()
    config(kind, 0.3).make(ps)
    assert same(ps, parameters())
    assert all(p.grad is None for p in ps)


@pytest.mark.parametrize("kind", [*KINDS, *OURS])
def test_waking_leaves_even_a_parameter_that_is_not_finite(kind):
    ps = [nn.Parameter(torch.tensor([[torch.inf, -0.0]]))]
    config(kind, 0.3).make(ps)
    assert ps[0][0, 0] == torch.inf
    assert torch.signbit(ps[0][0, 1])


@pytest.mark.parametrize("kind", [*KINDS, *OURS])
def test_every_slot_exists_and_is_zero_before_the_first_step(kind):
    ps = parameters()
    opt = config(kind, 0.3).make(ps)
    for p in ps:
        assert set(opt.state[p]) == (SLOTS | OURS)[kind]
        assert not any(slot.any() for slot in opt.state[p].values())


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_a_fresh_optimizer_of_torch_bit_for_bit(kind, decay):
    ours, theirs = parameters(), parameters()
    opt = config(kind, decay).make(ours)
    reference = KINDS[kind]([{"params": theirs[:2], "weight_decay": decay}, {"params": theirs[2:]}])
    if kind == "adamw":
        reference.param_groups[1]["weight_decay"] = 0.0  # torch's own default is .01
    for k in range(4):
        gradients(ours, k)
        gradients(theirs, k)
        opt.step()
        reference.step()
        assert same(ours, theirs), f"step {k + 1} differs"
    assert not same(ours, parameters())


def test_waking_keeps_the_learning_rate_of_each_group():
    ps = parameters()
    opt = awake(SGD([{"params": ps[:1], "lr": 0.3}, {"params": ps[1:], "lr": 0.7}], momentum=0.9))
    assert [group["lr"] for group in opt.param_groups] == [0.3, 0.7]


@pytest.mark.parametrize("kind", KINDS)
def test_weight_decay_moves_matrices_and_kernels_only(kind):
    ps = parameters()
    opt = config(kind, 0.5).make(ps)
    for p in ps:
        p.grad = torch.zeros_like(p)
    opt.step()
    moved = [not torch.equal(p, q) for p, q in zip(ps, parameters(), strict=True)]
    assert moved == [True, True, False]


def test_decoupled_weight_decay_by_hand():
    p = nn.Parameter(torch.tensor([[2.0]]))
    opt = OptimConfig(optimizer="adamw", lr=0.1, weight_decay=0.5).make([p])
    p.grad = torch.zeros_like(p)
    opt.step()
    assert p.item() == pytest.approx(2 * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("kind", [*KINDS, *OURS])
def test_a_scalar_is_a_parameter_too(kind):
    p = nn.Parameter(torch.tensor(0.0))
    opt = config(kind, 0.3).make([p])
    walk(opt, p, torch.tensor(1.0), 3)
    assert p < 0
    assert p.dtype == torch.float32


def walk(opt, p, gradient, times):
    for _ in range(times):
        p.grad = gradient.clone()
        opt.step()
    return p.detach()


@pytest.mark.parametrize("step", ["tensor", "elements"])
def test_with_a_zero_gradient_decoupled_decay_shrinks_by_a_power(step):
    p = nn.Parameter(torch.tensor([[2.0, -1.0]]))
    opt = OptimConfig(optimizer="adamw", adam_step=step, lr=0.1, weight_decay=0.5).make([p])
    expected = torch.tensor([[2.0, -1.0]]) * (1 - 0.1 * 0.5) ** 7
    torch.testing.assert_close(walk(opt, p, torch.zeros(1, 2), 7), expected)


@pytest.mark.parametrize("step", ["tensor", "elements"])
def test_coupled_decay_is_normalised_by_adam_so_a_large_weight_shrinks_no_faster_than_a_small_one(step):
    p = nn.Parameter(torch.tensor([[8.0, 1.0]]))
    opt = OptimConfig(optimizer="adam", adam_step=step, lr=0.1, eps=0.0, weight_decay=0.5).make([p])
    torch.testing.assert_close(walk(opt, p, torch.zeros(1, 2), 1), torch.tensor([[7.9, 0.9]]))


@pytest.mark.parametrize("step", ["tensor", "elements"])
def test_coupled_decay_is_a_gradient_of_the_weight(step):
    p, q = nn.Parameter(torch.tensor([[2.0]])), nn.Parameter(torch.tensor([[2.0]]))
    decayed = OptimConfig(adam_step=step, lr=0.1, eps=1.0, weight_decay=0.5).make([p])
    plain = OptimConfig(adam_step=step, lr=0.1, eps=1.0).make([q])
    torch.testing.assert_close(walk(decayed, p, torch.tensor([[1.0]]), 1), walk(plain, q, torch.tensor([[2.0]]), 1))


def ratio(betas, jumps):
    """Largest |m| / sqrt(v) along gradients that jump by decades."""
    p = nn.Parameter(torch.zeros(64))
    opt = OptimConfig(lr=1e-3, betas=betas).make([p])
    rng = torch.Generator().manual_seed(0)
    largest = 0.0
    for k in range(200):
        walk(opt, p, torch.randn(64, generator=rng).abs() * 10.0 ** (k // 40 if jumps else 0), 1)
        m, v = opt.state[p]["exp_avg"], opt.state[p]["exp_avg_sq"]
        largest = max(largest, (m.abs() / v.sqrt()).max().item())
    return largest


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
def test_with_equal_betas_the_moments_ratio_never_exceeds_one(beta):
    assert ratio((beta, beta), jumps=True) <= 1 + 1e-5


def test_with_a_slower_second_moment_the_moments_ratio_exceeds_one():
    assert ratio((0.9, 0.999), jumps=True) > 3


def test_sgd_reads_its_momentum_from_the_first_beta():
    p = nn.Parameter(torch.tensor([[0.0]]))
    opt = OptimConfig(optimizer="sgd", lr=1.0, betas=(0.5, 0.9)).make([p])
    for _ in range(2):
        p.grad = torch.ones_like(p)
        opt.step()
    assert p.item() == -(1 + 1.5)


def test_sgd_without_momentum_has_no_slots():
    ps = parameters()
    opt = OptimConfig(optimizer="sgd", betas=(0.0, 0.9)).make(ps)
    assert all(not opt.state[p] for p in ps)


@pytest.mark.parametrize("ps", [parameters()[:2], parameters()[2:]], ids=["matrices", "biases"])
def test_a_kind_of_parameter_may_be_missing(ps):
    assert len(config("adam").make(ps).param_groups) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("lr", x) for x in (0.0, -1.0, float("nan"), float("inf"))],
        *[(name, x) for name in ("eps", "weight_decay", "clip") for x in (-1.0, float("nan"))],
        *[("upgd_decay", x) for x in (-0.1, 1.0, float("nan"))],
        *[("upgd_noise", x) for x in (-1.0, float("inf"))],
        *[("betas", x) for x in ((1.0, 0.9), (0.9, -0.1), (0.9, float("nan")))],
    ],
)
def test_a_number_out_of_range_is_a_problem_that_names_its_flag(field, value):
    optimizer = "upgd" if field.startswith("upgd") else "adam"
    (problem,) = OptimConfig(optimizer=optimizer, **{field: value}).problems()
    assert problem.split()[0] == field
    assert str(value) in problem


def test_the_defaults_have_no_problem():
    assert OptimConfig().problems() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *[({"adam_step": "elements", "optimizer": x}, ("adam_step", x)) for x in ("sgd", "rmsprop", *OURS)],
        ({"clip_update": 1.0}, ("clip_update", "--adam-step elements")),
        ({"clip_update": 1.0, "optimizer": "trac"}, ("clip_update", "--adam-step elements")),
        ({"upgd_noise": 0.5}, ("upgd_noise", "--optimizer upgd")),
        ({"upgd_decay": 0.5, "optimizer": "trac"}, ("upgd_decay", "--optimizer upgd")),
    ],
)
def test_a_flag_that_the_optimizer_would_not_read_is_a_problem_that_names_the_mend(options, words):
    (problem,) = OptimConfig(**options).problems()
    assert all(word in problem for word in words)


@pytest.mark.parametrize(
    "options",
    [
        {"adam_step": "elements"},
        {"adam_step": "elements", "optimizer": "adamw", "clip_update": 1.0},
        {"optimizer": "trac", "lr": 0.01},
        {"optimizer": "adam_upgd", "upgd_noise": 0.5, "upgd_decay": 0.0},
    ],
)
def test_what_fits_has_no_problem(options):
    assert OptimConfig(**options).problems() == []


def test_the_kind_of_step_count_changes_what_is_built():
    (p,) = parameters()[2:]
    assert "step" in OptimConfig().make([p]).state[p]
    assert "step" not in OptimConfig(adam_step="elements").make([p]).state[p]
