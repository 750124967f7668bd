"""The network of SPR and BBF: written out, sizes by hand (algorithms A.3.1, A.4.1), what reads what."""

from copy import deepcopy
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from agents.losses import cross_entropy, rows, self_prediction
from nets.anatomy import record
from nets.layers import Linear
from nets.noisy import NoisyLinear, noise
from nets.optim import OptimConfig
from nets.part import Part
from nets.spr import SPRNetConfig, SPRNetwork, renormalise
from tests.nets import nudge

ENCODERS = pytest.mark.parametrize("encoder", ["nature", "impala"])
WIDTHS = {"nature": 0.25, "impala": 0.5}  # 8, 16, 16 channels
ACTIONS = torch.tensor([[0, 2, 1], [1, 1, 0]])


def make(encoder="nature", head="dueling", atoms=4, noisy=0.0, **flags):
    config = SPRNetConfig(hidden=(64,), width=0.125, encoder=encoder, encoder_width=8 * WIDTHS[encoder], **flags)
    return lambda: SPRNetwork((2, 20, 20), 3, config, head, atoms, noisy)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=2, seed=0):
    return torch.randint(256, (batch, 2, 20, 20), dtype=torch.uint8, generator=seeded(seed))


def size(module):
    return sum(p.numel() for p in module.parameters())


def shaken(net):
    """With biases, gains and slopes that are not as at birth."""
    generator = seeded(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.05)
    return net


def scaled(x):
    """N of each sample, by its definition."""
    return torch.stack([(row - row.min()) / (row.max() - row.min() + 1e-5) for row in x])


def step(p, z, actions):
    """The transition by its definition: a plane of ones for the action, two convolutions, N."""
    planes = torch.zeros(len(z), 3, *z.shape[2:])
    for i, a in enumerate(actions):
        planes[i, a] = 1
    h = torch.cat([z, planes], 1)
    for name in ("conv1", "conv2"):
        h = F.conv2d(h, p[f"transition.{name}.writer.weight"], p[f"transition.{name}.writer.bias"], padding=1).relu()
    return scaled(h)


