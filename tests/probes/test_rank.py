"""Ranks of features and weights behind networks whose features are known (algorithms C.5)."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.encoders import NetConfig, mlp
from nets.policy import Critic
from probes.rank import PIECE, STATES, Rank, mean
from probes.spectrum import centred, ranks, singular, stable
from tests.probes.constructed import part, states, subject, write


def measure(obs=None, **parts):
    """obs: a function of a generator and a size; all parts see the same draws, as those of a replay."""
    source, rng, sizes = subject(**parts), torch.Generator().manual_seed(0), []
    shape = (5,) if obs is None else obs

    def batch(size):
        sizes.append(size)
        return states(torch.randn(size, *shape, generator=rng))

    source.batch = batch
    row = Rank().measure(source, None, {})
    measure.states = sum(sizes)
    return row


def spread(weight, **net):
    """A part whose features are the positive part of `weight` @ state."""
    p = part(hidden=(len(weight),), **net)
    write(p.net.torso.fc1.writer, torch.as_tensor(weight))
    return p


def test_features_of_rank_r():
    g = torch.Generator().manual_seed(2)
    weight = torch.randn(16, 2, generator=g).abs() @ torch.randn(2, 5, generator=g)
    p = spread(weight)
    with torch.no_grad():
        p.net.torso.fc1.writer.bias.fill_(100.0)  # every unit linear: rank 2 and the constant
    row = measure(q=p)
    assert row["numerical"] == 3
    assert all(row[kind] <= 3 + 1e-6 for kind in ("srank", "pca99", "effective", "above", "stable", "participation"))
    assert row["weight/torso.fc1"] == 2


def test_the_mean_of_the_features_is_taken_out_where_it_says_so():
    p = spread(torch.eye(4, 5))
    with torch.no_grad():
        p.net.torso.fc1.writer.bias.fill_(50.0)
    row = measure(q=p)
    assert row["stable"] == pytest.approx(1, abs=0.01)  # one direction holds the mean
    assert row["stable/centred"] == pytest.approx(4, rel=0.1)  # four of equal variance


def test_features_that_never_change_have_no_centred_rank():
    p = spread(torch.zeros(4, 5))
    with torch.no_grad():
        p.net.torso.fc1.writer.bias.fill_(3.1)
    row = measure(q=p)
    assert (row["numerical"], row["srank"]) == (1, 1)
    assert "stable/centred" not in row
    assert "weight/torso.fc1" not in row


def test_dead_features_have_only_counts():
    p = spread(torch.zeros(4, 5))
    assert {k: x for k, x in measure(q=p).items() if "weight" not in k} == {"above": 0, "numerical": 0}


def test_as_many_states_as_twice_the_features_and_no_fewer_than_2048():
    measure(q=part(hidden=(8,)))
    assert measure.states == STATES == 2048
    measure(q=part(hidden=(1100,)))
    assert measure.states == 5 * PIECE >= 2200


def test_two_streams_that_read_the_same_features_are_one_member():
    p = part(hidden=(4,), head="dueling")
    write(p.net.torso.fc1.writer, torch.eye(4, 5))
    assert measure(q=p)["numerical"] == 4


def test_an_ensemble_has_the_mean_of_its_members():
    assert mean([{"a": 1.0, "b": 4.0}, {"a": 2.0}]) == {"a": 1.5, "b": 4.0}
    critic = Critic(5, lambda n: (*mlp(n, NetConfig(hidden=(4,))), 1.0), "torch")
    for judge, r in zip(critic.judges(), (1, 3), strict=True):
        write(judge.torso.fc1.writer, torch.eye(4, 5) * (torch.arange(4) < r)[:, None])
    source = subject(critic=SimpleNamespace(net=critic))
    source.run = lambda name, batch: critic(batch.obs[:, :3], batch.obs[:, 3:]).T
    source.batch = lambda size: states(torch.randn(size, 5, generator=torch.Generator().manual_seed(size)))
    assert Rank().measure(source, None, {})["numerical"] == 2


def test_several_parts_carry_their_names():
    row = measure(actor=spread(torch.eye(3, 5)), critic=spread(torch.eye(2, 5)))
    assert (row["numerical/actor"], row["numerical/critic"]) == (3, 2)
    assert (row["weight/actor.torso.fc1"], row["weight/critic.torso.fc1"]) == (3, 2)
    assert "numerical" not in row


def test_a_kernel_is_a_matrix_of_channels_by_its_inputs():
    p = part((4, 44, 44), width=0.25, hidden=(8,))
    write(p.net.encoder.conv1.writer, 0.5)
    with torch.no_grad():
        p.net.encoder.conv1.writer.weight[3] *= torch.linspace(-1, 1, 64).view(8, 8)
    assert measure((4, 44, 44), q=p)["weight/encoder.conv1"] == 2


def test_the_rank_is_that_of_the_features_behind_a_layer_norm():
    p = part(hidden=(6,), norm="layer")
    row = measure(q=p)
    phi = p.net.features(torch.randn(2048, 5, generator=torch.Generator().manual_seed(0)))
    # The same draws in pieces are another order of rows.
    assert row["numerical"] == ranks(singular(phi), 2048, 6)["numerical"]
    assert row["stable/centred"] == pytest.approx(stable(singular(centred(phi))), rel=0.2)


def test_the_scale_of_a_layer_in_front_of_a_norm_does_not_count():
    p = part(hidden=(6,), norm="layer")
    before = measure(q=p)
    with torch.no_grad():
        p.net.torso.fc1.writer.weight.mul_(8.0)
        p.net.torso.fc1.writer.bias.mul_(8.0)
    assert measure(q=p) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.bias"])
def test_a_spoilt_weight_never_reads_healthy(place, value):
    p = part(hidden=(8,))
    with torch.no_grad():
        dict(p.net.named_parameters())[place].view(-1)[0] = value
    row = {k: x for k, x in measure(q=p).items() if "weight" not in k}
    assert len(row) == 8
    assert all(math.isnan(x) for x in row.values())
