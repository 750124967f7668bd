"""Law 6: the promises of Parseval regularisation (Chung et al. 2024)."""

import pytest
import torch

from interventions.parseval import away, hidden
from tests.interventions.penalised import born, gradients, grown, on_weights, shift
from tests.laws.members import taken

IMAGES, VECTORS = "toy:catch", "toy:chain"
ON = "--parseval-weight=0.01"


def orthogonal(rows, columns, gain):
    w = torch.empty(rows, columns)
    rng = torch.Generator().manual_seed(0)
    return torch.nn.init.orthogonal_(w, gain, generator=rng)


@pytest.mark.parametrize("shape", [(8, 8), (4, 8), (8, 4)])
def test_it_is_0_for_an_orthogonal_matrix_of_the_gain_whose_square_is_s(shape):
    value, slope = away(orthogonal(*shape, 2**0.5), 2.0)
    assert value < 1e-8
    assert slope.abs().max() < 1e-3
    assert away(orthogonal(*shape, 1.0), 1.0)[0] < 1e-8
    assert away(orthogonal(*shape, 1.0), 2.0)[0] > 1


def test_two_equal_rows_cost_what_is_worked_by_hand():
    """W = [[1, 0], [1, 0]], s = 1: W W^T - I = [[0, 1], [1, 0]], squared norm 2, times (64/2)^2."""
    value, slope = away(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 1.0)
    assert value == 2 * 32**2
    assert slope.tolist() == [[4 * 32**2, 0.0], [4 * 32**2, 0.0]]


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (4, 2, 3, 3)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_gradient_is_that_of_the_norm(shape, blocks):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value, slope = away(w.detach(), 2.0, blocks)
    norm = torch.zeros(())
    for rows in w.flatten(1).chunk(blocks):
        gram = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
        norm = norm + (64 / shape[0]) ** 2 * (gram - 2 * torch.eye(len(gram))).square().sum()
    torch.testing.assert_close(value, norm.detach())
    torch.testing.assert_close(slope, torch.autograd.grad(norm, w)[0], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("name", "env"), [("dqn", IMAGES), ("sac", "toy:reach"), ("classifier", "labels:generated")])
def test_every_hidden_matrix_is_reached_and_no_other_parameter(name, env):
    agent = born(name, env, ON, "--init=torch")
    for which, part in agent.parts.items():
        mine = {path for path, writer in part.net.writers().items() if writer in set(hidden(part.net))}
        assert not {path for path in mine if "head" in path.split(".")}
        grads = gradients(agent, on_weights(agent, "parseval", which), which)
        assert {path for path, g in grads.items() if g.any()} == {f"{path}.weight" for path in mine}


def test_an_orthogonal_network_of_the_default_gain_is_nearly_free():
    free, other = (born("sac", "toy:reach", ON, f"--init={init}") for init in ("orthogonal", "torch"))
    assert on_weights(free, "parseval", "critic") < 1e-6
    assert on_weights(other, "parseval", "critic") > 0.1


@pytest.mark.parametrize("kept", [1, 2, 10])
def test_value_and_slope_are_kept_for_as_many_updates(kept):
    """10 by default."""
    agent = born("dqn", IMAGES, ON, *([] if kept == 10 else [f"--parseval-kept={kept}"]))
    first = on_weights(agent, "parseval")
    shift(agent)
    values = [on_weights(agent, "parseval") for _ in range(kept)]
    assert [value == first for value in values] == [True] * (kept - 1) + [False]
    exact = torch.stack([away(w.matrices[0], 2.0)[0] for w in hidden(agent.parts["q"].net)]).sum()
    torch.testing.assert_close(values[-1], 0.01 * exact)
    old, new = gradients(agent, first), gradients(agent, values[-1])
    (writer,) = (w for name, w in agent.parts["q"].net.writers().items() if name.endswith("fc1.writer"))
    torch.testing.assert_close(new["torso.fc1.writer.weight"], 0.01 * away(writer.matrices[0], 2.0)[1])
    assert not torch.equal(new["torso.fc1.writer.weight"], old["torso.fc1.writer.weight"])


def test_after_a_reset_the_slope_is_computed_anew():
    agent = grown("dqn", VECTORS, ON, "--reset-every=3:updates", updates=3)
    exact = torch.stack([away(w.matrices[0], 2.0)[0] for w in hidden(agent.parts["q"].net)]).sum()
    torch.testing.assert_close(on_weights(agent, "parseval"), 0.01 * exact)


@pytest.mark.parametrize("env", [IMAGES, VECTORS])
def test_a_diagonal_changes_no_output_at_birth_and_is_learned(env):
    plain, agent = born("dqn", env), born("dqn", env, ON, "--parseval-diagonal")
    x = torch.ones((2, *agent.spec.observation.shape))
    assert torch.equal(plain.parts["q"].net(x), agent.parts["q"].net(x))
    older = grown("dqn", env, ON, "--parseval-diagonal")
    factors = {n: p for n, p in older.parts["q"].net.named_parameters() if n.endswith("output_lens.weight")}
    assert len(factors) == len(hidden(older.parts["q"].net))
    assert all((p != 1).any() for p in factors.values())


def test_blocks_that_do_not_divide_the_units_are_refused():
    assert taken("dqn", VECTORS, ON, "--parseval-blocks=2") is not None
    assert taken("dqn", VECTORS, ON, "--parseval-blocks=7") is None


def test_a_network_without_a_hidden_matrix_is_refused():
    assert taken("dqn", VECTORS, ON, "--hidden") is None
