"""Dormant and dead units on constructed networks (algorithms C.4)."""

import math

import pytest
import torch

from probes.dormant import TAU, Dormant
from tests.probes.constructed import part, states, subject, write

EYE = torch.eye(5)


def measure(batch=EYE, **parts):
    return Dormant().measure(subject(**parts), states(batch), {})


def layer(sizes, **net):
    """A part whose hidden layer shows unit u the size sizes[u], whatever it sees."""
    p = part(hidden=(len(sizes),), **net)
    write(p.net.torso.fc1.writer, 0.0, sizes)
    return p


def test_three_dead_units_of_eight():
    row = measure(q=layer([0.0, 1, 2, 0, 1, 3, 1, -4]))
    assert row == {
        **dict.fromkeys(("", "mean", "torso.fc1"), 3 / 8),
        **dict.fromkeys(("dead", "dead/mean", "dead/torso.fc1"), 3 / 8),
    }


def test_three_dead_units_of_eight_behind_a_layer_norm():
    p = layer([0.0] * 8, norm="layer")
    with torch.no_grad():
        p.net.torso.fc1.writer.weight.normal_(generator=torch.Generator().manual_seed(0))
        p.net.torso.fc1.norm.weight[[0, 3, 6]] = 0
        p.net.torso.fc1.norm.bias[[0, 3, 6]] = -1
    assert measure(q=p)["dead/torso.fc1"] == 3 / 8


def test_a_unit_below_the_mean_of_its_layer_on_every_state_is_dead_behind_a_layer_norm():
    assert measure(q=layer([1.0, 2, 4, 5], norm="layer"))["dead/torso.fc1"] == 2 / 4


def test_a_unit_at_the_threshold_is_dormant_and_not_dead():
    just, over = 0.99 * TAU / (2 - TAU), 1.01 * TAU / (2 - TAU)  # beside a unit of 1 the score of x is 2x/(1+x)
    assert measure(q=layer([1.0, just]))["torso.fc1"] == 0.5
    assert measure(q=layer([1.0, over]))["torso.fc1"] == 0.0
    assert measure(q=layer([1.0, just]))["dead"] == 0.0


def test_a_unit_that_is_alive_on_one_state_is_not_dead():
    p = layer([0.0, 1.0])
    with torch.no_grad():
        p.net.torso.fc1.writer.weight[0, 4] = 1e-6
    assert measure(q=p)["dead"] == 0.0
    assert measure(EYE[:4], q=p)["dead"] == 0.5


def test_a_layer_of_dead_units_is_all_dormant():
    row = measure(q=layer([0.0, 0.0, -1.0]))
    assert (row[""], row["dead"]) == (1, 1)


def test_one_dead_half_of_a_crelu_is_not_a_dead_unit():
    row = measure(q=layer([1.0, -1.0, 0.0, 2.0], activation="crelu"))
    assert (row["dead"], row[""]) == (0.25, 0.25)


@pytest.mark.parametrize("activation", ["leaky_relu", "tanh"])
def test_a_negative_unit_is_alive_where_the_activation_is(activation):
    assert measure(q=layer([-1.0, 1.0], activation=activation))["dead"] == 0.0


def test_a_channel_is_dead_when_it_is_zero_everywhere():
    p = part((4, 44, 44), width=0.25, hidden=(8,))
    for block in (p.net.encoder.conv1, p.net.encoder.conv2, p.net.encoder.conv3, p.net.torso.fc1):
        write(block.writer, 0.0, 1.0)
    with torch.no_grad():
        p.net.encoder.conv1.writer.bias[[0, 3]] = -1
        p.net.encoder.conv3.writer.bias[:4] = 0
    row = measure(torch.zeros(3, 4, 44, 44, dtype=torch.uint8), q=p)
    shares = {"encoder.conv1": 2 / 8, "encoder.conv2": 0, "encoder.conv3": 4 / 16, "torso.fc1": 0}
    for kind in ("", "dead/"):
        assert {name: row[kind + name] for name in shares} == shares


def test_a_channel_alive_in_one_corner_is_not_dead():
    p = part((4, 44, 44), width=0.25, hidden=(8,))
    write(p.net.encoder.conv1.writer, 0.01)
    image = torch.zeros(2, 4, 44, 44, dtype=torch.uint8)
    assert measure(image, q=p)["dead/encoder.conv1"] == 1
    image[1, 0, 43, 43] = 1
    assert measure(image, q=p)["dead/encoder.conv1"] == 0


def test_the_pooled_share_counts_units_and_the_mean_counts_layers():
    p = part(hidden=(2, 6))
    write(p.net.torso.fc1.writer, 0.0, [1.0, 0.0])
    write(p.net.torso.fc2.writer, 0.0, [1.0] * 6)
    row = measure(q=p)
    assert (row[""], row["mean"]) == (1 / 8, (1 / 2 + 0) / 2)
    assert (row["dead"], row["dead/mean"]) == (1 / 8, 1 / 4)


def test_several_parts_carry_their_names():
    row = measure(actor=layer([0.0, 1.0]), critic=layer([1.0, 1.0]))
    assert (row["actor.torso.fc1"], row["critic.torso.fc1"], row[""]) == (0.5, 0.0, 0.25)
    assert row["dead/actor.torso.fc1"] == 0.5


def test_a_network_without_hidden_units_has_no_share():
    assert measure(q=part(hidden=())) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("activation", ["relu", "tanh", "crelu"])
@pytest.mark.parametrize(
    "place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "torso.fc2.writer.bias", "head.value.weight"]
)
def test_a_spoilt_weight_never_reads_healthy(place, activation, value):
    p = part(hidden=(8, 8), activation=activation)
    with torch.no_grad():
        dict(p.net.named_parameters())[place].view(-1)[0] = value
    row = measure(q=p)
    assert len(row) == 8
    assert all(math.isnan(x) for x in row.values())


def test_a_spoilt_observation_never_reads_healthy():
    obs = EYE.clone()
    obs[2, 2] = math.nan
    assert all(math.isnan(x) for x in measure(obs, q=part(hidden=(8,))).values())


def test_a_spoilt_part_leaves_the_numbers_of_another():
    row = measure(actor=layer([0.0, math.nan]), critic=layer([0.0, 1.0]))
    assert math.isnan(row["actor.torso.fc1"])
    assert math.isnan(row[""])
    assert row["critic.torso.fc1"] == 0.5
