"""Law 6: the promises of spectral regularisation (Lewandowski et al. 2025)."""

import pytest
import torch

from interventions.spectral import Spectral, around_one, gain, iterate, largest
from tests.interventions.penalised import born, gradients, grown, link, on_weights

IMAGES, VECTORS = "toy:catch", "toy:chain"
ON = "--spectral-weight=0.01"


def matrix(values, rows=6, columns=9):
    """[6, 9] with these singular values."""
    rng = torch.Generator().manual_seed(1)
    u, v = (torch.linalg.qr(torch.randn(n, len(values), generator=rng)).Q for n in (rows, columns))
    return u @ torch.diag(torch.tensor(values)) @ v.T


def test_20_iterations_find_the_largest_singular_value():
    w = matrix([3.0, 2.0, 1.0])
    u = torch.ones(6)
    for _ in range(20):
        sigma, _ = iterate(w, u)
    torch.testing.assert_close(sigma, torch.linalg.matrix_norm(w, 2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("env", [IMAGES, VECTORS])
def test_it_follows_every_matrix_of_a_network_while_it_learns(env):
    """A convolution is out x rest. Singular values that lie close are told apart late, hence 1%."""
    agent = grown("dqn", env, ON, updates=12)
    vectors = link(agent, "spectral").state["q"]
    for name, writer in agent.parts["q"].net.writers().items():
        sigma, _ = iterate(writer.weight, vectors[name].clone())
        torch.testing.assert_close(
            sigma, torch.linalg.matrix_norm(writer.weight.flatten(1).detach(), 2), rtol=0.01, atol=0
        )


def test_it_is_0_where_the_largest_singular_value_is_1():
    w, u = matrix([1.0, 0.5]), torch.ones(6)
    for _ in range(30):
        _, value, slope = largest(w, u, 2)
    assert value < 1e-10
    assert slope(torch.tensor(1.0)).abs().max() < 1e-5


@pytest.mark.parametrize("k", [1, 2, 3])
def test_value_and_gradient_are_those_of_the_exact_norm(k):
    w, u = matrix([1.5, 0.5]).requires_grad_(), torch.ones(6)
    for _ in range(40):
        _, value, slope = largest(w, u, k)
    exact = (torch.linalg.matrix_norm(w, 2) ** k - 1).square()
    torch.testing.assert_close(value, exact.detach())
    torch.testing.assert_close(slope(torch.tensor(1.0)), torch.autograd.grad(exact, w)[0], atol=1e-4, rtol=1e-4)


def test_a_bias_is_a_matrix_of_one_column_whose_norm_should_be_0():
    """b = (3, 4): ||b||^4 = 625 with gradient 4 ||b||^2 b = (300, 400); ||b||^2 = 25 with gradient 2 b."""
    for power, value, slope in (("2k", 625.0, [300.0, 400.0]), ("k", 25.0, [6.0, 8.0])):
        ((_, size, pull),) = Spectral(spectral_bias=power).biases(torch.tensor([3.0, 4.0]))
        assert float(size) == pytest.approx(value)
        assert pull(torch.tensor(1.0)).tolist() == pytest.approx(slope)
    assert not list(Spectral(spectral_bias="off").biases(torch.tensor([3.0, 4.0])))


def test_a_bias_of_0_has_no_gradient():
    ((_, size, pull),) = Spectral().biases(torch.zeros(3))
    assert size == 0
    assert not pull(torch.tensor(1.0)).any()


def test_only_the_largest_gain_is_pulled_and_to_1():
    """(2^2 - 1)^2 = 9 at |g| = 2, with slope 2 * 3 * 2 * 2 = 24."""
    assert [float(x) for x in around_one(torch.tensor(2.0), 2)] == [9.0, 24.0]
    _, value, slope = gain(torch.tensor([0.5, -2.0, 1.0]), 2)
    assert value == 9
    assert slope(torch.tensor(1.0)).tolist() == [0.0, -24.0, 0.0]
    assert gain(torch.ones(3), 2)[1] == 0


def test_gains_of_norms_can_be_left_alone():
    for flags, among in (([], True), (["--spectral-gains=off"], False)):
        agent = born("dqn", VECTORS, ON, "--norm=layer", *flags)
        with torch.no_grad():
            agent.parts["q"].net.torso.fc1.norm.weight.fill_(2.0)
        grads = gradients(agent, on_weights(agent, "spectral"))
        assert grads["torso.fc1.norm.weight"].any() == among


def test_the_factors_of_units_are_gains_and_scales_of_noise_are_left_alone():
    agent = born("dqn", VECTORS, ON, "--parseval-weight=1", "--parseval-diagonal", "--noisy=0.5")
    net = agent.parts["q"].net
    assert not gradients(agent, on_weights(agent, "spectral"))["torso.fc1.writer.output_lens.weight"].any()
    with torch.no_grad():
        net.torso.fc1.writer.output_lens.weight.fill_(2.0)
    grads = gradients(agent, on_weights(agent, "spectral"))
    assert grads["torso.fc1.writer.output_lens.weight"].count_nonzero() == 1
    assert not any(grads[name].any() for name in grads if "sigma" in name)


def test_a_matrix_of_zeros_keeps_its_vector_and_is_found_again():
    w, u = torch.eye(3, 2), torch.tensor([0.6, 0.8, 0.0])
    assert iterate(torch.zeros(3, 2), u)[0] == 0
    assert u.tolist() == pytest.approx([0.6, 0.8, 0.0])
    assert iterate(5 * w, u)[0] == pytest.approx(5.0)


def test_the_output_layer_is_among_the_matrices():
    agent = born("dqn", VECTORS, ON)
    assert gradients(agent, on_weights(agent, "spectral"))["head.value.weight"].any()


def test_after_a_reset_the_vectors_are_those_of_the_new_matrices():
    agent = grown("dqn", VECTORS, ON, "--reset-every=5:updates", updates=5)
    vectors = link(agent, "spectral").state["q"]
    for name, writer in agent.parts["q"].net.writers().items():
        sigma, _ = iterate(writer.weight, vectors[name].clone())
        torch.testing.assert_close(sigma, torch.linalg.matrix_norm(writer.weight.detach(), 2), rtol=0.02, atol=0)
