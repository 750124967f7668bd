"""Overestimation of values that are wrong by a known amount."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.output import ActionValues, Atoms, Values
from probes.overestimation import Overestimation, gaps, taken
from runs.rng import stream
from tests.laws.members import learn
from tests.laws.members import taken as made
from tests.probes.constructed import part, states, write

G = torch.tensor([1.0, 3.0])


def measure(p, known=True):
    batch = states(torch.eye(5)[:2])._replace(action=torch.tensor([0, 1]))
    returns = lambda size: (batch, G) if known else None
    seen = SimpleNamespace(parts={"q": p}, run=lambda name, batch: p.net(batch.obs), returns=returns)
    return Overestimation().measure(seen, batch, {})


def constant(value):
    p = part(hidden=())
    p.output = ActionValues()
    write(p.net.head.value, 0.0, value)
    return p


def test_values_that_are_too_high_by_hand():
    row = measure(constant(torch.tensor([4.0, 10.0])))  # Q of the actions taken: 4 and 10, returns 1 and 3
    assert row == pytest.approx({"": 5, "value": 7, "return": 2, "relative": 5})


def test_values_that_are_right_on_average_have_none():
    assert measure(constant(2.0))[""] == pytest.approx(0)


def test_of_an_ensemble_the_mean_and_the_least_that_is_believed():
    q = torch.tensor([[1.0, 2.0], [5.0, 3.0]])  # [B, K]
    assert gaps(q, G) == pytest.approx({"": 0.75, "value": 2.75, "return": 2, "least": 0, "relative": 0.75})
    assert torch.equal(taken(Values(), q, torch.zeros(2, 1)), q)


def test_of_a_distribution_the_expected_value_counts():
    logits = torch.tensor([[[0.0, 0.0], [0.0, 40.0]]])
    assert taken(Atoms(torch.tensor([0.0, 8.0])), logits, torch.tensor([1])).tolist() == [[8]]


def test_returns_that_are_all_alike_have_no_deviation():
    assert "relative" not in gaps(torch.ones(2, 1), torch.ones(2))


def test_nothing_is_said_where_no_outcome_is_known():
    assert measure(constant(1.0), known=False) == {}


def test_a_spoilt_weight_never_reads_healthy():
    row = measure(constant(math.inf))
    assert row and all(math.isnan(x) for x in row.values())


def test_values_raised_by_three_are_overestimated_by_three_more():
    world, agent = made("dqn", "toy:chain", "--gamma=0.5")
    learn(agent, world, 5)
    subject = agent.view(stream(0, "probe"))
    batch, g = subject.returns(64)
    assert g.abs().max() <= 2 * max(batch.reward.abs().max(), 1)
    before = Overestimation().measure(agent.view(stream(0, "probe")), batch, {})
    agent.parts["q"].net.head.value.bias.data.add_(3.0)
    after = Overestimation().measure(agent.view(stream(0, "probe")), batch, {})
    assert after[""] - before[""] == pytest.approx(3, abs=1e-4)


def test_critics_are_judged_and_actors_are_not():
    world, agent = made("sac", "toy:reach", "--gamma=0.5")
    learn(agent, world, 5)
    row = Overestimation().measure(agent.view(stream(0, "probe")), None, {})
    assert set(row) >= {"", "value", "return", "least"}


def test_a_stream_of_labels_has_no_returns():
    _, agent = made("classifier", "labels:generated")
    assert Overestimation().measure(agent.view(stream(0, "probe")), None, {}) == {}
