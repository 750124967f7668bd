"""Law 6: the promises of DR3 (Kumar et al. 2022)."""

import pytest
import torch

from replay.batch import labelled
from tests.interventions.penalised import born, gradients, grown, link, on_batch
from tests.laws.members import learn, taken

VECTORS = "toy:chain"
ON = "--dr3-weight=0.1"
SIGNED = "--activation=tanh"  # features of both signs


def features(agent, obs):
    return agent.parts["q"].net.features(obs)


@pytest.mark.parametrize(("form", "flags"), [("dot", []), ("absolute", []), ("dot", [SIGNED]), ("absolute", [SIGNED])])
def test_it_is_the_mean_dot_product_of_the_features_of_successive_states(form, flags):
    agent = grown("dqn", VECTORS, ON, f"--dr3-form={form}", *flags)
    batch = link(agent, "dr3").subject.batch()
    value = on_batch(agent, "dr3", batch=batch)
    dots = (features(agent, batch.obs) * features(agent, batch.next_obs)).sum(1)
    torch.testing.assert_close(value, 0.1 * (dots.abs() if form == "absolute" else dots).mean())


@pytest.mark.parametrize(("flags", "one"), [([], True), ([SIGNED], False)])
def test_the_two_forms_are_one_with_relu_and_differ_where_features_are_negative(flags, one):
    values = []
    for form in ("dot", "absolute"):
        agent = born("dqn", VECTORS, ON, f"--dr3-form={form}", *flags)
        obs = torch.randn((32, *agent.spec.observation.shape), generator=torch.Generator().manual_seed(0))
        batch = labelled(obs, torch.zeros(32, dtype=torch.int64))._replace(next_obs=-9 * obs)
        values.append(on_batch(agent, "dr3", batch=batch))
    assert torch.equal(*values) == one


@pytest.mark.parametrize("stop", [False, True])
def test_the_second_factor_may_be_stopped(stop):
    agent = grown("dqn", VECTORS, ON, *(["--dr3-stop"] if stop else []))
    batch = link(agent, "dr3").subject.batch()
    grads = gradients(agent, on_batch(agent, "dr3", batch=batch))
    later = features(agent, batch.next_obs)
    dots = (features(agent, batch.obs) * (later.detach() if stop else later)).sum(1)
    expected = gradients(agent, 0.1 * dots.mean())
    assert all(torch.allclose(grads[name], g) for name, g in expected.items())
    assert grads["torso.fc1.writer.weight"].any()
    assert not grads["head.value.weight"].any()


def test_the_next_action_is_the_policys_and_only_the_critics_learn_from_it():
    agent = grown("sac", "toy:reach", ON)
    value = on_batch(agent, "dr3", "critic")
    actor = list(agent.parts["actor"].net.parameters())
    assert torch.autograd.grad(value, actor, retain_graph=True, allow_unused=True) == (None,) * len(actor)
    grads = gradients(agent, value, "critic")
    assert all(grads[f"ensemble.{i}.torso.fc1.writer.weight"].any() for i in (0, 1))


def test_labelled_data_are_refused():
    assert taken("classifier", "labels:generated", ON) is None


def test_the_tape_of_a_second_loss_is_not_that_of_the_pass_on_the_next_states():
    world, agent = taken("sac", "toy:reach", ON, "--dr3-parts=actor", "--actor-every=2")
    learn(agent, world, 6)
    assert agent.chain.summary()["event/dr3/loss/actor"] != 0
