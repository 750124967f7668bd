"""The encoders of DrQ and DrQ-v2 (algorithms A.5.3): written out, sizes by hand, anatomy."""

import pytest
import torch
import torch.nn.functional as F

from nets.anatomy import Network
from nets.drq import encoded, eyes, trunk
from nets.encoders import NetConfig
from nets.heads import LinearHead
from tests.nets import nudge

KINDS = pytest.mark.parametrize("kind", ["drq", "drqv2"])


class Seeing(Network):
    """Convolutions and trunk under a linear head."""

    def __init__(self, kind, config):
        super().__init__()
        self.encoder, features, self.positions = eyes(kind, (2, 15, 15), config)
        self.torso, features = trunk(features, config)
        self.head = LinearHead(features, 3, config.init)

    def forward(self, x):
        return self.head(self.torso(self.encoder(x).flatten(1)))

    def layers(self):
        torso = self.torso.layers("torso", self.head.readers())
        return self.encoder.layers("encoder", [torso[0].writer], self.positions) + torso

    def outputs(self):
        return self.head.readers()


def make(kind, **flags):
    return lambda: Seeing(kind, NetConfig(width=0.25, **flags))


def images(size=15):
    return torch.rand(2, 2, size, size, generator=torch.Generator().manual_seed(0))


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("kind", "n"), [("drq", 15), ("drq", 16), ("drqv2", 15)])
def test_the_convolutions_compute_what_the_code_of_the_paper_does(kind, n):
    net, _, _ = eyes(kind, (2, n, n), NetConfig(width=0.25))
    p, x = dict(net.named_parameters()), images(n)
    for i in range(4):
        if kind == "drq":  # SAME at stride 2: an odd size is padded on both sides, an even one behind
            x = F.pad(x, (x.shape[-1] % 2, 1, x.shape[-1] % 2, 1))
        stride = 2 if kind == "drq" or i == 0 else 1
        x = F.conv2d(x, p[f"conv{i + 1}.writer.weight"], p[f"conv{i + 1}.writer.bias"], stride).relu()
    torch.testing.assert_close(net(images(n)), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape", "sizes", "channels"),
    [("drq", (3, 64, 64), [32, 16, 8, 4], 256), ("drqv2", (9, 84, 84), [41, 39, 37, 35], 32)],
)
def test_its_sizes_by_hand(kind, shape, sizes, channels):
    net, features, positions = eyes(kind, shape, NetConfig())
    assert [block.writer.size for _, block in net.blocks()] == sizes
    assert (features, positions) == (channels * sizes[-1] ** 2, sizes[-1] ** 2)
    assert net(torch.zeros(1, *shape)).shape == (1, channels, sizes[-1], sizes[-1])


def test_its_parameters_by_hand():
    conv = lambda n, m: 9 * n * m + m
    assert size(eyes("drq", (3, 64, 64), NetConfig())[0]) == (
        conv(3, 32) + conv(32, 64) + conv(64, 128) + conv(128, 256)
    )
    net, features, _ = eyes("drqv2", (9, 84, 84), NetConfig())
    assert size(net) == conv(9, 32) + 3 * conv(32, 32) == 30_368
    assert (features, size(trunk(features, NetConfig())[0])) == (39_200, 39_200 * 50 + 50 + 2 * 50)


def test_the_trunk_is_linear_then_a_layer_norm_then_tanh_whatever_the_flags_say():
    for flags in ({}, {"norm": "group", "activation": "crelu"}):
        net, features = trunk(7, NetConfig(**flags))
        x = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
        writer = net.trunk.writer
        h = x @ writer.weight.T + writer.bias
        h = (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        assert features == 50
        torch.testing.assert_close(net(x), h.tanh(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("gain", "square"), [(2**0.5, 2), (1.0, 1)])
def test_the_trunk_is_orthogonal_with_the_gain_asked_for(gain, square):
    weight = trunk(80, NetConfig(init="orthogonal"), gain=gain)[0].trunk.writer.weight
    torch.testing.assert_close(weight @ weight.T, square * torch.eye(50), atol=1e-5, rtol=0)


def test_width_scales_channels_and_latent():
    net, _, _ = eyes("drq", (3, 64, 64), NetConfig(width=0.5))
    assert [block.units for _, block in net.blocks()] == [16, 32, 64, 128]
    assert trunk(8, NetConfig(width=2.0))[1] == 100


@pytest.mark.parametrize(("kind", "seen"), [("drq", [0.0, 0.2, 1.0]), ("drqv2", [-0.5, -0.3, 0.5])])
def test_pixels_are_seen_from_0_to_1_by_drq_and_from_minus_a_half_to_a_half_by_drq_v2(kind, seen):
    obs = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(encoded(obs, torch.nn.Identity(), kind), torch.tensor([seen]))
    assert obs.flatten().tolist() == [0, 51, 255]


@KINDS
@pytest.mark.parametrize("norm", ["none", "layer", "group"])
@pytest.mark.parametrize("activation", ["relu", "crelu", "prelu"])
def test_a_unit_reaches_exactly_the_columns_its_edges_name(kind, activation, norm):
    net = make(kind, activation=activation, norm=norm)()
    assert [layer.name for layer in net.layers()] == [f"encoder.conv{i}" for i in (1, 2, 3, 4)] + ["torso.trunk"]
    assert net.layers()[-1].norm is net.torso.trunk.norm
    nudge.edges_tell_the_truth(net, images())
    nudge.every_matrix_is_listed_once(net)


@KINDS
def test_a_draw_is_a_pure_function_of_the_seed(kind):
    nudge.is_a_pure_function_of_the_seed(make(kind, init="orthogonal"))


@pytest.mark.parametrize(
    ("kind", "shape", "flags", "sentence"),
    [
        ("drq", (3, 64, 64), {"padding": "same"}, "padding same: the encoder of DrQ has its own; leave it out"),
        ("drq", (3, 64, 60), {}, "the encoder of DrQ takes square images; this observation is 64x60"),
        ("drqv2", (3, 8, 8), {}, "images of 8x8 are too small for the encoder of DrQ-v2 with valid padding"),
    ],
)
def test_what_it_cannot_be_is_refused(kind, shape, flags, sentence):
    with pytest.raises(ValueError, match=sentence):
        eyes(kind, shape, NetConfig(**flags))
