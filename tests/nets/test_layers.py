"""Layers: paddings, initial laws, CReLU and the normed block, against numbers worked by hand."""

from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nets.layers import Block, Conv2d, CReLU, Linear


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "margin", "out"),
    [(84, 8, 4, (2, 2), 21), (21, 4, 2, (1, 2), 11), (11, 3, 1, (1, 1), 11), (44, 8, 4, (2, 2), 11)],
)
def test_same_padding_is_tensorflows(size, kernel, stride, margin, out):
    conv = Conv2d(1, 1, kernel, stride, size, True, "torch")
    assert (conv.margin, conv.size) == (margin, out)
    assert conv(torch.zeros(1, 1, size, size)).shape[-1] == out


@pytest.mark.parametrize(("size", "kernel", "stride", "out"), [(84, 8, 4, 20), (20, 4, 2, 9), (9, 3, 1, 7)])
def test_valid_padding_is_none(size, kernel, stride, out):
    conv = Conv2d(1, 1, kernel, stride, size, False, "torch")
    assert (conv.margin, conv.size) == ((0, 0), out)
    assert conv(torch.zeros(1, 1, size, size)).shape[-1] == out


@pytest.mark.parametrize(("size", "kernel", "stride", "pads"), [(21, 4, 2, (1, 2)), (11, 3, 1, (1, 1))])
def test_same_padding_equals_an_explicitly_padded_torch_convolution(size, kernel, stride, pads):
    conv, x = Conv2d(3, 5, kernel, stride, size, True, "torch"), normal(2, 3, size, size)
    plain = nn.Conv2d(3, 5, kernel, stride)
    plain.load_state_dict(conv.state_dict())
    torch.testing.assert_close(conv(x), plain(F.pad(x, pads * 2)))


def test_the_odd_pixel_of_padding_goes_to_the_end():
    conv = Conv2d(1, 1, 4, 2, 21, True, "torch")
    with torch.no_grad():
        conv.weight.fill_(1)
        conv.bias.zero_()
    seen = conv(torch.ones(1, 1, 21, 21))[0, 0]
    assert seen[0, 5].item() == 12  # one row of padding of four before
    assert seen[-1, 5].item() == 8  # two rows after


def test_crelu_shows_both_halves():
    assert CReLU()(torch.tensor([[1.0, -2.0]])).tolist() == [[1, 0, 0, 2]]


def test_crelu_keeps_the_l1_norm_and_its_input():
    x = normal(4, 6, 3, 3)
    kept = x.clone()
    shown = CReLU()(x).view(4, 2, 6, 3, 3)
    assert torch.equal(shown.abs().sum(1), x.abs())
    assert torch.equal(x, kept)


@pytest.mark.parametrize(("activation", "at_minus_two"), [("relu", 0), ("leaky_relu", -0.02), ("tanh", -0.9640276)])
def test_activations(activation, at_minus_two):
    act = Block(Linear(2, 2), "none", activation).act
    assert act(torch.tensor([-2.0])).item() == pytest.approx(at_minus_two)


def test_the_norm_of_a_linear_layer_is_layer_norm_over_its_features():
    block, x = Block(Linear(6, 8), "layer", "tanh"), normal(4, 6)
    torch.testing.assert_close(block(x), torch.tanh(F.layer_norm(block.writer(x), (8,))))


def test_the_norm_of_a_convolution_is_over_channels_and_space_with_a_gain_per_channel():
    block, x = Block(Conv2d(3, 8, 3, 1, 6, False, "torch"), "layer", "tanh"), normal(4, 3, 6, 6)
    torch.testing.assert_close(block(x), torch.tanh(F.layer_norm(block.writer(x), (8, 4, 4))))
    assert block.norm.weight.shape == (8,)


@pytest.mark.parametrize(("init", "bound"), [("torch", 1 / sqrt(64)), ("xavier", sqrt(6 / (64 + 32)))])
def test_initial_weights_of_a_linear_layer_are_uniform_within_their_bound(init, bound):
    w = Linear(64, 32, init).weight
    assert 0.99 * bound < w.abs().max() <= bound
    assert w.std().item() == pytest.approx(bound / sqrt(3), rel=0.06)


@pytest.mark.parametrize(("init", "bound"), [("torch", 1 / sqrt(8 * 9)), ("xavier", sqrt(6 / (8 * 9 + 16 * 9)))])
def test_fans_of_a_convolution_count_the_kernel(init, bound):
    w = Conv2d(8, 16, 3, 1, 8, True, init).weight
    assert 0.98 * bound < w.abs().max() <= bound
    assert w.std().item() == pytest.approx(bound / sqrt(3), rel=0.08)


@pytest.mark.parametrize("make", [lambda i: Linear(64, 256, i), lambda i: Conv2d(4, 256, 4, 1, 8, False, i)])
def test_initial_biases(make):
    assert not make("xavier").bias.any()
    assert 0.9 / 8 < make("torch").bias.abs().max() <= 1 / 8  # 1/sqrt(64): fan-in of both


@pytest.mark.parametrize(("activation", "offsets"), [("relu", [0]), ("crelu", [0, 8 * 49])])
def test_a_block_names_an_edge_for_each_copy_of_its_units(activation, offsets):
    reader = Linear(8 * 49 * len(offsets), 4)
    layer = Block(Conv2d(1, 8, 3, 1, 9, False, "torch"), "layer", activation).layer("encoder.conv1", [reader], 49)
    assert [(e.reader, e.width, e.offset) for e in layer.edges] == [(reader, 49, offset) for offset in offsets]
    assert layer.norm.weight.shape == (8,)
