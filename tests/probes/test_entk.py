"""Kernels that are known."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.output import Atoms, Values
from probes.entk import ENTK, spectrum, velocity
from runs.rng import stream
from tests.laws.members import learn, taken
from tests.probes.constructed import part, states


def linear(output=None):
    p = part(hidden=())
    p.output = output or Values()
    return p


def measure(p, obs, memory=None):
    seen = SimpleNamespace(parts={"q": p}, run=lambda name, batch: p.net(batch.obs))
    return ENTK().measure(seen, states(obs), {} if memory is None else memory)


def test_the_kernel_of_a_linear_network_is_the_product_of_its_inputs():
    memory = {}
    obs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    measure(linear(), obs, memory)
    # The mean of two outputs: a half of x and of 1 for each of them.
    torch.testing.assert_close(memory["kernel"]["q"], 0.5 * (obs @ obs.T + 1).double(), rtol=1e-5, atol=1e-5)


def test_rank_and_condition_by_hand():
    row = spectrum(torch.tensor([8.0, 4.0, 4.0]).double().diag())
    assert row == pytest.approx(
        {"rank": 3, "effective": math.exp(0.5 * math.log(2) + 0.5 * math.log(4)), "condition": 2}
    )


def test_a_thousandth_of_the_largest_does_not_count():
    row = spectrum(torch.tensor([1000.0, 1.1, 0.9]).double().diag())
    assert row["rank"] == 2


def test_what_is_rounding_beside_the_largest_is_no_smallest_eigenvalue():
    assert "condition" not in spectrum(torch.tensor([1.0, 1.0, 1e-7]).double().diag())
    assert spectrum(torch.tensor([1.0, 1.0, 1e-6]).double().diag())["condition"] == pytest.approx(1e6)


def test_a_linear_network_has_no_more_directions_than_inputs():
    obs = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    row = measure(linear(), obs)
    assert row["rank"] == 6  # five and the bias
    assert "condition" not in row  # 34 eigenvalues are rounding
    assert measure(linear(), obs[:1].expand(9, 5))["rank"] == 1


def test_a_kernel_that_stays_has_no_velocity_and_one_that_grows_evenly_neither():
    memory, obs = {}, torch.eye(5)
    p = linear()
    assert "velocity" not in measure(p, obs, memory)
    assert measure(p, obs, memory)["velocity"] == pytest.approx(0, abs=1e-12)
    k = torch.eye(3).double()
    assert velocity(k, 7 * k)["velocity"] == pytest.approx(0, abs=1e-12)
    assert velocity(k, torch.tensor([0.0, 0.0, 5.0]).double().diag())["velocity"] == pytest.approx(1 - 3**-0.5)
    assert velocity(k, 0 * k) == {}


def test_velocity_is_of_the_network_and_not_of_the_states():
    memory = {}
    p = part(hidden=(8,))
    p.output = Values()
    g = torch.Generator().manual_seed(0)
    measure(p, torch.randn(6, 5, generator=g), memory)
    assert measure(p, torch.randn(6, 5, generator=g), memory)["velocity"] == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        p.net.torso.fc1.writer.weight.add_(1.0)
    assert measure(p, torch.randn(6, 5, generator=g), memory)["velocity"] > 1e-3


def test_of_a_distribution_the_expected_values_count():
    p = linear(Atoms(torch.tensor([3.0, 3.0])))  # both atoms are worth the same: no output depends on a weight
    run = lambda name, batch: p.net(batch.obs)[:, None]
    seen = SimpleNamespace(parts={"q": p}, run=run)
    memory = {}
    ENTK().measure(seen, states(torch.eye(5)), memory)
    assert float(memory["kernel"]["q"].abs().max()) < 1e-10


def test_a_network_without_gradients_has_no_kernel():
    assert spectrum(torch.zeros(3, 3).double()) == {}


def test_a_temperature_has_no_kernel_and_critics_and_actors_have_one():
    world, agent = taken("sac", "toy:reach")
    learn(agent, world, 3)
    subject = agent.view(stream(0, "probe"))
    row = ENTK().measure(subject, subject.batch(6), {})
    assert {tag.rpartition("/")[2] for tag in row} == {"critic", "actor"}


def test_a_spoilt_weight_never_reads_healthy():
    p = part(hidden=(4,))
    p.output = Values()
    with torch.no_grad():
        p.net.torso.fc1.writer.bias[0] = -math.inf
    assert all(math.isnan(x) for x in measure(p, torch.eye(5)).values())
