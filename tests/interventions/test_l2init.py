"""Law 6: the promises of L2-init (Kumar et al. 2023)."""

import pytest
import torch

from tests.interventions.penalised import born, gradients, grown, link, on_weights, shift, weights
from tests.laws.members import taken

IMAGES, VECTORS = "toy:catch", "toy:chain"
ON = "--l2init-weight=0.01"


def test_the_gradient_at_the_first_draw_is_0():
    agent = born("dqn", IMAGES, ON)
    value = on_weights(agent, "l2init")
    assert value == 0
    assert not any(g.any() for g in gradients(agent, value).values())


@pytest.mark.parametrize(("flags", "factor"), [([], 2.0), (["--l2init-half"], 1.0)])
@pytest.mark.parametrize("env", [IMAGES, VECTORS])
def test_the_gradient_at_a_distance_d_is_2_lambda_d_or_lambda_d(env, flags, factor):
    agent = born("dqn", env, ON, *flags)
    first, _ = weights(agent), shift(agent)
    moved = {name: p - first[name] for name, p in weights(agent).items()}
    value = on_weights(agent, "l2init")
    torch.testing.assert_close(value.detach(), factor / 2 * 0.01 * sum(d.square().sum() for d in moved.values()))
    for name, g in gradients(agent, value).items():
        torch.testing.assert_close(g, factor * 0.01 * moved[name])


def test_the_gradient_adds_to_that_of_the_loss():
    agent = born("dqn", VECTORS, ON)
    shift(agent)
    p = agent.parts["q"].net.head.value.bias
    away = p.detach() - link(agent, "l2init").state["q"]["head.value.bias"]
    value = 3 * (p.sum() + on_weights(agent, "l2init"))
    torch.testing.assert_close(torch.autograd.grad(value, p)[0], 3 * (1 + 0.02 * away))


def test_it_pulls_to_the_draw_the_network_was_born_with_however_long_it_learns():
    newborn, agent = born("dqn", VECTORS), grown("dqn", VECTORS, ON, updates=12)
    first = link(agent, "l2init").state["q"]
    for name, p in weights(newborn).items():
        assert torch.equal(first[name], p)
        assert first[name].dtype == torch.float32


def test_norms_are_left_alone_unless_asked():
    for flags, among in (([], False), (["--l2init-skip="], True)):
        agent = born("dqn", VECTORS, ON, "--norm=layer", *flags)
        shift(agent)
        grads = gradients(agent, on_weights(agent, "l2init"))
        assert grads["torso.fc1.norm.weight"].any() == among
        assert grads["torso.fc1.writer.bias"].any()


def test_only_the_named_groups_are_pulled():
    agent = born("dqn", VECTORS, ON, "--l2init-groups=head")
    shift(agent)
    grads = gradients(agent, on_weights(agent, "l2init"))
    assert grads["head.value.weight"].any()
    assert not grads["torso.fc1.writer.weight"].any()


def test_a_temperature_is_no_network():
    agent = born("sac", "toy:reach", ON)
    assert set(link(agent, "l2init").state) == {"critic", "actor"}
    assert on_weights(agent, "l2init", "alpha") == 0


@pytest.mark.parametrize("flag", ["move", "keep"])
def test_after_a_reset_the_new_weights_are_the_first_or_the_old_ones_stay(flag):
    agent = grown(
        "dqn", VECTORS, ON, f"--l2init-reset={flag}", "--reset-every=5:updates", "--reset-groups=head", updates=5
    )
    (kept, now), newborn = (link(agent, "l2init").state["q"], weights(agent)), weights(born("dqn", VECTORS))
    assert torch.equal(kept["torso.fc1.writer.weight"], newborn["torso.fc1.writer.weight"])
    assert torch.equal(kept["head.value.weight"], (now if flag == "move" else newborn)["head.value.weight"])
    assert not torch.equal(now["head.value.weight"], newborn["head.value.weight"])


def test_a_graph_that_goes_backward_twice_is_an_error():
    agent = born("dqn", VECTORS, ON)
    shift(agent)
    value = on_weights(agent, "l2init")
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="retain_graph"):
        value.backward()


def test_a_negative_weight_is_refused():
    assert taken("dqn", VECTORS, "--l2init-weight=-1") is None
