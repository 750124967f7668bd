"""Norms before the activation: groups by hand, no batch dependence, what they make of the scale of weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.images import cnn, resnet18
from nets.impala import impala
from nets.layers import Block, Conv2d, Linear

NORMS = pytest.mark.parametrize("norm", ["layer", "layer_channels", "group"])
SHAPES = pytest.mark.parametrize("shape", [(6,), (2, 44, 44)], ids=["vectors", "images"])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def groups(writer, wanted=8):
    return Block(writer, "group", "relu", wanted).norm.num_groups


@pytest.mark.parametrize(("units", "found"), [(512, 8), (256, 8), (100, 5), (96, 8), (24, 3), (16, 2), (13, 1), (8, 1)])
def test_a_linear_layer_has_eight_groups_or_the_divisor_that_leaves_them_eight_units(units, found):
    assert groups(Linear(4, units)) == found


@pytest.mark.parametrize(("channels", "found"), [(64, 8), (20, 5), (12, 6), (8, 8), (4, 4), (7, 7), (11, 1)])
def test_a_convolution_has_eight_groups_or_a_divisor_of_its_channels(channels, found):
    assert groups(Conv2d(1, channels, 3, 1, 6, False, "torch")) == found  # 16 positions are numbers enough


def test_a_convolution_with_one_position_is_as_a_linear_layer():
    assert groups(Conv2d(1, 16, 6, 1, 6, False, "torch")) == 2


@pytest.mark.parametrize("wanted", [1, 2, 4, 16, 32, 64])
def test_a_number_of_groups_that_suits_a_layer_is_taken(wanted):
    assert groups(Linear(4, 512), wanted) == wanted


@pytest.mark.parametrize(
    ("units", "wanted", "found"),
    [(512, 12, 8), (100, 16, 10), (24, 4, 3), (13, 2, 1), (512, 128, 64)],
)
def test_another_number_of_groups_is_met_or_refused(units, wanted, found):
    with pytest.raises(
        ValueError, match=f"norm_groups {wanted} does not suit a layer of {units} units; it takes {found}"
    ):
        groups(Linear(4, units), wanted)


def test_a_group_of_a_linear_layer_is_a_run_of_neighbouring_units():
    block, x = Block(Linear(6, 16), "group", "tanh"), normal(4, 6)
    halves = [F.layer_norm(half, (8,)) for half in block.writer(x).chunk(2, 1)]
    torch.testing.assert_close(block(x), torch.tanh(torch.cat(halves, 1)))


def test_a_group_of_a_convolution_is_a_run_of_channels_over_all_positions():
    block, x = Block(Conv2d(3, 16, 3, 1, 6, False, "torch"), "group", "tanh"), normal(4, 3, 6, 6)
    pairs = [F.layer_norm(pair, (2, 4, 4)) for pair in block.writer(x).chunk(8, 1)]
    torch.testing.assert_close(block(x), torch.tanh(torch.cat(pairs, 1)))
    assert block.norm.weight.shape == block.norm.bias.shape == (16,)


def test_over_channels_each_position_of_a_convolution_is_normed_by_itself_with_a_gain_per_channel():
    block, x = Block(Conv2d(3, 16, 3, 1, 6, False, "torch"), "layer_channels", "tanh"), normal(4, 3, 6, 6)
    with torch.no_grad():
        block.norm.weight.copy_(normal(16, seed=1))
        block.norm.bias.copy_(normal(16, seed=2))
    each = block.writer(x).permute(0, 2, 3, 1)  # [B, H, W, C]
    expected = F.layer_norm(each, (16,), block.norm.weight, block.norm.bias).permute(0, 3, 1, 2)
    torch.testing.assert_close(block(x), torch.tanh(expected))


def test_over_channels_a_linear_layer_has_the_same_norm_as_with_layer():
    x, blocks = normal(4, 6), [Block(Linear(6, 16), norm, "tanh") for norm in ("layer", "layer_channels")]
    blocks[1].load_state_dict(blocks[0].state_dict())
    assert torch.equal(*(block(x) for block in blocks))


def test_memory_order_stays_through_a_norm_over_channels():
    block = Block(Conv2d(3, 16, 3, 1, 6, False, "torch"), "layer_channels", "relu").to(
        memory_format=torch.channels_last
    )
    x = normal(4, 3, 6, 6).to(memory_format=torch.channels_last)
    assert block(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("norm", ["layer", "layer_channels", "group"])
@pytest.mark.parametrize("writer", [Linear(6, 16), Conv2d(6, 16, 1, 1, 1, False, "torch")], ids=["linear", "conv"])
def test_eps_joins_the_variance(norm, writer):
    """One group of features of variance v become (x - mean) / sqrt(v + eps)."""
    block, x = Block(writer, norm, "tanh", groups=1, eps=0.5), normal(4, 6)
    shown = block(x if isinstance(writer, Linear) else x[:, :, None, None]).flatten(1)
    y = writer(x if isinstance(writer, Linear) else x[:, :, None, None]).flatten(1)
    centred = y - y.mean(1, keepdim=True)
    torch.testing.assert_close(shown, torch.tanh(centred / (centred.square().mean(1, keepdim=True) + 0.5).sqrt()))


@NORMS
@SHAPES
def test_norm_eps_reaches_every_norm(norm, shape):
    norms = QNetwork(shape, 3, NetConfig(width=0.5, norm=norm, norm_eps=1e-6)).norms()
    assert norms
    assert {module.eps for module in norms.values()} == {1e-6}


@NORMS
@pytest.mark.parametrize("make", [cnn, resnet18, impala])
def test_norm_eps_reaches_every_norm_of_an_encoder(make, norm):
    encoder, _, _ = make((2, 28, 28), NetConfig(width=0.5, norm=norm, norm_eps=1e-6))
    norms = [m for m in encoder.modules() if isinstance(m, nn.GroupNorm | nn.LayerNorm)]
    assert norms
    assert {m.eps for m in norms} == {1e-6}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"norm_eps": 1e-6}, "norm_eps 1e-06 does nothing without --norm"),
        ({"norm": "layer", "norm_eps": 0.0}, "norm_eps is 0.0, but must be above 0"),
    ],
)
def test_an_eps_without_a_meaning_is_refused(flags, sentence):
    assert NetConfig(**flags).problems() == [sentence]


@NORMS
@SHAPES
def test_a_sample_does_not_see_the_others_of_its_batch(norm, shape):
    net, x = QNetwork(shape, 3, NetConfig(width=0.5, hidden=(32,), norm=norm)), normal(4, *shape)
    torch.testing.assert_close(net(x)[:1], net(x[:1]))


def scaled(shape, norm, factor, biases=True, activation="relu"):
    """Outputs before and after the hidden weights, with or without their biases, are multiplied."""
    torch.manual_seed(0)
    net = QNetwork(shape, 3, NetConfig(width=0.5, hidden=(64, 64), norm=norm, init="he", activation=activation))
    x = 10 * normal(4, *shape)
    with torch.no_grad():
        for layer in net.layers():
            layer.writer.bias.copy_(normal(layer.writer.bias.numel(), seed=1))
        before = net(x)
        for layer in net.layers():
            layer.writer.weight.mul_(factor)
            layer.writer.bias.mul_(factor if biases else 1)
        return before, net(x)


@NORMS
@SHAPES
@pytest.mark.parametrize("factor", [0.5, 2, 10])
def test_a_normed_network_does_not_see_the_scale_of_its_hidden_weights_and_biases(norm, shape, factor):
    before, after = scaled(shape, norm, factor)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


@NORMS
@SHAPES
def test_it_sees_the_scale_of_weights_whose_biases_stay(norm, shape):
    before, after = scaled(shape, norm, 2, biases=False)
    assert (after - before).abs().max() > 1e-2


@SHAPES
def test_without_a_norm_it_sees_the_scale_of_its_weights(shape):
    before, after = scaled(shape, "none", 2)
    assert (after - before).abs().max() > 1e-2
