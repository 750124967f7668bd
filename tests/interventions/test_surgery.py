"""Surgery on units: exactly their rows, columns and moments, on every kind of network."""

import pytest
import torch
from torch import nn

from interventions.surgery import born, chosen, reborn, recycle
from nets.encoders import NetConfig, mlp
from tests.interventions.small import agent, moments, named
from tests.laws.members import METHODS, learn, taken
from tests.nets.nudge import Headed, part


def critics(*flags, updates=12):
    world, made = taken("sac", "toy:reach", *flags)
    learn(made, world, updates)
    return made


def units(*which):
    return torch.tensor(which)


def moved(before, after):
    """{name: indices that differ} of two dicts of tensors."""
    return {n: (after[n] != p).nonzero().tolist() for n, p in before.items() if not torch.equal(after[n], p)}


def test_one_of_two_critics_is_recycled_and_its_twin_keeps_its_bits():
    critic = critics().parts["critic"]
    before, slots = named(critic), moments(critic)
    recycle(critic, {"ensemble.1.torso.fc1": units(3, 5)}, seed=0)
    changed = moved(before, named(critic))
    writer, head = "ensemble.1.torso.fc1.writer", "ensemble.1.head.value.weight"
    assert set(changed) == {f"{writer}.weight", f"{writer}.bias", head}
    assert {row for row, _ in changed[f"{writer}.weight"]} == {3, 5}
    assert {column for _, column in changed[head]} == {3, 5}
    for name, row in moments(critic).items():
        for slot, x in row.items():
            if "ensemble.0" in name:
                assert torch.equal(x, slots[name][slot])


@pytest.mark.parametrize("step", ["tensor", "elements"])
def test_memory_is_zero_exactly_on_the_rows_and_columns(step):
    q = agent("toy:chain", f"--adam-step={step}", "--hidden", "64", "64").parts["q"]
    slots = moments(q)
    recycle(q, {"torso.fc1": units(2)}, seed=0)
    for name, row in moments(q).items():
        for slot, x in row.items():
            kept = slots[name][slot].clone()
            if slot != "step" and "fc1" in name:
                kept[2] = 0
            if slot != "step" and name == "torso.fc2.writer.weight":
                kept[:, 2] = 0
            assert torch.equal(x, kept), (name, slot)


def test_a_unit_behind_a_norm_has_gain_1_and_offset_0_again():
    q = agent("toy:chain", "--norm=layer").parts["q"]
    norm = q.net.torso.fc1.norm
    with torch.no_grad():
        norm.weight.fill_(3.0), norm.bias.fill_(2.0)
    recycle(q, {"torso.fc1": units(1)}, seed=0)
    assert (norm.weight[1], norm.bias[1]) == (1, 0)
    assert (norm.weight[2], norm.bias[2]) == (3, 2)


def test_a_layer_without_biases_is_recycled():
    def make():
        torso, features = mlp(4, NetConfig(hidden=(8,)))
        torso.fc1.writer.register_parameter("bias", None)
        return Headed(torso, features)

    q = part(make)
    before = named(q)
    recycle(q, {"torso.fc1": units(6)}, seed=3)
    assert {row for row, _ in moved(before, named(q))["torso.fc1.writer.weight"]} == {6}
    assert not q.net.head.value.weight[:, 6].any()


@pytest.mark.parametrize("net", ["simba", "bro"])
def test_the_writers_of_a_residual_stream_keep_their_rows(net):
    critic = critics(f"--critic-net={net}").parts["critic"]
    before, streams = named(critic), {id(p) for w in critic.net.shared() for p in w.parameters()}
    layers = critic.net.layers()
    recycle(critic, {x.name: torch.arange(x.units) for x in layers}, seed=1)
    inside = {id(p) for x in layers for m in x.bearers() for p in m.parameters()}
    read = {id(edge.reader.weight) for x in layers for edge in x.edges}
    for name in moved(before, named(critic)):
        assert id(dict(critic.net.named_parameters())[name]) in (inside | read) - streams


def test_outgoing_weights_can_be_a_multiple_of_the_draw():
    q = agent("toy:catch", "--activation=crelu", "--head=dueling").parts["q"]
    which = {x.name: units(0, 3) for x in q.net.layers()}
    recycle(q, which, seed=5, outgoing=0.5)
    fresh = born(q, 5)
    for layer in q.net.layers():
        for edge, new in zip(layer.edges, fresh[layer.name].edges, strict=True):
            columns = edge.columns(units(0, 3))
            torch.testing.assert_close(edge.reader.weight[:, columns], 0.5 * new.reader.weight[:, columns])


def test_a_reborn_unit_does_not_hear_another_reborn_one():
    q = agent("toy:catch").parts["q"]
    conv2, conv3 = q.net.layers()[1:3]
    recycle(q, {conv2.name: units(1), conv3.name: units(4)}, seed=5)
    kernel = conv3.writer.weight
    assert not kernel[4, 1].any()
    assert torch.equal(kernel[4, 2:], born(q, 5)[conv3.name].writer.weight[4, 2:])


def test_nothing_chosen_is_nothing_done():
    q = agent("toy:chain").parts["q"]
    before, slots = named(q), moments(q)
    recycle(q, {"torso.fc1": torch.empty(0, dtype=torch.int64)}, seed=0, restart=True)
    assert not moved(before, named(q))
    assert all(torch.equal(x, slots[n][s]) for n, row in moments(q).items() for s, x in row.items())


def test_a_layer_is_reborn_when_its_writer_was_redrawn():
    q = agent("toy:catch").parts["q"]
    fc1, conv1 = chosen(q, "torso")[0], q.net.layers()[0]
    assert reborn(q, fc1, {"torso.fc1.writer.bias"})
    assert not reborn(q, conv1, {"torso.fc1.writer.bias"})
    assert isinstance(fc1.writer, nn.Linear)


@pytest.mark.parametrize("method", ["redo", "regrama", "cbp", "snr"])
def test_a_network_without_hidden_units_is_refused_with_a_sentence(method):
    learner = agent("toy:chain", updates=1)
    kind = METHODS[method](**{f"{method}_groups": "head"})
    assert any(f"{method}_groups 'head'" in sentence for sentence in kind.refuse(learner.view(None)))
