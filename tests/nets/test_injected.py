"""Frozen tails: the anatomy of a network that has them is true, whatever they stand behind, open or closed."""

from functools import partial

import pytest
import torch

from nets.classify import Classifier, ClassifierNetConfig
from nets.encoders import NetConfig, mlp
from nets.heads import QNetwork
from nets.injected import inject, prepare, tails
from nets.layers import Linear
from nets.policy import Actor, Critic, PolicyConfig
from tests.nets.nudge import edges_tell_the_truth, every_matrix_is_listed_once

SMALL = NetConfig(hidden=(8,), width=0.25)
IMAGE, POLICY = (1, 36, 36), PolicyConfig(hidden=(8, 8))


def body(inputs):
    return *mlp(inputs, POLICY), 1.0


def images():
    return torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(0))


def vectors(width=3):
    return torch.randn(2, width, generator=torch.Generator().manual_seed(0))


NETS = {
    "images": (lambda: QNetwork(IMAGE, 2, SMALL), [images()]),
    "dueling": (lambda: QNetwork(IMAGE, 2, SMALL, "dueling"), [images()]),
    "atoms": (lambda: QNetwork(IMAGE, 2, SMALL, "dueling", atoms=5), [images()]),
    "crelu": (lambda: QNetwork(IMAGE, 2, NetConfig(hidden=(8,), width=0.25, activation="crelu")), [images()]),
    "no torso": (lambda: QNetwork(IMAGE, 2, NetConfig(hidden=(), width=0.25)), [images()]),
    "vectors": (lambda: QNetwork((3,), 2, SMALL), [vectors()]),
    "resnet": (
        lambda: Classifier((1, 12, 12), 3, ClassifierNetConfig(net="resnet18", hidden=(8,), width=0.125)),
        [torch.rand(2, 1, 12, 12)],
    ),
    "actor": (lambda: Actor(3, 2, body, "torch"), [vectors()]),
    "critic": (lambda: Critic(5, body, "torch"), [vectors(), vectors(2)]),
}


@pytest.fixture(params=list(NETS))
def case(request):
    """A maker of a network and its inputs."""
    return NETS[request.param]


@pytest.mark.parametrize("opened", [0, 1, 2])
@pytest.mark.parametrize("deep", [False, True, None])
def test_the_anatomy_is_true_and_every_matrix_is_listed_once(case, deep, opened):
    make, inputs = case
    net = make()
    prepare(net, 2, deep)
    for _ in range(opened):
        other = make()
        prepare(other, 2, deep)
        for tailed, fresh in zip(tails(net), tails(other), strict=True):
            inject(tailed, fresh)
    edges_tell_the_truth(net, call=partial(net, *inputs))
    every_matrix_is_listed_once(net)


def test_closed_slots_change_no_output_and_no_live_name(case):
    make, inputs = case
    torch.manual_seed(0)
    net = make()
    before, names = net(*inputs), dict(net.named_parameters())
    prepare(net, 1, True)
    after = net(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(dict(net.named_parameters())[name] is p for name, p in names.items())
    assert {name for name, p in net.named_parameters() if p.requires_grad} == set(names)


def test_the_outputs_and_layers_are_the_live_ones(case):
    make, _ = case
    net = make()
    before = [layer.name for layer in net.layers()], net.outputs()
    prepare(net, 1, True)
    assert ([layer.name for layer in net.layers()], net.outputs()) == before


def test_an_open_slot_adds_old_minus_new():
    net = QNetwork((2,), 1, NetConfig(hidden=()))
    prepare(net, 1, False)
    slot = net.injected.rows()[0]
    weights = ([1.0, 2.0], 10.0), ([3.0, 4.0], 20.0), ([5.0, 7.0], 40.0)
    with torch.no_grad():
        for head, (w, b) in zip((net.head, slot.old.head, slot.new.head), weights, strict=True):
            head.value.weight.copy_(torch.tensor([w]))
            head.value.bias.fill_(b)
    x = torch.tensor([[1.0, 1.0]])
    assert net(x).item() == 13.0
    slot.open.fill_(True)
    assert net(x).item() == 13.0 + 27.0 - 52.0


@pytest.mark.parametrize("deep", [False, True])
def test_an_injection_writes_weights_and_buffers_in_place_and_leaves_frozen_ones_frozen(deep):
    net, other = QNetwork((2,), 1, SMALL), QNetwork((2,), 1, SMALL)
    for value, made in ((1.0, net), (2.0, other)):
        for module in (made.torso.fc1, made.head):
            module.register_buffer("seen", torch.zeros(3))
        prepare(made, 1, deep)
        with torch.no_grad():  # since the slots were made it has learned
            for x in (x for module in made.tail() for x in module.state_dict().values()):
                x.add_(value)
    slot, tensors = net.injected.rows()[0], {**dict(net.named_parameters()), **dict(net.named_buffers())}
    live, drawn = ([{k: x.clone() for k, x in m.state_dict().items()} for m in made.tail()] for made in (net, other))
    inject(net, other)
    for frozen, expected in ((slot.old.pieces(), live), (slot.new.pieces(), drawn), (net.tail(), drawn)):
        for module, weights in zip(frozen, expected, strict=True):
            assert all(torch.equal(x, weights[name]) for name, x in module.state_dict().items())
    assert all(tensors[name] is x for name, x in [*net.named_parameters(), *net.named_buffers()])
    assert not any(p.requires_grad for p in slot.parameters())
    assert all(p.requires_grad for module in net.tail() for p in module.parameters())


def test_the_tail_is_torso_and_head_behind_an_encoder_and_the_head_alone_elsewhere():
    for make, deep in ((NETS["images"][0], True), (NETS["vectors"][0], False), (NETS["actor"][0], False)):
        net = make()
        prepare(net, 1, None)
        assert net.injected.deep == deep
        hidden = [m for m in net.injected.modules() if isinstance(m, Linear)]
        assert len(hidden) == {True: 4, False: 2 * len(net.outputs())}[deep]
