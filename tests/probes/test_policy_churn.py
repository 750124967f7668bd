"""Churn of updates whose effect is known."""

import math

import pytest
import torch

from nets.output import ActionValues, Atoms, Gaussian, Logits, Values
from probes.churn import Churn, greedy, policy, standing
from runs.rng import stream
from tests.laws.members import learn, taken
from tests.probes.constructed import states


def seen(name="dqn", env="toy:catch", *flags, updates=5):
    world, agent = taken(name, env, *flags)
    learn(agent, world, updates)
    return agent.view(stream(0, "probe"))


def measure(subject):
    return Churn().measure(subject, subject.batch(8), {})


def test_policies_by_hand():
    now, then = torch.tensor([[1.0, 2], [3, 0], [5, 4], [0, 1]]), torch.tensor([[2.0, 1], [3, 1], [5, 4], [0, 9]])
    assert policy(ActionValues(), now, then) == {"policy": 0.25}
    assert policy(Logits(), now, then) == {"policy": 0.25}
    assert policy(Values(), now, then) == {}
    two = torch.tensor([[0.0, 4, 0, 0], [1, 1, 0, 0]])  # means, then log-sigmas of 0
    row = policy(Gaussian(), two, two + torch.tensor([1.0, -3, 0, 0]))
    assert row == pytest.approx({"policy": 2, "policy/kl": 0.5 * (1 + 9)})
    wider = policy(Gaussian(), torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]))["policy/kl"]
    assert wider == pytest.approx(1 + 0.5 * math.exp(-2) - 0.5)  # KL(N(0, 1) || N(0, e^2))


def test_the_greedy_action_of_a_distribution_is_that_of_its_mean():
    atoms = Atoms(torch.tensor([-1.0, 0.0, 1.0]))
    logits = torch.tensor([[[0.0, 5, 0], [5, 0, 5.1]]])  # means of 0 and a little above it
    assert greedy(atoms, logits).tolist() == [1]


def test_agreement_and_stored_by_hand():
    q, slow = torch.tensor([[1.0, 2], [3, 0]]), torch.tensor([[1.0, 2], [0, 3]])
    batch = states(torch.zeros(2, 5))._replace(action=torch.tensor([0, 0]))
    assert standing(ActionValues(), q, slow, batch) == {"stored": 0.5, "agreement": 0.5}
    assert standing(ActionValues(), q, None, batch) == {"stored": 0.5}
    assert standing(Gaussian(), q, slow, batch) == {}


def test_a_step_of_length_zero_churns_nothing_and_a_long_one_much():
    still, wild = seen(), seen()
    for part, lr in ((still.parts["q"], 0.0), (wild.parts["q"], 10.0)):
        for group in part.opt.param_groups:
            group["lr"] = lr
    assert (measure(still)["policy"], measure(still)["value"]) == (0, 0)
    assert measure(wild)["value"] > 1


def test_the_numbers_are_those_of_one_update_of_the_agents_own():
    subject = seen()
    row = measure(subject)
    again = seen()
    again.batch(8)
    fresh = again.batch(256)
    before = again.run("q", fresh).detach()
    again.extra_update()
    after = again.run("q", fresh).detach()
    assert row["value"] == pytest.approx(float((after - before).abs().mean()), rel=1e-5)
    assert row["policy"] == float((after.argmax(1) != before.argmax(1)).float().mean())


def test_a_slow_copy_agrees_after_a_sync():
    subject = seen()
    assert measure(subject)["agreement"] <= 1
    subject.parts["q"].sync()
    assert measure(subject)["agreement"] == 1
    assert "policy/target" not in measure(subject)


def test_a_moving_average_churns_less_than_the_network_that_it_follows():
    subject = seen("dqn", "toy:catch", "--target-tau=0.01", "--target-every=1:updates")
    subject.parts["q"].sync()
    for group in subject.parts["q"].opt.param_groups:
        group["lr"] = 0.1
    row = measure(subject)
    assert row["policy/target"] <= row["policy"]


@pytest.mark.parametrize("flags", [[], ["--loss=hl_gauss"], ["--head=dueling"]])
def test_a_q_network_has_all_four(flags):
    assert set(measure(seen("dqn", "toy:catch", *flags))) == {"policy", "value", "agreement", "stored"}


def test_critics_churn_in_values_and_actors_in_actions():
    assert set(measure(seen("sac", "toy:reach"))) == {"value/critic", "policy/actor", "policy/kl/actor"}


def test_an_actor_that_does_not_step_has_no_churn():
    subject = seen("sac", "toy:reach", "--actor-every=2", updates=3)
    assert set(measure(subject)) == {"value/critic"}


def test_a_classifier_churns_in_classes_and_has_no_actions():
    assert set(measure(seen("classifier", "labels:generated"))) == {"policy"}


def test_nothing_is_left_of_the_update():
    subject = seen()
    before = {k: x.clone() for k, x in subject.parts["q"].net.state_dict().items()}
    measure(subject)
    assert all(torch.equal(x, before[k]) for k, x in subject.parts["q"].net.state_dict().items())


def test_a_spoilt_weight_never_reads_healthy():
    subject = seen()
    subject.parts["q"].net.head.value.bias.data[0] = math.nan
    row = measure(subject)
    assert row and all(math.isnan(x) for x in row.values())
