"""Law 6: the promises of the feature-rank penalty (Kumar et al. 2021)."""

import pytest
import torch

from interventions.featurerank import spread
from tests.interventions.penalised import born, gradients, grown, link, on_batch
from tests.laws.members import learn, taken

VECTORS = "toy:chain"
ON = "--featurerank-weight=0.01"


def test_it_is_the_gap_between_the_squared_ends_of_the_spectrum():
    """Singular values 3, 2, 1: 9 - 1."""
    phi = torch.zeros(1, 3, 5)
    phi[0, 0, 4], phi[0, 1, 1], phi[0, 2, 0] = 3.0, -2.0, 1.0
    gap, slope = spread(phi)
    torch.testing.assert_close(gap, torch.tensor(8.0))
    assert slope[0, 0, 4] == pytest.approx(6.0)
    assert slope[0, 2, 0] == pytest.approx(-2.0)
    torch.testing.assert_close(spread(phi.mT)[0], gap)


def test_orthogonal_features_of_one_length_cost_nothing_and_equal_values_are_no_trouble():
    gap, slope = spread(torch.eye(4)[None])
    assert gap == 0
    assert torch.isfinite(slope).all()


def test_features_that_are_0_cost_nothing():
    gap, slope = spread(torch.zeros(1, 4, 8))
    assert gap == 0
    assert not slope.any()


def test_features_that_are_not_finite_are_left_to_the_check_of_the_loss():
    spread(torch.full((1, 4, 8), torch.nan))


@pytest.mark.parametrize("shape", [(2, 4, 9), (2, 9, 4)])
def test_the_gradient_is_that_of_the_singular_values(shape):
    phi = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values = torch.linalg.svdvals(phi)
    exact = (values[:, 0].square() - values[:, -1].square()).sum()
    gap, slope = spread(phi.detach())
    torch.testing.assert_close(gap, exact.detach())
    torch.testing.assert_close(slope, torch.autograd.grad(exact, phi)[0], rtol=1e-3, atol=1e-4)


def test_it_reads_the_features_of_the_updates_own_pass_and_reaches_below_the_head():
    agent = grown("dqn", "toy:catch", ON)
    batch = link(agent, "featurerank").subject.batch()
    value = on_batch(agent, "featurerank", batch=batch)
    with torch.no_grad():
        values = torch.linalg.svdvals(agent.parts["q"].net.features(batch.obs))
    torch.testing.assert_close(value.detach(), 0.01 * (values[0].square() - values[-1].square()), rtol=1e-4, atol=1e-6)
    grads = gradients(agent, value)
    assert grads["encoder.conv1.writer.weight"].any()
    assert not grads["head.value.weight"].any()


@pytest.mark.parametrize(("flags", "states"), [((), 32), (("--featurerank-states=5",), 5)])
def test_of_a_larger_minibatch_the_first_states_count(flags, states):
    agent = grown("dqn", VECTORS, ON, "--batch-size=40", "--warmup=60", *flags)
    batch = link(agent, "featurerank").subject.batch()
    value = on_batch(agent, "featurerank", batch=batch)
    with torch.no_grad():
        phi = agent.parts["q"].net.features(batch.obs[:states])
    torch.testing.assert_close(value.detach(), 0.01 * spread(phi[None])[0], rtol=1e-4, atol=1e-6)
    assert len(batch.obs) == 40


def test_both_critics_are_meant_and_the_actor_only_by_name():
    agent = grown("sac", "toy:reach", ON)
    grads = gradients(agent, on_batch(agent, "featurerank", "critic"), "critic")
    assert all(grads[f"ensemble.{i}.torso.fc1.writer.weight"].any() for i in (0, 1))
    assert on_batch(agent, "featurerank", "actor") == 0
    named = grown("sac", "toy:reach", ON, "--featurerank-parts=actor")
    assert on_batch(named, "featurerank", "actor") != 0
    assert on_batch(named, "featurerank", "critic") == 0


def test_a_part_without_features_is_refused_by_name():
    assert taken("sac", "toy:reach", ON, "--featurerank-parts=alpha") is None


def test_a_part_with_two_losses_in_an_update_shows_each_its_own_pass():
    """The graph of the first is gone when the second comes."""
    world, agent = taken("sac", "toy:reach", ON, "--featurerank-parts=actor", "--actor-every=2")
    learn(agent, world, 6)
    assert agent.chain.summary()["event/featurerank/loss/actor"] != 0


def test_a_classifier_has_features_too():
    assert on_batch(born("classifier", "labels:generated", ON), "featurerank", "net") > 0
