"""SimBa and BRO: their forward pass written out, their sizes by hand, their anatomy."""

import pytest
import torch
import torch.nn.functional as F

from nets.encoders import NetConfig
from nets.residual import bro, simba
from tests.nets import nudge

ACTS = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "crelu": lambda x: torch.cat([x, -x], 1).relu(),
    "fourier": lambda x: torch.cat([x.sin(), x.cos()], 1),
}
TORSOS = pytest.mark.parametrize("torso", [simba, bro])
ACTIVATIONS = pytest.mark.parametrize("activation", list(ACTS))


def x(inputs=5, batch=4):
    return torch.randn(batch, inputs, generator=torch.Generator().manual_seed(0))


def size(module):
    return sum(p.numel() for p in module.parameters())


def shaken(torso):
    """With gains and biases that differ from 1 and 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in torso.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.1)
    return torso


def plain(p, name, x):
    """The linear map or the LayerNorm of that name."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    if weight.ndim == 2:
        return x @ weight.T + bias
    return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt() * weight + bias


@ACTIVATIONS
def test_simba_computes_what_its_paper_says(activation):
    torso, act = shaken(simba(5, (8, 8), NetConfig(activation=activation))[0]), ACTS[activation]
    p, h = dict(torso.named_parameters()), plain(dict(torso.named_parameters()), "stem", x())
    for block in ("block1", "block2"):
        hidden = act(plain(p, f"{block}.hidden.writer", plain(p, f"{block}.norm", h)))
        h = h + plain(p, f"{block}.out", hidden)
    torch.testing.assert_close(torso(x()), plain(p, "norm", h), atol=1e-5, rtol=1e-5)


@ACTIVATIONS
def test_bro_computes_what_its_paper_says(activation):
    torso, act = shaken(bro(5, (8, 8), NetConfig(activation=activation))[0]), ACTS[activation]
    p = dict(torso.named_parameters())
    h = act(plain(p, "stem.norm", plain(p, "stem.writer", x())))
    for block in ("block1", "block2"):
        hidden = act(plain(p, f"{block}.hidden.norm", plain(p, f"{block}.hidden.writer", h)))
        h = h + plain(p, f"{block}.norm", plain(p, f"{block}.out", hidden))
    torch.testing.assert_close(torso(x()), h, atol=1e-5, rtol=1e-5)


def test_the_critic_of_simba_has_four_million_parameters():
    torso, features = simba(23, (512, 512), NetConfig())  # 17 observations and 6 actions
    block = 2 * 512 + (512 * 2048 + 2048) + (2048 * 512 + 512)
    assert (features, size(torso)) == (512, 23 * 512 + 512 + 2 * block + 2 * 512)
    assert size(torso) == 4_214_784


def test_the_critic_of_bro_has_a_million_parameters():
    torso, features = bro(23, (512, 512), NetConfig())
    block = 2 * (512 * 512 + 512) + 2 * (2 * 512)
    assert (features, size(torso)) == (512, 23 * 512 + 512 + 2 * 512 + 2 * block)
    assert size(torso) == 1_068_032


def test_the_stem_of_simba_is_orthogonal_with_gain_1():
    weight = simba(40, (16,), NetConfig())[0].stem.weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(16), atol=1e-5, rtol=0)
    tall = simba(5, (16,), NetConfig())[0].stem.weight
    torch.testing.assert_close(tall.T @ tall, torch.eye(5), atol=1e-5, rtol=0)


def test_the_blocks_of_simba_are_he_normal():
    torso, _ = simba(5, (64,), NetConfig())
    for linear, fan_in in ((torso.block1.hidden.writer, 64), (torso.block1.out, 256)):
        weight = linear.weight.detach()
        assert weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
        assert weight.abs().max() > 3 * weight.std()  # a uniform draw ends at 1.7


def test_every_matrix_of_bro_is_orthogonal_with_gain_root_2():
    torso, _ = bro(40, (16,), NetConfig())
    for linear in (torso.stem.writer, torso.block1.hidden.writer, torso.block1.out):
        torch.testing.assert_close(linear.weight @ linear.weight.T, 2 * torch.eye(16), atol=1e-5, rtol=0)


