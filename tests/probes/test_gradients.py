"""Gradient norms, by hand."""

import math

import pytest
import torch

from nets.subject import Loss
from probes.gradients import Gradients
from tests.probes.constructed import part, states, subject, write

OBS = torch.tensor([[3.0, 4, 0, 0, 0]])


def measure(scale=1.0, **parts):
    source = subject(**parts)
    source.batch = lambda size=0: states(OBS)
    source.losses = lambda batch: (Loss(name, scale * p.net(batch.obs)[:, 0].mean()) for name, p in parts.items())
    return Gradients().measure(source, None, {})


def two():
    """Units that show 7 and 0; the first output is 2 h_0 + 1 h_1."""
    p = part(hidden=(2,))
    write(p.net.torso.fc1.writer, [[1.0] * 5, [-1.0] * 5])
    write(p.net.head.value, [[2.0, 1.0], [5.0, 5.0]])
    return p


def test_norms_of_each_matrix_and_of_all():
    row = measure(q=two())  # d/dW1 = 2 x for unit 0 and 0 for the dead one; d/dW2 = (7, 0); biases 2 and 1
    assert (row["l2/torso.fc1"], row["l1/torso.fc1"], row["tiny/torso.fc1"]) == (10, 14, pytest.approx(8 / 10))
    assert (row["l2/head.value"], row["l1/head.value"], row["tiny/head.value"]) == (7, 7, 3 / 4)
    assert row["l2"] == pytest.approx(math.sqrt(100 + 49 + 4 + 1))
    assert row["l1"] == 14 + 7 + 2 + 1
    assert row["tiny"] == pytest.approx((8 + 3 + 1 + 1) / 18)


def test_what_is_tiny_depends_on_the_scale_of_the_loss():
    assert measure(1e-9, q=two())["tiny/head.value"] == 1
    assert measure(1e-8, q=two())["tiny/head.value"] == 3 / 4


def test_no_gradient_is_left_behind():
    p = two()
    measure(q=p)
    assert all(x.grad is None for x in p.net.parameters()) or all(not x.grad.any() for x in p.trainable)


def test_a_frozen_weight_has_no_gradient():
    p = two()
    p.net.torso.fc1.writer.weight.requires_grad_(False)
    assert "l2/torso.fc1" not in measure(q=p)


def test_several_parts_carry_their_names():
    row = measure(actor=two(), critic=two())
    assert row["l1/actor"] == row["l1/critic"] == 24
    assert row["l2/actor.torso.fc1"] == 10


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.bias"])
def test_a_spoilt_weight_never_reads_healthy(place, value):
    p = two()
    with torch.no_grad():
        dict(p.net.named_parameters())[place].view(-1)[0] = value
    row = measure(q=p)
    assert len(row) == 9
    assert all(math.isnan(x) for x in row.values())
