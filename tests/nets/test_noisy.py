"""Noisy layers: the noise by its definition, where it comes from, and surgery on both of their matrices."""

import pytest
import torch

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.injected import prepare
from nets.layers import Linear
from nets.noisy import NoisyLinear, noise, noisy_layers
from nets.optim import OptimConfig
from nets.part import Part
from tests.nets import nudge

SMALL = NetConfig(hidden=(8,))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def x(inputs=5, batch=4):
    return torch.randn(batch, inputs, generator=seeded())


def make(head="dueling", **flags):
    return lambda: QNetwork((5,), 3, NetConfig(hidden=(8, 8), **flags), head, atoms=4, noisy=0.5)


def f(x):
    return x.sign() * x.abs() ** 0.5


def test_without_noise_a_layer_is_its_mean_to_the_last_bit():
    layer = NoisyLinear(5, 3)
    assert torch.equal(layer(x()), torch.nn.functional.linear(x(), layer.weight, layer.bias))


def test_with_noise_each_weight_is_mu_plus_sigma_times_a_product_of_two_numbers():
    layer = NoisyLinear(5, 3)
    with torch.no_grad():
        for p in layer.sigma.parameters():
            p.copy_(torch.rand(p.shape, generator=seeded(1)))
    rng = seeded(2)
    q, p = f(torch.randn(5, generator=rng)), f(torch.randn(3, generator=rng))
    expected = torch.zeros(4, 3)
    for b, row in enumerate(x()):
        for i in range(3):
            bias = layer.bias[i] + layer.sigma.bias[i] * p[i]
            weights = [layer.weight[i, j] + layer.sigma.weight[i, j] * p[i] * q[j] for j in range(5)]
            expected[b, i] = bias + sum(w * v for w, v in zip(weights, row, strict=True))
    with noise(layer, seeded(2)):
        torch.testing.assert_close(layer(x()), expected, atol=1e-5, rtol=1e-5)


def test_mu_is_uniform_within_one_over_the_root_of_the_inputs_and_sigma_half_of_it():
    layer = NoisyLinear(100, 64)
    for p in (layer.weight, layer.bias):
        assert p.abs().max() <= 0.1
    assert layer.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert all((p == torch.tensor(0.05)).all() for p in layer.sigma.parameters())
    assert (NoisyLinear(100, 2, sigma=0.1).sigma.weight == torch.tensor(0.01)).all()


def test_mu_is_drawn_as_a_plain_layer_is():
    pairs = [nudge.part(lambda k=kind: nudge.Headed(k(5, 8), 8)).net.torso for kind in (Linear, NoisyLinear)]
    assert torch.equal(pairs[0].weight, pairs[1].weight)
    assert torch.equal(pairs[0].bias, pairs[1].bias)


def test_the_noise_has_mean_zero_and_the_variance_of_a_square_root_of_a_normal_number():
    layer, rng, seen = NoisyLinear(50, 50), seeded(), []
    for _ in range(400):
        with noise(layer, rng):
            seen += [n.clone() for n in layer.noise]
    draws = torch.cat(seen)
    assert abs(draws.mean()) < 0.01
    assert draws.var().item() == pytest.approx((2 / torch.pi) ** 0.5, rel=0.02)  # E|x|


def test_noise_is_a_pure_function_of_the_generator_and_moves_no_other():
    net, before = make()(), torch.get_rng_state()
    outs = []
    for seed in (3, 3, 4):
        with noise(net, seeded(seed)):
            outs.append(net(x()))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pass_draws_nothing_so_that_two_passes_share_their_noise():
    net, rng = make()(), seeded()
    with noise(net, rng):
        state = rng.get_state()
        assert torch.equal(net(x()), net(x()))
    assert torch.equal(rng.get_state(), state)


def test_behind_the_block_the_noise_is_gone_even_after_an_error():
    net = make()()
    before = net(x())
    with pytest.raises(ZeroDivisionError), noise(net, seeded()):
        assert not torch.equal(net(x()), before)
        raise ZeroDivisionError
    assert torch.equal(net(x()), before)