def plain(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


# ---- what it computes


@ENCODERS
def test_q_is_a_dueling_head_on_the_rectified_projection_of_a_scaled_latent(encoder):
    net = shaken(make(encoder)())
    p = dict(net.named_parameters())
    z = scaled(net.encoder(images() / 255))
    x = plain(p, "projection.fc1.writer", z.flatten(1)).relu()
    value, advantage = plain(p, "head.value", x), plain(p, "head.advantage", x).view(2, 3, 4)
    expected = torch.empty(2, 3, 4)
    for a in range(3):
        expected[:, a] = value + advantage[:, a] - (advantage[:, 0] + advantage[:, 1] + advantage[:, 2]) / 3
    torch.testing.assert_close(net(images()), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.judge(net.encode(images())), net(images()), atol=0, rtol=0)


@ENCODERS
def test_latents_are_rolled_by_the_same_transition_at_every_step(encoder):
    net = shaken(make(encoder)())
    p, z = dict(net.named_parameters()), net.encode(images())
    found = net.roll(z, ACTIONS)
    assert found.shape == (3, *z.shape)
    for k in range(3):
        z = step(p, z, ACTIONS[:, k])
        torch.testing.assert_close(found[k], z, atol=1e-5, rtol=1e-5)


def test_projection_and_predictor_are_linear_without_an_activation():
    net = shaken(make()())
    p, z = dict(net.named_parameters()), net.roll(net.encode(images()), ACTIONS)
    for k in range(3):
        g = plain(p, "projection.fc1.writer", z[k].flatten(1))
        assert (g < 0).any()
        torch.testing.assert_close(net.project(z)[k], g, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(net.predict(z)[k], plain(p, "predictor", g), atol=1e-5, rtol=1e-5)


def test_no_step_gives_no_latent():
    net = make()()
    z = net.encode(images())
    assert net.roll(z, ACTIONS[:, :0]).shape == (0, *z.shape)
    assert net.predict(net.roll(z, ACTIONS[:, :0])).shape == (0, 2, 8)


@ENCODERS
def test_latents_lie_in_0_to_1_with_least_0_and_largest_about_1(encoder):
    net = make(encoder)()
    z = net.encode(images(5))
    for latent in (z, *net.roll(z, torch.ones(5, 3, dtype=torch.int64))):
        assert torch.equal(latent.flatten(1).amin(1), torch.zeros(5))
        torch.testing.assert_close(latent.flatten(1).amax(1), torch.ones(5), atol=1e-2, rtol=0)
        assert latent.max() <= 1


def test_renormalise_by_hand():
    x = torch.tensor([[[1.0, 3.0]], [[-2.0, -1.0]]])
    torch.testing.assert_close(renormalise(x), torch.tensor([[[0, 2 / 2.00001]], [[0, 1 / 1.00001]]]))


def test_renormalise_of_a_constant_is_0_with_a_finite_gradient():
    x = torch.full((2, 3), 7.0, requires_grad=True)
    y = renormalise(x)
    y.sum().backward()
    assert not y.any()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("activation", ["relu", "crelu", "fourier"])
def test_a_latent_one_step_later_has_the_channels_of_the_first(activation):
    net = make(activation=activation)()
    z = net.encode(images())
    assert net.roll(z, ACTIONS).shape == (3, 2, {"relu": 16}.get(activation, 32), 3, 3)


# ---- with the losses


def losses(net, steps, mask=None):
    """CE and SPR, [B] each, on images."""
    z = net.encode(images())
    goal = torch.full((2, 4), 0.25)
    with torch.no_grad():
        states = [net.project(net.encode(images(seed=9 + k))) for k in range(steps)]
        ahead = torch.stack(states) if states else torch.empty(0, 2, 8)
    mask = torch.ones(steps, 2) if mask is None else mask
    predicted = net.predict(net.roll(z, ACTIONS[:, :steps]))
    return cross_entropy(rows(net.judge(z), ACTIONS[:, 0]), goal), self_prediction(predicted, ahead, mask)


def test_no_steps_ahead_give_the_plain_loss_of_c51():
    net = shaken(make()())
    ce, spr = losses(net, 0)
    assert torch.equal(ce + 5 * spr, ce)
    grads = torch.autograd.grad((ce + 5 * spr).mean(), list(net.parameters()), allow_unused=True)
    named = zip(dict(net.named_parameters()), grads, strict=True)
    assert {n.split(".")[0] for n, g in named if g is None} == {"transition", "predictor"}


def test_the_mask_kills_the_gradient_through_latents_behind_the_end():
    """With steps 2 and 3 masked the gradient is a third of that of one step alone."""
    net = shaken(make()())
    weights = [*net.transition.parameters(), *net.predictor.parameters(), *net.encoder.parameters()]
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    masked = torch.autograd.grad(losses(net, 3, mask)[1].mean(), weights)
    alone = torch.autograd.grad(losses(net, 1)[1].mean(), weights)
    whole = torch.autograd.grad(losses(net, 3)[1].mean(), weights)
    for a, b in zip(masked, alone, strict=True):
        torch.testing.assert_close(3 * a, b, atol=1e-5, rtol=1e-4)
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(masked, whole, strict=True))


def test_self_prediction_trains_all_but_the_head():
    net = shaken(make()())
    grads = torch.autograd.grad(losses(net, 3)[1].mean(), list(net.parameters()), allow_unused=True)
    named = list(zip(dict(net.named_parameters()), grads, strict=True))
    assert {n.split(".")[0] for n, g in named if g is None} == {"head"}
    assert all(g.any() for n, g in named if g is not None)


# ---- its size


@pytest.mark.parametrize(("actions", "total"), [(6, 38_503_589), (18, 39_771_401)])
def test_bbf_has_38_million_parameters(actions, total):
    config = SPRNetConfig(encoder="impala", encoder_width=4.0, hidden=(2048,))
    with torch.device("meta"):
        net = SPRNetwork((4, 84, 84), actions, config)
    assert size(net.encoder) == 1_552_192  # tests/nets/test_impala.py
    assert size(net.transition) == 9 * (128 + actions) * 128 + 128 + 9 * 128 * 128 + 128
    assert size(net.projection) == 15_488 * 2048 + 2048
    assert size(net.predictor) == 2048 * 2048 + 2048
    assert size(net.head) == (1 + actions) * 51 * 2049
    assert size(net) == total


def test_spr_has_the_nature_cnn_with_11_by_11_positions():
    with torch.device("meta"):
        net = SPRNetwork((4, 84, 84), 6, SPRNetConfig())
    assert size(net.encoder) == 8_224 + 32_832 + 36_928
    assert size(net.projection) == 3_965_440
    assert size(net.transition) == 9 * 70 * 64 + 64 + 9 * 64 * 64 + 64
    assert size(net.predictor) == 512 * 513
    assert size(net.head) == 7 * 51 * 513


def test_encoder_width_is_for_encoder_and_transition_alone():
    config = SPRNetConfig(hidden=(64,), width=0.5, encoder_width=0.5)
    net = SPRNetwork((2, 20, 20), 3, config)
    channels = [block.units for _, block in net.encoder.blocks()]
    assert [*channels, net.transition.conv1.units, net.transition.conv2.units] == [8, 16, 16, 16, 16]
    assert (net.linear.out_features, net.predictor.out_features) == (32, 32)


def test_it_is_born_xavier_with_zero_biases():
    net = make()()
    assert not any(p.any() for n, p in net.named_parameters() if n.endswith("bias"))
    bound = (6 / (64 * (2 + 8))) ** 0.5
    assert 0.9 * bound < net.encoder.conv1.writer.weight.abs().max() <= bound


# ---- its anatomy


@ENCODERS
@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("activation", ["relu", "crelu", "tanh", "prelu", "fourier"])
@pytest.mark.parametrize("norm", ["none", "layer", "group"])
def test_a_unit_reaches_exactly_the_columns_its_edges_name(encoder, head, activation, norm):
    net = make(encoder, head, activation=activation, norm=norm)()
    nudge.edges_tell_the_truth(net, call=partial(net, images(), ACTIONS[:, 0]))
    nudge.every_matrix_is_listed_once(net)


@pytest.mark.parametrize(
    ("encoder", "names"),
    [
        ("nature", ["encoder.conv1", "encoder.conv2"]),
        ("impala", [f"encoder.stage{i}.block{j}" for i in (1, 2, 3) for j in (1, 2)]),
    ],
)
def test_only_units_with_private_readers_are_layers(encoder, names):
    net = make(encoder)()
    assert [layer.name for layer in net.layers()] == [*names, "transition.conv1"]
    assert [e.reader for e in net.layers()[-1].edges] == [net.transition.conv2.writer]


def test_a_unit_before_the_scaling_moves_columns_that_are_not_its_own():
    """Why the last convolution is shared: nudged, it moves the least and largest number of the sample."""
    net = make()()
    before = net.encode(images())
    net.encoder.conv3.act.register_forward_hook(lambda m, args, out: out + 9 * (torch.arange(16) == 3)[:, None, None])
    moved = (net.encode(images()) != before).transpose(0, 1).flatten(1).any(1)
    assert moved.sum() > 1


def test_a_dead_unit_of_the_projection_still_speaks_to_the_predictor():
    """Why the projection is shared: its bias at -100, a unit is silent before the head and not before the predictor."""
    net = make()()
    with torch.no_grad():
        net.linear.bias[3] = -100
    z = net.encode(images())
    assert not net.projection(z.flatten(1))[:, 3].any()
    before = net.predict(z)
    with torch.no_grad():
        net.predictor.weight[:, 3] = 0
    assert not torch.allclose(net.predict(z), before)


@ENCODERS
def test_a_tape_sees_every_layer_where_a_step_is_rolled_too(encoder):
    net = make(encoder)()
    with record(net) as tape:
        out = net(images(), ACTIONS[:, 0])
    assert list(tape.acts) == [layer.name for layer in net.layers()]
    assert torch.equal(out, net(images()))
    assert torch.equal(tape.features[0], net.projection(net.encode(images()).flatten(1)))


@ENCODERS
@pytest.mark.parametrize("activation", ["relu", "crelu"])
def test_recycling_a_silent_unit_leaves_values_and_predictions(encoder, activation):
    mine, z = nudge.part(make(encoder, activation=activation)), images()

    def shown():
        latents = mine.net.roll(mine.net.encode(z), ACTIONS)
        return torch.cat([mine.net(z).flatten(1), mine.net.predict(latents).transpose(0, 1).flatten(1)], 1)

    with torch.no_grad():
        fresh = {layer.name: layer for layer in mine.fresh(1).layers()}
        for layer in mine.net.layers():
            for p in layer.writer.parameters():
                p[1] = 0
        before = shown()
        for layer in mine.net.layers():
            nudge.redraw(mine, layer, fresh[layer.name], torch.tensor([1]))
        assert not torch.allclose(shown(), before)
        for layer in mine.net.layers():
            nudge.silence(mine, layer, torch.tensor([1]))
        torch.testing.assert_close(shown(), before, atol=1e-6, rtol=0)


@ENCODERS
def test_a_draw_is_a_pure_function_of_the_seed(encoder):
    nudge.is_a_pure_function_of_the_seed(make(encoder))


def test_further_readers_of_the_features_are_listed_too():
    net = make()()
    net.attach("infer", {net.outputs()[0]: Linear(8, 2)})
    nudge.every_matrix_is_listed_once(net)


@ENCODERS
def test_an_update_moves_every_parameter_and_a_saved_state_brings_them_back(encoder):
    mine = Part(make(encoder, noisy=0.5), OptimConfig(lr=1e-3).make, 0, tau=0.005)
    born, saved = mine.weights(), deepcopy(mine.state_dict())
    with noise(mine.net, seeded()):
        ce, spr = losses(mine.net, 3)
    (ce + 5 * spr).mean().backward()
    mine.opt.step()
    assert not [n for n, p in mine.net.named_parameters() if torch.equal(p, born[n])]
    mine.sync(mine.tau)
    assert not [n for n, p in mine.target.named_parameters() if torch.equal(p, born[n])]
    mine.load_state_dict(saved)
    assert all(torch.equal(p, born[n]) for n, p in mine.net.named_parameters())


def test_its_groups_are_those_that_resets_name():
    groups = nudge.part(make(noisy=0.5)).groups()
    assert {"encoder", "transition", "projection", "predictor", "head", "sigma"} <= set(groups)


def test_noise_is_in_projection_and_head_alone():
    net = make(noisy=0.5)()
    loud = [n for n, m in net.named_modules() if isinstance(m, NoisyLinear)]
    assert loud == ["projection.fc1.writer", "head.value", "head.advantage"]
    quiet = net.project(net.encode(images()))
    with noise(net, seeded()):
        assert not torch.equal(net.project(net.encode(images())), quiet)
    assert torch.equal(net.project(net.encode(images())), quiet)


def test_a_norm_of_the_projection_is_for_the_head_and_not_for_the_predictor():
    net = shaken(make(norm="layer")())
    p, z = dict(net.named_parameters()), net.encode(images())
    g = plain(p, "projection.fc1.writer", z.flatten(1))
    torch.testing.assert_close(net.project(z), g, atol=1e-5, rtol=1e-5)
    gain, offset = p["projection.fc1.norm.weight"], p["projection.fc1.norm.bias"]
    torch.testing.assert_close(net.projection(z.flatten(1)), F.layer_norm(g, (8,), gain, offset).relu())


@ENCODERS
def test_the_memory_order_stays_channels_last(encoder):
    mine, shown = nudge.part(make(encoder, norm="layer")), []
    for m in mine.net.modules():
        if isinstance(m, torch.nn.Conv2d):
            m.register_forward_hook(lambda m, args, out: shown.extend([args[0], out]))
    z = mine.net.encode(images())
    mine.net.roll(z, ACTIONS)
    assert len(shown) == 2 * ({"nature": 3, "impala": 15}[encoder] + 6)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in shown)


# ---- what it refuses


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"hidden": (8, 8)}, "must be one number here"),
        ({"hidden": ()}, "must be one number here"),
        ({"encoder": "impala", "padding": "valid"}, "padding valid is for the Nature CNN"),
        ({"encoder_width": 0.0}, "encoder_width is 0.0, but must be above 0"),
        ({"slope": 0.1}, "slope 0.1 does nothing"),
    ],
)
def test_flags_that_do_not_suit_it_are_refused(flags, sentence):
    assert [row for row in SPRNetConfig(**flags).problems() if sentence in row]


@pytest.mark.parametrize(
    ("shape", "flags", "sentence"),
    [
        ((5,), {}, "use DQN"),
        ((2, 20, 20), {"hidden": (8, 8)}, "must be one number here"),
        ((2, 20, 24), {"encoder": "impala"}, "takes square images"),
    ],
)
def test_what_it_cannot_see_is_refused(shape, flags, sentence):
    with pytest.raises(ValueError, match=sentence):
        SPRNetwork(shape, 3, SPRNetConfig(**flags))
