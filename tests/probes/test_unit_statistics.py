"""Statistics of units on constructed networks (algorithms C.4)."""

import math

import pytest
import torch

from nets.anatomy import record
from probes.dormant import Dormant
from probes.units import Units
from tests.probes.constructed import part, states, subject, write

EYE = torch.eye(5)
SIGNS = torch.tensor([[1.0] * 5, [-1.0] * 5])  # two states that every unit without bias tells apart


def measure(batch=EYE, **parts):
    return Units().measure(subject(**parts), states(batch), {})


def layer(weight, bias=0.0, **net):
    """A part whose hidden layer has these weights, [U, 5]."""
    p = part(hidden=(len(weight),), **net)
    write(p.net.torso.fc1.writer, weight, bias)
    return p


def shows(values, **net):
    """A part whose unit u receives values[s][u] in state s of the identity."""
    return layer(torch.tensor(values).T, **net)


def test_three_dead_units_and_a_constant_one_of_eight():
    # fmt: off
    p = shows([[-1.0, -1, -1, 2,  1, -1,  3, -2],
               [-1.0, -2, -1, 2, -1,  1, -1,  1],
               [-2.0, -1, -1, 2,  1,  1, -1, -1],
               [-1.0, -1, -3, 2, -1, -1,  1,  1],
               [-1.0, -1, -1, 2, -1,  2, -1, -1]])
    # fmt: on
    row = measure(q=p)
    assert row["linearised"] == row["linearised/mean"] == row["linearised/torso.fc1"] == 1 / 8
    assert Dormant().measure(subject(q=p), states(EYE), {})["dead"] == 3 / 8
    assert row["zero"] == pytest.approx((3 + 0 + 3 / 5 + 2 / 5 + 3 / 5 + 3 / 5) / 8)
    bits = lambda k: -(k / 5 * math.log2(k / 5) + (1 - k / 5) * math.log2(1 - k / 5))  # of k states of 5
    assert row["entropy"] == pytest.approx((bits(2) + bits(3) + bits(2) + bits(2)) / 8)


def test_a_unit_that_is_0_in_one_state_is_no_identity():
    assert measure(q=shows([[1.0]] * 5))["linearised"] == 1
    assert measure(q=shows([[1.0]] * 4 + [[0.0]]))["linearised"] == 0


def test_half_of_a_healthy_layer_is_zero_and_a_unit_has_one_bit():
    row = measure(SIGNS, q=layer(torch.ones(4, 5)))
    assert (row["zero"], row["entropy"], row["linearised"]) == (0.5, 1, 0)


@pytest.mark.parametrize("activation", ["leaky_relu", "prelu", "crelu", "tanh", "fourier"])
def test_zero_and_linearised_are_of_relu_alone(activation):
    row = measure(q=layer(torch.ones(4, 5), activation=activation))
    assert not {kind for kind in row if kind.startswith(("zero", "linearised"))}


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "crelu", "fourier"])
def test_saturation_is_of_tanh_alone(activation):
    row = measure(q=layer(torch.ones(4, 5), activation=activation))
    assert not {kind for kind in row if kind.startswith(("saturated", "constant"))}


def test_sines_have_no_sign():
    row = measure(q=layer(torch.ones(4, 5), activation="fourier"))
    assert not {kind for kind in row if kind.startswith(("entropy", "patterns"))}


def test_saturated_and_constant_units_of_tanh():
    p = layer([[10.0] * 5, [1.0] * 5, [0.0] * 5], [0.0, 0.0, 9.0], activation="tanh")
    row = measure(torch.cat([SIGNS, 0 * SIGNS]), q=p)  # inputs +-50, +-5, 0 and 0; the last unit sees 9
    assert row["saturated"] == pytest.approx((2 / 4 + 2 / 4 + 1) / 3)  # tanh 5 is .9999
    assert row["constant"] == pytest.approx(1 / 3)


def test_the_threshold_of_saturation_is_99_percent():
    row = measure(EYE[:1], q=shows([[2.64, 2.65]] * 5, activation="tanh"))  # atanh(.99) = 2.6467
    assert row["saturated"] == 0.5


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "crelu", "tanh"])
def test_copies_of_a_unit_are_duplicates_but_for_the_first(activation):
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 5, generator=g)
    p = layer(torch.stack([weight[0], weight[1], weight[0], weight[2], weight[0]]), activation=activation)
    assert measure(torch.randn(64, 5, generator=g), q=p)["duplicate"] == pytest.approx(2 / 5)


def test_a_multiple_is_a_duplicate_and_an_opposite_is_not():
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 5, generator=g)
    obs = torch.randn(64, 5, generator=g)
    assert measure(obs, q=layer(torch.cat([weight, 3 * weight])))["duplicate"] == 0.5
    assert measure(obs, q=layer(torch.cat([weight, -weight]), activation="tanh"))["duplicate"] == 0


def test_units_that_differ_by_a_constant_are_duplicates_and_constants_are_none():
    p = layer([[0.1] * 5, [0.1] * 5, [0.0] * 5, [0.0] * 5], [4.0, 8.0, 0.3, 0.7])
    assert measure(SIGNS, q=p)["duplicate"] == 1 / 4
    many = layer(torch.zeros(6, 5), [0.1, 0.3, 0.7, 1.1, 1.3, 9.7])
    assert measure(torch.zeros(1000, 5), q=many)["duplicate"] == 0  # what rounding leaves of a mean is no direction


