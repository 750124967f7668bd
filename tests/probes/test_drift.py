"""Drift of networks that are moved by a known amount."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.output import Values
from probes.drift import STATES, Drift, cka
from runs import pack
from runs.rng import stream
from tests.laws.members import learn, taken
from tests.probes.constructed import part, states, write


def drift(p, *changes, obs=None, norm=None):
    """The last of several measurements, after each of the changes."""
    p.output, memory = Values(), {}
    seen = SimpleNamespace(parts={"q": p}, run=lambda name, batch: p.net(batch.obs))
    batch = states(torch.randn(64, 5, generator=torch.Generator().manual_seed(0)) if obs is None else obs)
    row = Drift().measure(seen, batch, memory)
    for change in changes:
        with torch.no_grad():
            change(p)
        row = Drift().measure(seen, batch, memory)
    return row


def scaled(factor):
    return lambda p: [x.mul_(factor) for x in p.net.torso.parameters()]


def nothing(p):
    pass


def test_what_needs_a_past_is_absent_the_first_time():
    assert set(drift(part(hidden=(8,)))) == {"pre/mean/torso.fc1", "pre/std/torso.fc1"}


def test_a_network_that_stays_does_not_drift():
    row = drift(part(hidden=(8,)), nothing)
    assert (row["features"], row["output"], row["pre/shift/torso.fc1"]) == (0, 0, 0)
    assert row["cka"] == pytest.approx(1)


def test_features_that_double_have_drifted_by_one_and_keep_their_cka():
    row = drift(part(hidden=(8,)), scaled(2.0))
    assert row["features"] == pytest.approx(1, rel=1e-5)
    assert row["cka"] == pytest.approx(1)


def test_features_are_compared_with_the_last_and_cka_with_the_first_measurement():
    def redraw(p):
        p.net.torso.fc1.writer.weight.copy_(torch.randn(8, 5, generator=torch.Generator().manual_seed(7)))

    row = drift(part(hidden=(8,)), redraw, nothing)
    assert row["features"] == 0
    assert row["cka"] < 0.9


def test_pre_activations_by_hand():
    p = part(hidden=(2,))
    write(p.net.torso.fc1.writer, torch.tensor([[1.0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]), torch.tensor([0.0, 4.0]))
    obs = torch.zeros(2, 5)
    obs[:, 0] = torch.tensor([1.0, 3.0])  # the first unit sees 1 and 3, the second 4
    row = drift(p, obs=obs)
    assert row["pre/mean/torso.fc1"] == 3
    assert row["pre/std/torso.fc1"] == 0.5  # 1 and 0
    row = drift(p, lambda p: p.net.torso.fc1.writer.bias.sub_(torch.tensor([0.0, 3.0])), obs=obs)
    assert row["pre/shift/torso.fc1"] == 1.5 / 0.5


def test_shifts_of_units_do_not_cancel():
    row = drift(part(hidden=(2,)), lambda p: p.net.torso.fc1.writer.bias.add_(torch.tensor([1.0, -1.0])))
    assert row["pre/shift/torso.fc1"] > 0.5


def test_the_scale_in_front_of_a_norm_is_no_drift():
    row = drift(part(hidden=(8,), norm="layer"), lambda p: [x.mul_(64.0) for x in p.net.torso.fc1.writer.parameters()])
    assert row["features"] < 0.02
    assert row["pre/shift/torso.fc1"] < 0.02


@pytest.mark.parametrize("activation", ["leaky_relu", "crelu", "tanh", "fourier"])
def test_every_activation_has_its_pre_activations(activation):
    row = drift(part(hidden=(8,), activation=activation), nothing)
    assert {"features", "cka", "output", "pre/mean/torso.fc1", "pre/std/torso.fc1"} < set(row)


def test_channels_are_units_over_all_positions():
    obs = torch.randint(0, 256, (4, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    row = drift(part((4, 84, 84), width=0.25, hidden=(8,)), nothing, obs=obs)
    assert {f"pre/mean/encoder.conv{i}" for i in (1, 2, 3)} < set(row)
    assert row["pre/shift/encoder.conv1"] == 0


def test_cka_by_hand():
    a = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    turn = torch.tensor([[0.0, 3], [-3, 0]])
    assert cka(a, a @ turn + 5) == pytest.approx(1)
    one = torch.tensor([[1.0], [-1], [0], [0]])  # half of a's variance: 2 / (sqrt(8) sqrt(4)) squared ... tr(KL) = 4
    assert cka(a, one) == pytest.approx(4 / (math.sqrt(8) * 2))
    assert cka(torch.tensor([[1.0], [-1], [1], [-1]]), torch.tensor([[1.0], [1], [-1], [-1]])) == pytest.approx(0)
    assert cka(a, torch.ones(4, 2)) is None


def test_a_dead_network_has_neither_cka_nor_a_relative_drift():
    p = part(hidden=(4,))
    write(p.net.torso.fc1.writer, 0.0, -1.0)
    assert set(drift(p, nothing)) == {"output", "pre/mean/torso.fc1", "pre/std/torso.fc1"}


def test_the_states_stay_though_the_replay_moves_on():
    p, memory = part(hidden=(4,)), {}
    p.output = Values()
    seen = SimpleNamespace(parts={"q": p}, run=lambda name, batch: p.net(batch.obs))
    g = torch.Generator().manual_seed(0)
    for _ in range(2):
        row = Drift().measure(seen, states(torch.randn(200, 5, generator=g)), memory)
    assert row["features"] == 0
    assert len(memory["anchor"]["obs"]) == STATES
    again = pack.decode(*pack.encode(memory))
    assert Drift().measure(seen, states(torch.zeros(200, 5)), again)["features"] == 0


def test_bytes_are_kept_as_bytes():
    world, agent = taken("dqn", "toy:catch")
    learn(agent, world, 2)
    subject, memory = agent.view(stream(0, "probe")), {}
    Drift().measure(subject, subject.batch(16), memory)
    assert memory["anchor"]["obs"].dtype == torch.uint8


def test_critics_and_actors_drift_by_their_names():
    world, agent = taken("sac", "toy:reach")
    learn(agent, world, 2)
    subject, memory = agent.view(stream(0, "probe")), {}
    for _ in range(2):
        row = Drift().measure(subject, subject.batch(16), memory)
    assert {"features/critic", "features/actor", "cka/critic", "output/actor"} < set(row)
    assert not any("alpha" in tag for tag in row)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_spoilt_weight_never_reads_healthy(value):
    row = drift(part(hidden=(4,)), lambda p: p.net.torso.fc1.writer.bias[:1].fill_(value))
    assert len(row) >= 4 and all(math.isnan(x) for x in row.values())