def test_sigma_learns_from_the_noise_of_its_pass_although_another_was_drawn_since():
    net = make()()
    with noise(net, seeded(1)):
        loss = net(x()).square().sum()
        expected = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
    with noise(net, seeded(2)):
        net(x())
    found = torch.autograd.grad(loss, list(net.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert all(p.any() for (n, _), p in zip(net.named_parameters(), found, strict=True) if "sigma" in n.split("."))


def test_the_group_sigma_is_every_scale_of_the_noise_and_nothing_else():
    mine = nudge.part(make())
    layers = noisy_layers(mine.net)
    assert len(layers) == 4  # two hidden, two streams
    assert {id(p) for p in mine.select("sigma").values()} == {id(p) for m in layers for p in m.sigma.parameters()}
    assert sorted(mine.select("sigma", skip="head")) == [
        f"torso.fc{i}.writer.sigma.{n}" for i in (1, 2) for n in ("bias", "weight")
    ]


def test_a_reset_of_sigma_leaves_the_means():
    mine = nudge.part(make())
    with torch.no_grad():
        for p in mine.net.parameters():
            p.add_(1)
    before = mine.weights()
    mine.redraw(lambda: 5, "sigma")
    fresh = dict(mine.fresh(5).named_parameters())
    for name, p in mine.net.named_parameters():
        assert torch.equal(p, fresh[name] if "sigma" in name.split(".") else before[name])


def test_a_slow_copy_has_noise_of_its_own():
    mine = Part(make(), OptimConfig().make, 0, tau=1.0)
    with noise(mine.net, seeded(1)), noise(mine.target, seeded(2)):
        a, b = mine.net(x()), mine.target(x())
        mine.sync()
        assert torch.equal(mine.target(x()), b)
        assert not torch.equal(a, b)
    assert torch.equal(mine.net(x()), mine.target(x()))


def test_a_saved_state_holds_no_noise():
    mine = nudge.part(make())
    names = set(mine.state_dict()["net"])
    with noise(mine.net, seeded()):
        assert set(mine.state_dict()["net"]) == names == {n for n, _ in mine.net.named_parameters()}


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("activation", ["relu", "crelu"])
@pytest.mark.parametrize("loud", [False, True])
def test_a_unit_reaches_exactly_the_columns_its_edges_name(head, activation, loud):
    net = make(head, activation=activation)()
    with noise(net if loud else torch.nn.Identity(), seeded()):
        nudge.edges_tell_the_truth(net, x())
    nudge.every_matrix_is_listed_once(net)


@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_recycling_a_silent_unit_leaves_the_outputs_with_and_without_noise(head):
    assert nudge.change_by_recycling(make(head), x()) < 1e-6
    mine = nudge.part(make(head))
    with torch.no_grad(), noise(mine.net, seeded()):
        for layer in mine.net.layers():
            for p in layer.writer.parameters():
                p[1] = 0
        before, fresh = mine.net(x()), {layer.name: layer for layer in mine.fresh(1).layers()}
        for layer in mine.net.layers():
            nudge.redraw(mine, layer, fresh[layer.name], torch.tensor([1]))
            assert all(m[1].any() for m in layer.writer.matrices)
            nudge.silence(mine, layer, torch.tensor([1]))
        torch.testing.assert_close(mine.net(x()), before, atol=1e-6, rtol=0)


def test_a_draw_is_a_pure_function_of_the_seed():
    mine = nudge.part(make())
    a, b, c = (dict(mine.fresh(seed).named_parameters()) for seed in (5, 5, 6))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all(torch.equal(a[n], c[n]) == ("sigma" in n.split(".")) for n in a)


def test_frozen_copies_beside_a_tail_draw_nothing():
    plain, slotted = make()(), make()()
    prepare(slotted, 1, True)
    assert len(noisy_layers(plain)) == len(noisy_layers(slotted)) == 4


def test_a_plain_network_has_no_noise_and_a_draw_for_it_moves_no_generator():
    net, rng = QNetwork((5,), 3, SMALL), seeded()
    state = rng.get_state()
    with noise(net, rng):
        net(x())
    assert torch.equal(rng.get_state(), state)
    assert not [n for n, _ in net.named_parameters() if "sigma" in n]


def test_noisy_costs_twice_the_parameters():
    def size(module):
        return sum(p.numel() for p in module.parameters())

    assert size(make()()) == 2 * size(QNetwork((5,), 3, NetConfig(hidden=(8, 8)), "dueling", atoms=4))
