"""Curvature of losses whose Hessian is known."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.optim import OptimConfig
from nets.part import Part
from nets.subject import Loss
from probes.curvature import STEPS, Curvature
from probes.hessian import flat, product, ritz, signs, trace
from runs.rng import stream
from tests.laws.members import learn, taken
from tests.probes.constructed import part, states

TAGS = {"top", "bottom", "trace", "step"}


def rng():
    return torch.Generator().manual_seed(0)


def rotated(spectrum):
    """A symmetric matrix with this spectrum."""
    n = len(spectrum)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=rng()))
    return q @ torch.tensor(spectrum).diag() @ q.T


def measure(p, loss, seed=0):
    seen = SimpleNamespace(parts={"q": p}, losses=lambda batch: iter([Loss("q", loss(p))]), seed=lambda: seed)
    return Curvature().measure(seen, states(torch.eye(5)), {})


def quadratic(matrix):
    def loss(p):
        theta = flat(p.trainable)
        return 0.5 * theta @ matrix @ theta + theta.sum()

    return loss


def spectrum(count):
    """Three that stand out above and two below the rest."""
    return [10.0, 8.0, 5.0, *torch.linspace(-1, 1, count - 5).tolist(), -3.0, -4.0]


def test_the_ends_of_a_known_spectrum_are_found_to_a_thousandth():
    p = part(hidden=(12,))  # 5*12 + 12 + 12*2 + 2 = 98 parameters
    row = measure(p, quadratic(rotated(spectrum(98))))
    assert row["top"] == pytest.approx(10, rel=1e-3)
    assert row["bottom"] == pytest.approx(-4, rel=1e-3)
    assert row["step"] == pytest.approx(10 * 6.25e-5, rel=1e-3)
    assert set(row) == TAGS  # nothing has stepped yet: there is no second moment


def test_the_trace_of_a_diagonal_is_exact_and_of_a_rotated_one_near():
    p, diagonal = part(hidden=()), torch.arange(12.0)
    assert measure(p, quadratic(diagonal.diag()))["trace"] == pytest.approx(66, rel=1e-5)
    a = rotated(spectrum(60))
    error = math.sqrt(2 * float((a - a.diag().diag()).square().sum()) / 400)
    assert abs(trace(lambda v: a @ v, torch.zeros(60), rng(), 400) - 16) < 3 * error


def test_a_matrix_of_few_eigenvalues_takes_few_products():
    asked = []
    values = ritz(lambda v: asked.append(1) or 3 * v, torch.ones(50), STEPS)
    assert (len(asked), values.tolist()) == (1, pytest.approx([3.0]))
    two = torch.cat([torch.full((25,), -1.0), torch.full((25,), 2.0)])
    assert ritz(lambda v: two * v, signs(torch.zeros(50), rng()), STEPS).tolist() == pytest.approx([-1, 2])


def test_products_are_those_of_the_hessian_of_a_network():
    p = part(hidden=(3,), activation="tanh")
    obs = torch.randn(20, 5, generator=rng())
    value = p.net(obs).square().mean()
    times, size = product(value, p.trainable), sum(x.numel() for x in p.trainable)
    h = torch.stack([times(v) for v in torch.eye(size)])
    torch.testing.assert_close(h, h.T, atol=1e-6, rtol=1e-4)
    theta, eps = flat(p.trainable).detach(), 1e-3

    def slope(at):
        torch.nn.utils.vector_to_parameters(at, p.trainable)
        return flat(torch.autograd.grad(p.net(obs).square().mean(), p.trainable))

    v = torch.randn(size, generator=rng())
    torch.testing.assert_close(
        h @ v, (slope(theta + eps * v) - slope(theta - eps * v)) / (2 * eps), atol=1e-3, rtol=1e-2
    )


def test_adams_hessian_is_divided_by_the_root_of_its_second_moment():
    p, h = part(hidden=()), torch.tensor([4.0] * 6 + [1.0] * 6)
    for x in p.trainable:  # of [2, 5] and [2]
        p.opt.state[x]["step"].fill_(10**6)
        p.opt.state[x]["exp_avg_sq"].fill_(0.25)
    row = measure(p, quadratic(h.diag()))
    assert row["adam"] == pytest.approx(4 / (0.5 + 1.5e-4), rel=1e-3)
    assert row["edge"] == pytest.approx(row["adam"] * 6.25e-5 / 38, rel=1e-6)
    assert row["top"] == pytest.approx(4, rel=1e-3)


def test_an_element_that_adam_barely_moved_is_the_sharpest():
    p = part(hidden=())
    for x in p.trainable:
        p.opt.state[x]["step"].fill_(10**6)
        p.opt.state[x]["exp_avg_sq"].fill_(1.0)
    p.opt.state[p.trainable[0]]["exp_avg_sq"][0, 0] = 1e-4
    assert measure(p, quadratic(torch.eye(12)))["adam"] == pytest.approx(1 / (0.01 + 1.5e-4), rel=1e-3)


def test_plain_gradient_descent_has_no_preconditioner():
    p = Part(lambda: QNetwork((5,), 2, NetConfig(hidden=())), OptimConfig(optimizer="sgd", lr=0.5).make, 0)
    row = measure(p, quadratic(4 * torch.eye(12)))
    assert set(row) == TAGS
    assert row["step"] == pytest.approx(2, rel=1e-4)  # its threshold


def test_gradient_descent_diverges_just_above_the_threshold_and_not_below():
    for lr, grows in ((0.49, False), (0.51, True)):
        p = Part(
            lambda: QNetwork((5,), 2, NetConfig(hidden=())), OptimConfig(optimizer="sgd", lr=lr, betas=(0, 0)).make, 0
        )
        loss = quadratic(4 * torch.eye(12))
        assert (measure(p, loss)["step"] > 2) == grows
        start = loss(p).item()
        for _ in range(100):
            p.opt.zero_grad()
            loss(p).backward()
            p.opt.step()
        assert (loss(p).item() > start) == grows


def test_a_linear_loss_is_flat():
    assert measure(part(hidden=()), lambda p: flat(p.trainable).sum()) == dict.fromkeys(TAGS, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_spoilt_weight_never_reads_healthy(value):
    p = part(hidden=(3,))
    with torch.no_grad():
        p.net.torso.fc1.writer.bias[0] = value
    row = measure(p, lambda p: p.net(torch.ones(4, 5)).sum())
    assert set(row) == TAGS and all(math.isnan(x) for x in row.values())


def test_a_loss_that_is_not_finite_never_reads_healthy():
    row = measure(part(hidden=()), lambda p: (flat(p.trainable) * 1e30).square().sum())
    assert all(math.isnan(x) for x in (row["top"], row["bottom"]))


@pytest.mark.parametrize(
    ("name", "env", "flags"), [("classifier", "labels:generated", ["--net=vit", "--hidden", "--norm=layer"])]
)
def test_attention_has_a_second_derivative(name, env, flags):
    world, agent = taken(name, env, *flags)
    learn(agent, world, 2)
    subject = agent.view(stream(0, "probe"))
    assert Curvature().measure(subject, subject.batch(8), {})["top"] > 0


def test_an_actor_and_its_critic_have_each_their_own():
    world, agent = taken("sac", "toy:reach")
    learn(agent, world, 3)
    subject = agent.view(stream(0, "probe"))
    row = Curvature().measure(subject, subject.batch(16), {})
    assert {f"{tag}/{name}" for tag in (*TAGS, "adam", "edge") for name in ("critic", "actor")} == set(row)
