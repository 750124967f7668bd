"""The Impala CNN: written out in loops, sizes by hand (algorithms A.0.5), anatomy."""

import pytest
import torch
import torch.nn.functional as F

from nets.anatomy import Network
from nets.encoders import NetConfig
from nets.heads import LinearHead
from nets.impala import impala
from tests.nets import nudge

ACTIVATIONS = ["relu", "leaky_relu", "crelu", "tanh", "prelu", "fourier"]


class Seeing(Network):
    """The encoder under a linear head."""

    def __init__(self, shape, config):
        super().__init__()
        self.encoder, features, self.positions = impala(shape, config)
        self.head = LinearHead(features, 3, config.init)

    def forward(self, x):
        return self.head(self.encoder(x).flatten(1))

    def layers(self):
        return self.encoder.layers("encoder", self.head.readers(), self.positions)

    def outputs(self):
        return self.head.readers()

    def shared(self):
        return [*self.encoder.shared(), *self.head.readers()]


def make(**flags):
    return lambda: Seeing((2, 9, 9), NetConfig(width=0.5, **flags))


def images(size=9, batch=2):
    return torch.rand(batch, 2, size, size, generator=torch.Generator().manual_seed(0))


def size(module):
    return sum(p.numel() for p in module.parameters())


def maximum(x):
    """The maximum of 3x3 at every second position; what is missing is shared out between both sides, more behind."""
    b, c, n, _ = x.shape
    out = -(-n // 2)
    first = -(((out - 1) * 2 + 3 - n) // 2)
    y = torch.empty(b, c, out, out)
    for i in range(out):
        for j in range(out):
            rows, columns = (slice(max(first + 2 * k, 0), first + 2 * k + 3) for k in (i, j))
            y[:, :, i, j] = x[:, :, rows, columns].amax((2, 3))
    return y


@pytest.mark.parametrize("size", [8, 9, 10, 11])
@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_it_computes_what_its_paper_says(size, activation):
    net, _, _ = impala((2, size, size), NetConfig(width=0.5, activation=activation))
    p, x = dict(net.named_parameters()), images(size)
    act = {"relu": F.relu, "crelu": lambda x: torch.cat([x, -x], 1).relu()}[activation]

    def conv(name, x):
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=1)

    for stage in ("stage1", "stage2", "stage3"):
        x = maximum(conv(f"{stage}.conv", x))
        for block in (f"{stage}.block1", f"{stage}.block2"):
            x = x + conv(f"{block}.out", act(conv(f"{block}.hidden.writer", act(x))))
    torch.testing.assert_close(net(images(size)), act(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_norm_stands_before_every_activation(norm):
    net, _, _ = impala((2, 9, 9), NetConfig(width=0.5, norm=norm))
    block, groups = net.stage2.block1, {"layer": 1, "group": 8}[norm]
    x = torch.randn(2, 16, 5, 5, generator=torch.Generator().manual_seed(0))
    hidden, out = block.hidden.writer, block.out
    h = F.conv2d(F.group_norm(x, groups).relu(), hidden.weight, hidden.bias, padding=1)
    h = F.conv2d(F.group_norm(h, groups).relu(), out.weight, out.bias, padding=1)
    torch.testing.assert_close(block(x), x + h)
    assert sum(isinstance(m, torch.nn.GroupNorm) for m in net.modules()) == 2 * 6 + 1


def test_84_pixels_leave_11_by_11_positions():
    net, features, positions = impala((4, 84, 84), NetConfig())
    assert [stage.size for _, stage in net.stages()] == [42, 21, 11]
    assert (features, positions) == (32 * 121, 121)
    assert net(torch.zeros(1, 4, 84, 84)).shape == (1, 32, 11, 11)


@pytest.mark.parametrize(
    ("width", "count", "features"), [(1.0, 97_744, 3_872), (4.0, 1_552_192, 15_488)], ids=["impala", "bbf"]
)
def test_its_parameters_by_hand(width, count, features):
    a, b, c = (round(width * n) for n in (16, 32, 32))

    def conv(n, m):
        return 9 * n * m + m

    total = conv(4, a) + 4 * conv(a, a) + conv(a, b) + 4 * conv(b, b) + conv(b, c) + 4 * conv(c, c)
    net, found, _ = impala((4, 84, 84), NetConfig(width=width))
    assert (size(net), found) == (total, features) == (count, features)


def test_xavier_is_uniform_within_its_bound_and_biases_are_zero():
    net, _, _ = impala((4, 16, 16), NetConfig(init="xavier"))
    convs = [m for m in net.modules() if hasattr(m, "matrices")]
    assert len(convs) == 15
    assert not any(m.bias.any() for m in convs)
    for m in convs:
        bound = (6 / (9 * (m.in_channels + m.out_channels))) ** 0.5
        assert 0.95 * bound < m.weight.abs().max() <= bound
        assert m.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.06)


@pytest.mark.parametrize("norm", ["none", "layer", "group"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_unit_reaches_exactly_the_columns_its_edges_name(activation, norm):
    net = make(activation=activation, norm=norm)()
    names = [f"encoder.stage{i}.block{j}" for i in (1, 2, 3) for j in (1, 2)]
    assert [layer.name for layer in net.layers()] == names
    nudge.edges_tell_the_truth(net, images())
    nudge.every_matrix_is_listed_once(net)


@pytest.mark.parametrize("activation", ["relu", "crelu", "tanh", "prelu"])
def test_recycling_a_silent_unit_leaves_the_outputs(activation):
    assert nudge.change_by_recycling(make(activation=activation, init="he"), images()) < 1e-6


def test_a_draw_is_a_pure_function_of_the_seed():
    nudge.is_a_pure_function_of_the_seed(make(norm="layer"))


def test_the_group_norm_is_every_norm_and_nothing_else():
    assert nudge.the_group_norm_is_every_norm(make(norm="layer")) == 13


def test_slope_reaches_every_activation():
    net = make(activation="leaky_relu", slope=0.3)()
    assert [m.negative_slope for m in net.modules() if isinstance(m, torch.nn.LeakyReLU)] == [0.3] * 13


def test_the_memory_order_stays_channels_last():
    mine, shown = nudge.part(make(norm="layer")), []
    for m in mine.net.modules():
        if isinstance(m, torch.nn.Conv2d):
            m.register_forward_hook(
                lambda m, args, out: shown.append(out.is_contiguous(memory_format=torch.channels_last))
            )
    mine.net(images().to(memory_format=torch.channels_last))
    assert len(shown) == 15
    assert all(shown)


@pytest.mark.parametrize(
    ("shape", "width", "sentence"),
    [((4, 84, 80), 1.0, "takes square images; these are 84x80"), ((4, 84, 84), 0.25, "fewer than 8 channels")],
)
def test_what_it_cannot_be_is_refused(shape, width, sentence):
    with pytest.raises(ValueError, match=sentence):
        impala(shape, NetConfig(width=width))
