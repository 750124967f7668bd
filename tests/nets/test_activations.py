"""Activations: CReLU, Fourier features, PReLU and leaky ReLU, what they keep and what they cost."""

import pytest
import torch
from torch import nn

from nets.encoders import NetConfig, mlp
from nets.heads import QNetwork
from nets.layers import ACTIVATIONS, Block, Conv2d, CReLU, Fourier, Linear
from nets.optim import OptimConfig

DOUBLING = pytest.mark.parametrize("activation", ["crelu", "fourier"])


def size(module):
    return sum(p.numel() for p in module.parameters())


def slopes(act, x):
    """The derivatives of each output of a unit with respect to its input, x: [B, U] -> [copies, B, U]."""
    x = x.clone().requires_grad_()
    copies = act(x).unflatten(1, (-1, x.shape[1])).unbind(1)
    return torch.stack([torch.autograd.grad(copy.sum(), x, retain_graph=True)[0] for copy in copies])


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_fourier_shows_sine_and_cosine_with_the_copies_of_a_unit_a_layer_apart():
    shown = Fourier()(torch.tensor([[0.0, torch.pi / 2]]))
    torch.testing.assert_close(shown, torch.tensor([[0.0, 1.0, 1.0, 0.0]]))


def test_the_squares_of_a_fourier_pair_sum_to_one():
    sine, cosine = Fourier()(10 * numbers(4, 6, 3, 3)).chunk(2, 1)
    torch.testing.assert_close(sine.square() + cosine.square(), torch.ones(4, 6, 3, 3))


def test_no_unit_of_a_crelu_is_without_gradient():
    x = numbers(32, 8)
    assert (slopes(CReLU(), x).abs().sum(0) == 0).float().mean() == 0
    assert (slopes(nn.ReLU(), x).abs().sum(0) == 0).float().mean() > 0.4


def test_one_of_a_fourier_pair_always_has_a_slope_of_at_least_root_a_half():
    found = slopes(Fourier(), 10 * numbers(32, 8))
    torch.testing.assert_close(found.square().sum(0), torch.ones(32, 8))
    assert found.abs().amax(0).min() >= 0.5**0.5 - 1e-6


@pytest.mark.parametrize(("slope", "shown"), [(0.01, -0.02), (0.1, -0.2), (0.3, -0.6)])
def test_slope_is_that_of_leaky_relu_below_zero(slope, shown):
    act = NetConfig(activation="leaky_relu", slope=slope).block(Linear(2, 2)).act
    assert act(torch.tensor([-2.0, 3.0])).tolist() == pytest.approx([shown, 3])


def test_prelu_has_a_slope_per_unit_born_a_quarter():
    block = Block(Linear(2, 3), "none", "prelu")
    assert block.act.weight.tolist() == [0.25, 0.25, 0.25]
    with torch.no_grad():
        block.act.weight.copy_(torch.tensor([0.0, 0.5, 1.0]))
    assert block.act(torch.tensor([[-2.0, -2.0, -2.0]])).tolist() == [[0, -1, -2]]


def test_prelu_has_a_slope_per_channel():
    block = Block(Conv2d(1, 3, 3, 1, 4, False, "torch"), "none", "prelu")
    with torch.no_grad():
        block.act.weight.copy_(torch.tensor([0.0, 0.5, 1.0]))
    assert block.act(torch.full((1, 3, 2, 2), -2.0)).amax((2, 3)).tolist() == [[0, -1, -2]]


def test_prelu_slopes_are_trained_and_never_decayed():
    net = QNetwork((5,), 2, NetConfig(hidden=(8,), activation="prelu"))
    net(numbers(4, 5)).sum().backward()
    assert net.torso.fc1.act.weight.grad.any()
    groups = OptimConfig(weight_decay=0.1).make(net.parameters()).param_groups
    (decay,) = {g["weight_decay"] for g in groups if any(p is net.torso.fc1.act.weight for p in g["params"])}
    assert decay == 0


def test_prelu_slopes_are_the_group_act():
    names = dict(QNetwork((4, 44, 44), 2, NetConfig(width=0.25, hidden=(8,), activation="prelu")).named_parameters())
    slopes = [name for name in names if "act" in name.split(".")]
    assert slopes == [f"encoder.conv{i}.act.weight" for i in (1, 2, 3)] + ["torso.fc1.act.weight"]


@DOUBLING
def test_both_copies_of_a_unit_are_edges_of_its_layer(activation):
    reader = Linear(2 * 8, 4)
    layer = Block(Linear(3, 8), "none", activation).layer("torso.fc1", [reader])
    assert [(e.reader, e.width, e.offset) for e in layer.edges] == [(reader, 1, 0), (reader, 1, 8)]


@pytest.mark.parametrize(
    ("activation", "count"),
    [
        ("relu", (10 * 64 + 64) + (64 * 64 + 64) + (64 * 3 + 3)),
        ("prelu", (10 * 64 + 64 + 64) + (64 * 64 + 64 + 64) + (64 * 3 + 3)),
        ("crelu", (10 * 64 + 64) + (128 * 64 + 64) + (128 * 3 + 3)),
        ("fourier", (10 * 64 + 64) + (128 * 64 + 64) + (128 * 3 + 3)),
    ],
)
def test_what_an_activation_costs_in_parameters(activation, count):
    assert size(QNetwork((10,), 3, NetConfig(hidden=(64, 64), activation=activation))) == count


@DOUBLING
def test_at_half_the_width_a_doubling_activation_has_half_the_matrix_between_layers(activation):
    net = QNetwork((10,), 3, NetConfig(hidden=(64, 64), width=0.5, activation=activation))
    assert size(net) == (10 * 32 + 32) + (64 * 32 + 32) + (64 * 3 + 3)


@DOUBLING
@pytest.mark.parametrize("init", ["torch", "he"])
def test_the_first_draw_counts_both_copies_as_inputs(activation, init):
    chain, _ = mlp(8, NetConfig(hidden=(128, 128), activation=activation, init=init))
    variance = {"torch": 1 / (3 * 256), "he": 2 / 256}[init]
    assert chain.blocks()[1][1].writer.weight.var().item() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_a_block_shows_each_unit_as_often_as_it_says(activation):
    block = Block(Conv2d(3, 8, 3, 1, 6, False, "torch"), "none", activation)
    assert block(numbers(2, 3, 6, 6)).shape == (2, 8 * block.copies, 4, 4)
