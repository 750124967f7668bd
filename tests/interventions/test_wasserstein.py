"""Law 6: the promises of Wasserstein-init (Lewandowski et al. 2023)."""

import pytest
import torch

from interventions.wasserstein import rank
from tests.interventions.penalised import born, gradients, grown, link, on_weights, shift, weights

IMAGES, VECTORS = "toy:catch", "toy:chain"
ON, EXACT = "--wasserstein-weight=0.01", "--wasserstein-ranks=1"


@pytest.mark.parametrize("env", [IMAGES, VECTORS])
def test_it_is_0_at_birth_and_under_any_permutation_within_a_tensor(env):
    agent = born("dqn", env, ON, EXACT)
    assert on_weights(agent, "wasserstein") == 0
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in agent.parts["q"].net.parameters():
            p.copy_(p.flatten()[torch.randperm(p.numel(), generator=rng)].view(p.shape))
    value = on_weights(agent, "wasserstein")
    assert value == 0
    assert not any(g.any() for g in gradients(agent, value).values())


@pytest.mark.parametrize("form", ["sum", "mean"])
def test_value_and_gradient_are_those_of_the_sorted_difference(form):
    agent = born("dqn", IMAGES, ON, f"--wasserstein-form={form}")
    first, _ = weights(agent), shift(agent)
    value, expected = on_weights(agent, "wasserstein"), torch.zeros(())
    for name, p in agent.parts["q"].net.named_parameters():
        squares = (p.flatten().sort().values - first[name].flatten().sort().values).square()
        expected = expected + 0.01 * (squares.sum() if form == "sum" else squares.mean())
    torch.testing.assert_close(value.detach(), expected.detach())
    grads = gradients(agent, value)
    for name, g in gradients(agent, expected).items():
        torch.testing.assert_close(grads[name], g, atol=1e-7, rtol=1e-5)


def test_each_weight_is_paired_with_the_initial_value_of_its_rank():
    goal = {"w": torch.zeros(2, 2)}
    rank(goal, {"w": torch.tensor([[3.0, -1.0], [0.5, 9.0]])}, {"w": torch.tensor([10.0, 20.0, 30.0, 40.0])})
    assert goal["w"].tolist() == [[30.0, 10.0], [20.0, 40.0]]


@pytest.mark.parametrize("flags", [(), ("--wasserstein-ranks=2",)])
def test_ranks_that_are_kept_bound_the_distance_from_above(flags):
    """By default for ten updates."""
    agent = born("dqn", VECTORS, ON, *flags)
    assert on_weights(agent, "wasserstein") == 0
    shift(agent)
    *stale, exact = (on_weights(agent, "wasserstein").item() for _ in range(2 if flags else 10))
    assert set(stale) == {stale[0]}
    assert stale[0] > exact > 0


@pytest.mark.parametrize("flag", ["move", "keep"])
def test_after_a_reset_the_new_values_are_the_initial_ones_or_the_old_ones_stay(flag):
    flags = (f"--wasserstein-reset={flag}", "--reset-every=5:updates", "--reset-groups=head")
    agent = grown("dqn", VECTORS, ON, *flags, updates=5)
    kept, newborn = link(agent, "wasserstein").state["q"]["sorted"], weights(born("dqn", VECTORS))
    now = weights(agent) if flag == "move" else newborn
    assert torch.equal(kept["head.value.weight"], now["head.value.weight"].flatten().sort().values)
    name = "torso.fc1.writer.weight"
    assert torch.equal(kept[name], newborn[name].flatten().sort().values)


def test_a_temperature_is_no_network():
    agent = born("sac", "toy:reach", ON)
    assert set(link(agent, "wasserstein").state) == {"critic", "actor"}
