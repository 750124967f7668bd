"""The vision transformer: written out in plain torch, sizes by hand, the bound of QK-norm, anatomy."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from nets.classify import Classifier, ClassifierNetConfig
from nets.encoders import NetConfig
from nets.vit import vit
from tests.nets import nudge

SHAPE = (2, 8, 8)
ACTS = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "crelu": lambda x: torch.cat([x, -x], -1).relu(),
    "fourier": lambda x: torch.cat([x.sin(), x.cos()], -1),
}
VARIANTS = list(product(ACTS, ["none", "layer"]))


def make(hidden=(6,), **flags):
    config = ClassifierNetConfig(net="vit", hidden=hidden, dim=8, depth=2, heads=2, **flags)
    return lambda: Classifier(SHAPE, 3, config)


def images(batch=2):
    return torch.rand(batch, *SHAPE, generator=torch.Generator().manual_seed(0))


def size(module):
    return sum(p.numel() for p in module.parameters())


def shaken(net):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.2)
    return net


def reference(p, x, norm, qk_norm, act):
    """The transformer over tokens [B, T, D], from its parameters p by name."""

    def layer_norm(name, x):
        bias = p.get(f"{name}.norm.bias", torch.zeros(()))
        scaled = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        return scaled * p[f"{name}.norm.weight"] + bias

    def linear(name, x):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    squares = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # [B, 4, 2*4*4]
    h = squares @ p["patches.weight"].flatten(1).T + p["patches.bias"] + p["positions"].T
    for block in ("block1", "block2"):
        name = f"{block}.attention"
        z = layer_norm(name, h) if norm == "layer" else h
        seen = []
        q, k, v = (linear(f"{name}.{part}.writer", z) for part in ("query", "key", "value"))
        for head in (slice(0, 4), slice(4, 8)):
            a, b = q[..., head], k[..., head]
            if qk_norm:
                a, b = layer_norm(f"{name}.query", a), layer_norm(f"{name}.key", b)
            seen.append((a @ b.mT / 4**0.5).softmax(2) @ v[..., head])
        h = h + linear(f"{name}.out", torch.cat(seen, 2))
        name = f"{block}.mlp"
        z = layer_norm(name, h) if norm == "layer" else h
        h = h + linear(f"{name}.out", act(linear(f"{name}.hidden.writer", z)))
    if norm == "layer":
        scaled = (h - h.mean(-1, keepdim=True)) / (h.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        h = scaled * p["norm.weight"] + p["norm.bias"]
    return h.mean(1)


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize(("activation", "norm"), VARIANTS)
def test_the_transformer_computes_what_its_paper_says(activation, norm, qk_norm):
    config = NetConfig(activation=activation, norm=norm)
    net = shaken(vit(SHAPE, config, dim=8, depth=2, heads=2, qk_norm=qk_norm)[0])
    goal = reference(dict(net.named_parameters()), images(), norm, qk_norm, ACTS[activation])
    torch.testing.assert_close(net(images()), goal, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("norm", "qk_norm", "extra"), [("none", False, 0), ("layer", False, 1_152), ("none", True, 128)]
)
def test_the_transformer_has_two_hundred_thousand_parameters(norm, qk_norm, extra):
    net, features, positions = vit((1, 28, 28), NetConfig(norm=norm), qk_norm=qk_norm)
    block = 4 * (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64)
    assert (features, positions, block) == (64, 1, 49_728)
    assert size(net) == (16 * 64 + 64) + 64 * 49 + 4 * block + extra
    assert extra in (0, (4 * 2 + 1) * 2 * 64, 4 * 2 * 16)


def logits(attention, x):
    """The largest |q.k| / sqrt(d), and d."""
    q, k = attention.query(x), attention.key(x)
    return ((q @ k.mT).abs().max() / q.shape[-1] ** 0.5).item(), q.shape[-1]


def test_qk_norm_bounds_the_logits_whatever_the_weights():
    x = 100 * torch.randn(4, 8, 16, generator=torch.Generator().manual_seed(0))
    bounded, free = (vit(SHAPE, NetConfig(), dim=8, depth=1, heads=2, qk_norm=flag)[0] for flag in (True, False))
    for net in (bounded, free):
        with torch.no_grad():
            net.block1.attention.query.writer.weight.mul_(1e3)
    found, d = logits(bounded.block1.attention, x)
    assert 1 < found <= d**0.5 * (1 + 1e-5)
    assert logits(free.block1.attention, x)[0] > 1e3


def test_gains_of_qk_norm_widen_the_bound_by_their_product():
    x = 100 * torch.randn(4, 8, 16, generator=torch.Generator().manual_seed(0))
    attention = vit(SHAPE, NetConfig(), dim=8, depth=1, heads=2, qk_norm=True)[0].block1.attention
    with torch.no_grad():
        attention.query.norm.weight.fill_(3)
        attention.key.norm.weight.fill_(-2)
    found, d = logits(attention, x)
    assert d**0.5 < found <= 3 * 2 * d**0.5 * (1 + 1e-5)


def test_heads_share_the_gains_of_qk_norm_and_have_no_biases():
    net, _, _ = vit(SHAPE, NetConfig(), dim=8, depth=1, heads=2, qk_norm=True)
    gains = {n: tuple(p.shape) for n, p in net.named_parameters() if "norm" in n.split(".")}
    assert gains == {f"block1.attention.{part}.norm.weight": (4,) for part in ("query", "key")}


@pytest.mark.parametrize(("flags", "norms"), [({"norm": "layer"}, 6), ({"norm": "none", "qk_norm": True}, 4)])
def test_the_group_norm_is_every_norm_and_nothing_else(flags, norms):
    assert nudge.the_group_norm_is_every_norm(make((6,), **flags)) == norms


@pytest.mark.parametrize(("activation", "norm"), VARIANTS)
def test_a_unit_reaches_exactly_the_columns_its_edges_name(activation, norm):
    for hidden in ((6,), ()):
        nudge.edges_tell_the_truth(make(hidden, activation=activation, norm=norm)(), images())


def test_every_matrix_is_a_writer_a_reader_or_shared():
    for hidden in ((6,), ()):
        nudge.every_matrix_is_listed_once(make(hidden, qk_norm=True)())


@pytest.mark.parametrize("activation", ["relu", "tanh", "crelu", "prelu"])  # a Fourier unit is never silent
@pytest.mark.parametrize("qk_norm", [False, True])
def test_recycling_a_silent_unit_leaves_the_outputs(activation, qk_norm):
    assert nudge.change_by_recycling(make(activation=activation, qk_norm=qk_norm), images()) < 1e-6


def test_recycling_behind_a_pre_layer_norm_leaves_the_outputs():
    pre = make(hidden=(), norm="layer")  # the norm stands before the units, not behind them
    assert nudge.change_by_recycling(pre, images()) < 1e-6


def test_a_draw_is_a_pure_function_of_the_seed():
    nudge.is_a_pure_function_of_the_seed(make(norm="layer", qk_norm=True))


def test_a_prelu_has_a_slope_for_each_unit_of_an_mlp_shared_by_the_tokens():
    net, _, _ = vit(SHAPE, NetConfig(activation="prelu"), dim=8, depth=2, heads=2)
    slopes = {n: p.numel() for n, p in net.named_parameters() if "act" in n.split(".")}
    assert slopes == {f"block{i}.mlp.hidden.act.weight": 4 * 8 for i in (1, 2)}


def test_slope_reaches_every_mlp():
    net, _, _ = vit(SHAPE, NetConfig(activation="leaky_relu", slope=0.3), dim=8, depth=2, heads=2)
    assert [m.negative_slope for m in net.modules() if isinstance(m, torch.nn.LeakyReLU)] == [0.3] * 2


@pytest.mark.parametrize("norm", ["group", "layer_channels"])
def test_other_norms_are_refused(norm):
    with pytest.raises(ValueError, match=f"norm {norm} has no place in a ViT, which is pre-LN: take norm layer"):
        vit(SHAPE, NetConfig(norm=norm))


def test_norm_eps_is_of_every_norm_but_qk_norm():
    net = make(norm="layer", norm_eps=1e-6, qk_norm=True)()
    found = {path: module.eps for path, module in net.norms().items()}
    assert {eps for path, eps in found.items() if "query" not in path and "key" not in path} == {1e-6}
    assert {eps for path, eps in found.items() if "query" in path or "key" in path} == {1e-5}


def test_positions_are_drawn_and_learned():
    net = nudge.part(make()).net
    assert net.encoder.positions.std().item() == pytest.approx(0.02, rel=0.5)
    net(images()).sum().backward()
    assert net.encoder.positions.grad.abs().sum() > 0


def test_gradients_are_the_same_twice():
    net, grads = make(norm="layer", qk_norm=True)(), []
    for _ in range(2):
        net.zero_grad()
        net(images(16)).square().sum().backward()
        grads.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_init_reaches_every_matrix():
    net, _, _ = vit(SHAPE, NetConfig(init="orthogonal"), dim=8, depth=1, heads=2)
    assert not any(p.any() for n, p in net.named_parameters() if n.endswith("bias"))
    for linear in (net.block1.attention.query.writer, net.block1.attention.out, net.block1.mlp.out):
        torch.testing.assert_close(linear.weight @ linear.weight.T, 2 * torch.eye(8), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("shape", "flags", "sentence"),
    [
        ((3, 32, 28), {}, "square images, here of a multiple of patch 4; these are 32x28"),
        ((3, 30, 30), {}, "square images, here of a multiple of patch 4; these are 30x30"),
        ((3, 32, 32), {"heads": 3}, r"64 units \(dim 64 times width 1\) cannot be shared among 3 heads"),
    ],
)
def test_what_it_cannot_split_is_refused(shape, flags, sentence):
    with pytest.raises(ValueError, match=sentence):
        vit(shape, NetConfig(), **flags)