@TORSOS
def test_biases_are_born_zero(torso):
    made, _ = torso(5, (8, 8), NetConfig())
    assert not any(p.any() for n, p in made.named_parameters() if n.endswith("bias"))


@TORSOS
def test_the_flags_of_init_and_norm_do_not_reach_a_residual_torso(torso):
    def make(config):
        return lambda: nudge.Headed(*torso(5, (8,), config))

    plain = nudge.part(make(NetConfig())).net.state_dict()
    other = nudge.part(make(NetConfig(init="xavier", norm="layer"))).net.state_dict()
    assert plain.keys() == other.keys()
    assert all(torch.equal(plain[n], other[n]) for n in plain)


@TORSOS
@ACTIVATIONS
def test_a_unit_reaches_exactly_the_columns_its_edges_name(torso, activation):
    net = nudge.Headed(*torso(5, (8, 8, 8), NetConfig(activation=activation)))
    assert [layer.name for layer in net.layers()] == ["torso.block1", "torso.block2", "torso.block3"]
    nudge.edges_tell_the_truth(net, x())


@TORSOS
def test_every_matrix_is_a_writer_a_reader_or_shared(torso):
    nudge.every_matrix_is_listed_once(nudge.Headed(*torso(5, (8, 8), NetConfig())))


@pytest.mark.parametrize("activation", ["relu", "tanh", "crelu", "prelu"])  # a Fourier unit is never silent
def test_recycling_a_silent_unit_of_simba_leaves_the_outputs(activation):
    config = NetConfig(activation=activation)
    assert nudge.change_by_recycling(lambda: nudge.Headed(*simba(5, (8, 8), config)), x()) < 1e-6


def test_the_units_of_bro_state_their_layer_norm_and_those_of_simba_have_none():
    made, _ = bro(5, (8,), NetConfig())
    assert made.layers("torso", [])[0].norm is made.block1.hidden.norm
    assert simba(5, (8,), NetConfig())[0].layers("torso", [])[0].norm is None


@TORSOS
def test_a_draw_is_a_pure_function_of_the_seed(torso):
    nudge.is_a_pure_function_of_the_seed(lambda: nudge.Headed(*torso(5, (8, 8), NetConfig())))


@pytest.mark.parametrize(("torso", "norms"), [(simba, 3), (bro, 5)])
def test_the_group_norm_is_every_norm_and_nothing_else(torso, norms):
    assert nudge.the_group_norm_is_every_norm(lambda: nudge.Headed(*torso(5, (8, 8), NetConfig()))) == norms


@pytest.mark.parametrize(("torso", "inside"), [(simba, 32), (bro, 8)])
def test_width_scales_the_stream_and_what_is_inside(torso, inside):
    made, features = torso(5, (32,), NetConfig(width=0.25))
    assert (features, made.block1.hidden.units) == (8, inside)


@pytest.mark.parametrize(("torso", "inputs", "features"), [(simba, 64, 8), (bro, 16, 16)])
@pytest.mark.parametrize("activation", ["crelu", "fourier"])
def test_two_copies_double_the_inputs_behind_them(torso, inputs, features, activation):
    made, out = torso(5, (8,), NetConfig(activation=activation))
    assert (made.block1.out.in_features, out) == (inputs, features)


@pytest.mark.parametrize(("torso", "slopes"), [(simba, [32, 32]), (bro, [8, 8, 8])])
def test_a_prelu_has_a_slope_for_each_unit_that_it_shows(torso, slopes):
    made, _ = torso(5, (8, 8), NetConfig(activation="prelu"))
    assert [p.numel() for n, p in made.named_parameters() if "act" in n.split(".")] == slopes


@pytest.mark.parametrize(("torso", "count"), [(simba, 2), (bro, 3)])
def test_slope_reaches_every_activation(torso, count):
    made, _ = torso(5, (8, 8), NetConfig(activation="leaky_relu", slope=0.3))
    assert [m.negative_slope for m in made.modules() if isinstance(m, torch.nn.LeakyReLU)] == [0.3] * count


@TORSOS
@pytest.mark.parametrize("hidden", [(8, 16), ()])
def test_unequal_widths_are_refused(torso, hidden):
    with pytest.raises(ValueError, match="one width per block, all equal"):
        torso(5, hidden, NetConfig())
