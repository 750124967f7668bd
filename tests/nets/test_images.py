"""The CNN of Kumar et al. and ResNet-18: written out in plain torch, sizes by hand, anatomy."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from nets.classify import Classifier, ClassifierNetConfig
from nets.encoders import NetConfig
from nets.images import cnn, resnet18
from tests.nets import nudge

VARIANTS = list(product(["relu", "crelu", "tanh", "prelu", "fourier"], ["none", "layer", "group"]))
SMALL = {"cnn": ((2, 20, 20), 0.25), "resnet18": ((2, 8, 8), 0.125)}  # shape, width; the CNN leaves 2x2 positions


def make(net, hidden=(100,), **flags):
    shape, width = SMALL[net]
    return lambda: Classifier(shape, 3, ClassifierNetConfig(net=net, hidden=hidden, width=width, **flags))


def images(net, batch=2):
    return torch.rand(batch, *SMALL[net][0], generator=torch.Generator().manual_seed(0))


def size(module):
    return sum(p.numel() for p in module.parameters())


def test_the_cnn_is_two_convolutions_with_a_maximum_behind_each():
    net, _, _ = cnn((3, 32, 32), NetConfig())
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = net.conv1.writer, net.conv2.writer
    h = F.max_pool2d(F.conv2d(x, first.weight, first.bias).relu(), 2)
    h = F.max_pool2d(F.conv2d(h, second.weight, second.bias).relu(), 2)
    torch.testing.assert_close(net(x), h)


@pytest.mark.parametrize(
    ("shape", "padding", "positions"),
    [((3, 32, 32), "valid", 5 * 5), ((1, 28, 28), "valid", 4 * 4), ((3, 32, 32), "same", 8 * 8)],
)
def test_the_cnn_knows_its_positions(shape, padding, positions):
    net, features, found = cnn(shape, NetConfig(padding=padding))
    assert (found, features) == (positions, 16 * positions)
    assert net(torch.zeros(1, *shape)).flatten(1).shape == (1, features)


def test_the_cnn_has_seven_thousand_parameters():
    assert size(cnn((3, 32, 32), NetConfig())[0]) == (75 * 16 + 16) + (400 * 16 + 16) == 7_632


def test_resnet18_has_eleven_million_parameters():
    net = Classifier((3, 32, 32), 10, ClassifierNetConfig(net="resnet18", hidden=()))
    stem = 27 * 64 + 64
    same = [2 * (9 * c * c + c) for c in (64, 128, 256, 512)]  # a block without a change of shape
    down = [(9 * c // 2 * c + c) + (9 * c * c + c) + (c // 2 * c + c) for c in (128, 256, 512)]
    assert size(net) == stem + sum(same) + same[0] + sum(down) + 512 * 10 + 10 == 11_169_162


def test_a_norm_sits_behind_each_of_its_twenty_convolutions():
    config = ClassifierNetConfig(net="resnet18", hidden=(), norm="layer", width=0.25)
    bare = ClassifierNetConfig(net="resnet18", hidden=(), width=0.25)
    channels = 16 * (1 + 4) + (32 + 64 + 128) * 5  # 20 convolutions: a stem, 16 in blocks, 3 shortcuts
    extra = size(Classifier((3, 8, 8), 10, config)) - size(Classifier((3, 8, 8), 10, bare))
    assert extra == 2 * channels
    for norm in ("layer", "group"):
        assert nudge.the_group_norm_is_every_norm(make("resnet18", hidden=(), norm=norm)) == 20


@pytest.mark.parametrize(
    ("net", "config", "groups"),
    [
        (cnn, NetConfig(norm="group"), {8}),
        (resnet18, NetConfig(width=0.25, norm="group"), {8}),
        (resnet18, NetConfig(width=0.25, norm="group", norm_groups=16), {16}),
    ],
)
def test_every_convolution_has_the_groups_asked_for(net, config, groups):
    encoder, _, _ = net((3, 16, 16), config)
    assert {m.num_groups for m in encoder.modules() if isinstance(m, torch.nn.GroupNorm)} == groups


@pytest.mark.parametrize("norm", ["none", "layer", "group"])
def test_a_block_of_the_resnet_is_two_convolutions_and_a_shortcut(norm):
    net, _, _ = resnet18((3, 9, 9), NetConfig(width=0.125, norm=norm))
    p, x = dict(net.block3.named_parameters()), torch.rand(2, 8, 9, 9, generator=torch.Generator().manual_seed(0))

    def conv(name, x, stride, padding):
        h = F.conv2d(x, p[f"{name}.writer.weight"], p[f"{name}.writer.bias"], stride, padding)
        return h if norm == "none" else F.group_norm(h, {"layer": 1, "group": 8}[norm])

    h = conv("out", conv("hidden", x, 2, 1).relu(), 1, 1)
    torch.testing.assert_close(net.block3(x), (h + conv("shortcut", x, 2, 0)).relu())


def test_the_resnet_averages_its_last_positions():
    net, features, positions = resnet18((1, 28, 28), NetConfig(width=0.125))
    sizes = [block.size for _, block in net.blocks()]
    assert (sizes, features, positions) == ([28, 28, 14, 14, 7, 7, 4, 4], 64, 1)
    h = net.stem(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    for _, block in net.blocks():
        h = block(h)
    torch.testing.assert_close(
        net(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))), h.flatten(2).mean(2)
    )


@pytest.mark.parametrize("activation", ["crelu", "fourier"])
def test_only_a_change_of_shape_has_a_shortcut_of_its_own(activation):
    relu, double = (resnet18((3, 8, 8), NetConfig(width=0.125, activation=a))[0] for a in ("relu", activation))
    assert [n for n, b in relu.blocks() if b.shortcut is not None] == ["block3", "block5", "block7"]
    assert all(b.shortcut is not None for _, b in double.blocks())


def test_a_prelu_of_the_resnet_has_a_slope_for_each_channel_it_shows():
    net, _, _ = resnet18((3, 8, 8), NetConfig(width=0.125, activation="prelu"))
    slopes = [p.numel() for n, p in net.named_parameters() if "act" in n.split(".")]
    assert slopes == [8] * 5 + [16] * 4 + [32] * 4 + [64] * 4  # the stem, and two in each block
    assert [n for n, _ in net.block1.named_parameters() if "act" in n] == ["hidden.act.weight", "act.weight"]


def test_slope_reaches_every_activation_of_the_resnet():
    net, _, _ = resnet18((3, 8, 8), NetConfig(width=0.125, activation="leaky_relu", slope=0.3))
    assert [m.negative_slope for m in net.modules() if isinstance(m, torch.nn.LeakyReLU)] == [0.3] * 17


@pytest.mark.parametrize("net", list(SMALL))
def test_he_reaches_every_convolution(net):
    shape = (16, 16, 16)
    encoder = {"cnn": cnn, "resnet18": resnet18}[net](shape, NetConfig(init="he"))[0]
    convs = [m for m in encoder.modules() if hasattr(m, "matrices")]
    assert not any(m.bias.any() for m in convs)
    for m in convs:
        fan_in = m.weight[0].numel()
        assert m.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


@pytest.mark.parametrize("net", list(SMALL))
@pytest.mark.parametrize(("activation", "norm"), VARIANTS)
def test_a_unit_reaches_exactly_the_columns_its_edges_name(net, activation, norm):
    for hidden in ((100,), ()):
        nudge.edges_tell_the_truth(make(net, hidden, activation=activation, norm=norm)(), images(net))


@pytest.mark.parametrize("net", list(SMALL))
@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_every_matrix_is_a_writer_a_reader_or_shared(net, activation):
    for hidden in ((100,), ()):
        nudge.every_matrix_is_listed_once(make(net, hidden, activation=activation)())


@pytest.mark.parametrize("net", list(SMALL))
@pytest.mark.parametrize("activation", ["relu", "crelu", "tanh", "prelu"])
def test_recycling_a_silent_unit_leaves_the_outputs(net, activation):
    assert nudge.change_by_recycling(make(net, activation=activation, init="he"), images(net)) < 1e-6


@pytest.mark.parametrize("net", list(SMALL))
def test_a_draw_is_a_pure_function_of_the_seed(net):
    nudge.is_a_pure_function_of_the_seed(make(net, norm="layer"))


@pytest.mark.parametrize("net", list(SMALL))
@pytest.mark.parametrize(("activation", "norm"), [("relu", "layer"), ("prelu", "group"), ("fourier", "group")])
def test_the_memory_order_stays_channels_last(net, activation, norm):
    mine = nudge.part(make(net, activation=activation, norm=norm))
    shapes = []
    for m in mine.net.modules():
        if isinstance(m, torch.nn.Conv2d):
            m.register_forward_hook(
                lambda m, args, out: shapes.append(out.is_contiguous(memory_format=torch.channels_last))
            )
    mine.net(torch.zeros(2, *SMALL[net][0], dtype=torch.uint8))
    assert shapes
    assert all(shapes)


@pytest.mark.parametrize(
    ("build", "shape", "sentence"),
    [
        (cnn, (3, 32, 28), "the CNN takes square images; these are 32x28"),
        (resnet18, (3, 32, 28), "the ResNet-18 takes square images; these are 32x28"),
        (cnn, (3, 15, 15), "images of 15x15 are too small for the CNN with valid padding"),
    ],
)
def test_images_they_cannot_take_are_refused(build, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(shape, NetConfig())
