"""Health of the optimizer: of small agents, against one real update of theirs."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch

from probes.optimizer import Optimizer, health, step_sizes
from tests.interventions.small import VECTORS, agent
from tests.probes.constructed import part, write


def measure(learner):
    return Optimizer().measure(learner.view(np.random.default_rng(0)), None, {})


def stepped(grads, bias=0.0, times=1, **flags):
    """A part after `times` equal steps on these gradients of its head [2, 2]; every other gradient is `bias`."""
    p = part(hidden=(2,))
    write(p.net.torso.fc1.writer, 1.0)
    write(p.net.head.value, [[3.0, 0.0], [0.0, 4.0]])
    p.opt.param_groups[0].update(flags)
    before = p.weights()
    for x in p.net.parameters():
        x.grad = torch.full_like(x, bias)
    p.net.head.value.weight.grad = torch.tensor(grads)
    for _ in range(times):
        p.opt.step()
    return p, before


def test_the_rate_of_a_matrix_is_its_step_over_its_norm():
    p, before = stepped([[1.0, 1.0], [1.0, 1.0]], lr=0.01, eps=0.0)  # Adam's first step: lr everywhere
    row = step_sizes(p, before)
    assert row["rate/head.value"] == pytest.approx(0.01 * 2 / 5, rel=1e-4)


def test_rms_of_the_step_and_the_angle_by_hand():
    p = part(hidden=(2,))
    write(p.net.torso.fc1.writer, 1.0)  # norm sqrt(10)
    write(p.net.head.value, [[3.0, 0.0], [0.0, 4.0]])  # norm 5
    before = p.weights()
    with torch.no_grad():
        p.net.head.value.weight += torch.tensor([[0.3, 0.5], [0.0, 0.4]])  # .5 along the weights, .5 across
    row = step_sizes(p, before)
    assert row["rate/head.value"] == pytest.approx(math.sqrt(0.5) / 5, rel=1e-5)
    assert row["rate"] == pytest.approx(math.sqrt(0.5) / 5 / 2, rel=1e-5)  # the other matrix stands
    assert row["angle"] == pytest.approx(0.5 / 5 / 2, rel=1e-5)
    assert row["update"] == pytest.approx(math.sqrt(0.5 / 18), rel=1e-5)


def test_a_matrix_of_zeros_has_no_rate():
    p = part(hidden=(2,))
    write(p.net.head.value, 0.0)
    assert "rate/head.value" not in step_sizes(p, p.weights())


def test_after_one_step_the_second_moment_is_fresh():
    p, _ = stepped([[1.0, -2.0], [3.0, 4.0]], bias=1.0, eps=1e-8)
    row = health(p)
    assert (row["r_v"], row["rms_t"], row["step"]) == pytest.approx((1, 1, 1), rel=1e-4)
    assert row["below_eps"] == 0


def test_a_gradient_that_grew_tenfold_is_seen():
    p, _ = stepped([[1.0, 1.0], [1.0, 1.0]], bias=1.0, times=200, betas=(0.9, 0.99), eps=1e-8)
    for x in p.net.parameters():
        x.grad.mul_(10)
    p.opt.step()
    v = (0.99 * (1 - 0.99**200) + 0.01 * 100) / (1 - 0.99**201)
    assert health(p)["r_v"] == pytest.approx(100 / v, rel=1e-3)
    assert health(p)["rms_t"] == pytest.approx(math.sqrt(100 / v), rel=1e-3)


def test_the_largest_tensor_is_found_and_stale_entries_count():
    p, _ = stepped([[1.0, 1.0], [1.0, 1.0]], bias=1.0, times=100, betas=(0.9, 0.99), eps=1e-8)
    with torch.no_grad():
        p.opt.state[p.net.head.value.weight]["exp_avg_sq"][0, 0] *= 1e-4
    row = health(p)
    assert row["rms_t"] == row["rms_t/head.value"] == pytest.approx(math.sqrt((1e4 + 3) / 4), rel=1e-3)
    assert row["rms_t/torso.fc1"] == pytest.approx(1, rel=1e-3)
    assert row["r_v"] == pytest.approx(18 / 17, rel=1e-3)  # a ratio of means hardly sees one entry


def test_entries_below_eps_and_their_floor():
    p, _ = stepped([[1e-3, 1e-3], [1.0, 1.0]], bias=1.0, eps=1e-2)
    row = health(p)
    assert row["below_eps"] == pytest.approx(2 / 18)
    assert row["rms_t/head.value"] == pytest.approx(math.sqrt((2 * 0.01 + 2) / 4), rel=1e-3)  # (1e-3 / 1e-2)^2


def test_a_second_moment_of_zero_has_no_ratio():
    p, _ = stepped([[0.0, 0.0], [0.0, 0.0]])
    assert "r_v" not in health(p)


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--optimizer=adamw", "--weight-decay=0.1"],
        ["--optimizer=adamw", "--adam-step=elements", "--clip-update=1"],
        ["--adam-step=elements"],
        ["--clip=0.001"],
        ["--optimizer=rmsprop"],
        ["--optimizer=sgd"],
        ["--optimizer=trac"],
        ["--optimizer=adam_upgd"],
    ],
)
def test_the_step_is_that_of_an_update(flags):
    learner = agent(VECTORS, *flags)
    twin = deepcopy(learner.parts["q"])
    row = measure(learner)
    batch = learner.view(np.random.default_rng(0)).batch()
    for loss in learner.losses(batch, None):
        learner.step(loss, loss.value, batch)
    (before, after), path = (twin.weights(), learner.parts["q"].weights()), "torso.fc1.writer.weight"
    rate = (after[path] - before[path]).norm() / before[path].norm()
    assert row["rate/torso.fc1"] == pytest.approx(float(rate), rel=1e-4)


@pytest.mark.parametrize(("name", "kept"), [("adam", True), ("adamw", True), ("sgd", False), ("rmsprop", False)])
def test_moments_are_read_where_there_are_both(name, kept):
    row = measure(agent(VECTORS, f"--optimizer={name}"))
    assert {"update", "rate", "angle"} < set(row)
    assert ({"step", "below_eps", "r_v", "rms_t"} <= set(row)) == kept
    assert all(math.isfinite(x) for x in row.values())


def test_the_scale_of_trac_is_that_of_its_update_and_begins_at_a_ten_millionth():
    learner, scales = agent(VECTORS, "--optimizer=trac", "--lr=3e-3", updates=0), []
    for _ in range(30):
        scales.append(measure(learner)["scale"])
        batch = learner.view(np.random.default_rng(0)).batch()
        for loss in learner.losses(batch, None):
            learner.step(loss, loss.value, batch)
        every = [slot["tuner"][0].sum().item() for slot in learner.parts["q"].opt.state.values()]
        assert every == pytest.approx([scales[-1]] * len(every), rel=1e-4)
    assert scales[0] == pytest.approx(1e-7, rel=0.1)
    assert scales[-1] > 100 * scales[0]


def test_without_a_tuner_there_is_no_scale():
    assert "scale" not in measure(agent(VECTORS))


def test_both_ways_of_counting_steps_read_alike():
    whole, elements = (measure(agent(VECTORS, f"--adam-step={step}")) for step in ("tensor", "elements"))
    assert whole == pytest.approx(elements, rel=1e-3)


def test_a_newborn_agent_can_be_read():
    row = measure(agent(VECTORS, updates=0))
    assert (row["r_v"], row["step"]) == (pytest.approx(1, rel=1e-3), pytest.approx(1, abs=0.9))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.bias"])
def test_a_spoilt_weight_never_reads_healthy(place, value):
    learner = agent(VECTORS)
    with torch.no_grad():
        dict(learner.parts["q"].net.named_parameters())[place].view(-1)[0] = value
    row = measure(learner)
    assert set(row) == {"update", "rate", "angle"}
    assert all(math.isnan(x) for x in row.values())