def test_a_large_common_mean_makes_no_duplicates():
    g = torch.Generator().manual_seed(0)
    p = layer(torch.randn(3, 5, generator=g), 100.0)
    assert measure(torch.randn(64, 5, generator=g), q=p)["duplicate"] == 0


@pytest.mark.parametrize("activation", ["relu", "crelu", "tanh"])
def test_the_tape_shows_what_enters_an_activation(activation):
    p, obs = part(hidden=(3,), activation=activation), torch.randn(4, 5)
    with record(p.net, pre=True) as tape:
        p.net(obs)
    torch.testing.assert_close(tape.pre["torso.fc1"], p.net.torso.fc1.writer(obs))
    assert tape.cut().pre.keys() == tape.acts.keys()
    tape.clear()
    assert tape.pre == {}


def test_sign_patterns_are_words_of_the_whole_layer():
    # fmt: off
    p = shows([[1.0,  1], [1, -1], [-1, 1], [-1, -1], [-2, -2]])
    # fmt: on
    two_of_five = -(3 * 0.2 * math.log2(0.2) + 0.4 * math.log2(0.4))
    assert measure(q=p)["patterns/torso.fc1"] == pytest.approx(two_of_five)
    assert measure(EYE[:4], q=p)["patterns/mean"] == pytest.approx(2)


def test_patterns_saturate_at_the_size_of_the_batch():
    g = torch.Generator().manual_seed(0)
    assert measure(torch.randn(32, 5, generator=g), q=part(hidden=(64,)))["patterns/mean"] == pytest.approx(5)


def test_each_position_of_a_channel_is_an_input():
    p = part((4, 44, 44), width=0.25, hidden=(8,))
    conv = p.net.encoder.conv1.writer
    write(conv, 0.0, -1.0)
    with torch.no_grad():
        conv.weight[0, 0, 0, 0] = 300.0  # channel 0 is alive where the image is white
        conv.bias[1] = 1.0
    image = torch.zeros(2, 4, 44, 44, dtype=torch.uint8)
    image[1, 0, 0, 0] = 255
    row, positions = measure(image, q=p), 2 * p.net.encoder.conv1.writer.positions
    assert row["zero/encoder.conv1"] == pytest.approx((6 + 1 - 1 / positions) / 8, abs=1e-4)
    assert row["linearised/encoder.conv1"] == 1 / 8
    assert "patterns/encoder.conv1" not in row


def test_duplicate_channels():
    p = part((4, 44, 44), width=0.25, hidden=(8,))
    with torch.no_grad():
        for own in (p.net.encoder.conv1.writer.weight, p.net.encoder.conv1.writer.bias):
            own[5] = own[2]
    image = torch.randint(0, 256, (4, 4, 44, 44), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert measure(image, q=p)["duplicate/encoder.conv1"] == 1 / 8


def test_statistics_are_of_what_enters_behind_the_norm():
    row = measure(torch.randn(256, 5), q=layer(torch.randn(16, 5), 50.0, norm="layer"))
    assert row["linearised"] < 0.5  # in front of the norm every input is above 0
    assert row["entropy"] > 0.2


def test_the_scale_in_front_of_a_norm_does_not_count():
    obs, p = torch.randn(64, 5, generator=torch.Generator().manual_seed(0)), part(hidden=(8,), norm="layer")
    before = measure(obs, q=p)
    with torch.no_grad():
        p.net.torso.fc1.writer.weight.mul_(4.0)
        p.net.torso.fc1.writer.bias.mul_(4.0)
    assert measure(obs, q=p) == pytest.approx(before, abs=0.02)


def test_the_pooled_number_counts_units_and_the_mean_counts_layers():
    p = part(hidden=(2, 6))
    write(p.net.torso.fc1.writer, 0.0, [1.0, -1.0])
    write(p.net.torso.fc2.writer, 0.0, [1.0] * 6)
    row = measure(q=p)
    assert (row["linearised"], row["linearised/mean"]) == (7 / 8, 3 / 4)


def test_several_parts_carry_their_names():
    row = measure(actor=shows([[1.0, -1]] * 5), critic=shows([[1.0, 1]] * 5))
    assert (row["linearised/actor.torso.fc1"], row["linearised/critic.torso.fc1"], row["linearised"]) == (0.5, 1, 0.75)


def test_a_network_without_hidden_units_has_no_statistics():
    assert measure(q=part(hidden=())) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("activation", ["relu", "tanh", "crelu"])
@pytest.mark.parametrize("place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.bias"])
def test_a_spoilt_weight_never_reads_healthy(place, activation, value):
    p = part(hidden=(8,), activation=activation)
    with torch.no_grad():
        dict(p.net.named_parameters())[place].view(-1)[0] = value
    row = measure(q=p)
    assert len(row) >= 8
    assert all(math.isnan(x) for x in row.values())


def test_a_spoilt_observation_never_reads_healthy():
    obs = EYE.clone()
    obs[2, 2] = math.nan
    assert all(math.isnan(x) for x in measure(obs, q=part(hidden=(8,))).values())
