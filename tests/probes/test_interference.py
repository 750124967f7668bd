"""Gradients of states whose directions are known."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.subject import Loss
from probes.interference import Interference, order, summary
from runs import pack
from runs.rng import stream
from tests.laws.members import learn, taken
from tests.probes.constructed import part, states, write

TAGS = {"cosine", "alike", "apart", "effective"}


def measure(p, obs, memory=None):
    """Of a part whose loss is the mean square of its outputs."""
    losses = lambda batch: iter([Loss("q", p.net(batch.obs).square().mean())])
    run = lambda name, batch: p.net(batch.obs)
    seen = SimpleNamespace(parts={"q": p}, run=run, losses=losses, seed=lambda: 0)
    return Interference().measure(seen, states(obs), {} if memory is None else memory)


def unbiased(p):
    p.trainable = [p.net.head.value.weight]
    return p


def linear(weight=1.0):
    p = part(hidden=())
    write(p.net.head.value, weight)
    return unbiased(p)


def test_orthogonal_states_do_not_touch_each_other():
    row = measure(linear(), torch.eye(5))  # the gradient of a state is an outer product with it
    for kind in ("", "loss/"):
        assert {tag: row[kind + tag] for tag in TAGS} == pytest.approx(
            {"cosine": 0, "alike": 0, "apart": 1, "effective": 5}
        )


def test_one_direction_for_all_is_rank_one():
    row = measure(linear(), torch.outer(torch.arange(1.0, 7.0), torch.ones(5)))
    assert {tag: row[f"loss/{tag}"] for tag in TAGS} == pytest.approx(
        {"cosine": 1, "alike": 1, "apart": 0, "effective": 1}, abs=1e-4
    )


def test_two_groups_that_pull_in_opposite_directions():
    row = measure(linear(), torch.cat([torch.eye(5)[:1].expand(2, 5), torch.eye(5)[1:2].expand(2, 5)]))
    # Of 12 ordered pairs 4 are alike, the others apart.
    assert row["loss/cosine"] == pytest.approx(1 / 3)
    assert (row["loss/alike"], row["loss/apart"]) == pytest.approx((1 / 3, 2 / 3))
    assert row["loss/effective"] == pytest.approx(2, rel=1e-4)


def test_the_noise_of_each_state_is_its_own_so_that_signs_cancel():
    p = part(hidden=(32,))
    g = torch.Generator().manual_seed(0)
    row = measure(p, torch.ones(128, 5) + 0.01 * torch.randn(128, 5, generator=g))
    assert abs(row["cosine"]) < 0.1
    assert row["loss/cosine"] > 0.9


def test_the_gradient_of_the_noisy_loss_is_the_noise_times_the_features():
    memory = {}
    measure(linear(), torch.eye(5)[:1].repeat(2, 1), memory)
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(1, 2, generator=g), torch.randn(1, 2, generator=g)
    assert float(memory["noise q"][0, 1]) == pytest.approx(float(torch.cosine_similarity(a, b)), abs=1e-3)


def test_a_state_without_a_gradient_has_no_row():
    p = part(hidden=(4,))
    write(p.net.torso.fc1.writer, torch.eye(5)[:4])
    write(p.net.head.value, 1.0)
    memory = {}
    measure(unbiased(p), torch.cat([torch.eye(5)[:3], -torch.ones(2, 5)]), memory)
    assert memory["loss q"].shape == (3, 3)


def test_a_dead_network_has_no_numbers():
    assert measure(linear(0.0), torch.zeros(4, 5)) == {}


def test_the_size_of_a_gradient_does_not_count():
    obs = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    small, large = measure(linear(), obs), measure(linear(), obs * 100)
    assert large == pytest.approx(small, rel=1e-4)


def test_rows_of_a_cluster_stand_together():
    label = torch.tensor([1, 0, 2, 0, 1, 2, 0, 1, 0, 0])
    matrix = (label[:, None] == label).double()
    sorted_label = label[order(matrix)]
    assert int((sorted_label.diff() != 0).sum()) == 2
    assert sorted_label.tolist()[:5] == [0] * 5  # the largest first
    assert torch.equal(order(matrix), order(matrix))


def test_matrices_stay_in_memory_as_half_precision_and_can_be_saved():
    memory = {}
    measure(part(hidden=(4,)), torch.eye(5), memory)
    assert set(memory) == {"noise q", "loss q"}
    assert all(x.dtype == torch.float16 and x.shape == (5, 5) for x in memory.values())
    assert torch.equal(pack.decode(*pack.encode(memory))["loss q"], memory["loss q"])


def test_a_matrix_that_is_not_finite_has_no_healthy_number():
    row = summary(torch.full((3, 3), math.nan))
    assert set(row) == TAGS and all(math.isnan(x) for x in row.values())
    p = part(hidden=(4,))
    with torch.no_grad():
        p.net.torso.fc1.writer.bias[0] = -math.inf  # a dead unit whose gradient is finite
    assert all(math.isnan(x) for x in measure(p, torch.eye(5)).values())


def test_one_state_is_no_pair():
    assert summary(torch.ones(1, 1)) == summary(torch.ones(0, 0)) == {}


@pytest.mark.parametrize(
    ("name", "env"), [("dqn", "toy:catch"), ("sac", "toy:reach"), ("classifier", "labels:generated")]
)
def test_every_part_with_outputs_has_both_matrices(name, env):
    world, agent = taken(name, env)
    learn(agent, world, 3)
    subject, memory = agent.view(stream(0, "probe")), {}
    Interference().measure(subject, subject.batch(6), memory)
    parts = [n for n, p in subject.parts.items() if p.net.outputs()]
    assert set(memory) == {f"{kind} {n}" for kind in ("noise", "loss") for n in parts}
