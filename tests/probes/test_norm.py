"""Parameter norms, by hand."""

import math

import pytest
import torch

from probes.norm import Norm
from tests.probes.constructed import part, states, subject, write


def measure(**parts):
    return Norm().measure(subject(**parts), states(torch.eye(5)), {})


def small():
    p = part(hidden=(2,))
    write(p.net.torso.fc1.writer, 3.0, 1.0)  # [2, 5] of 3, two biases of 1
    write(p.net.head.value, -2.0, 0.5)  # [2, 2] of -2, two biases of .5
    return p


def test_the_norm_of_everything_and_of_each_matrix():
    row = measure(q=small())
    assert row[""] == pytest.approx(math.sqrt(10 * 9 + 2 * 1 + 4 * 4 + 2 * 0.25))
    assert row["torso.fc1"] == pytest.approx(math.sqrt(90))
    assert row["head.value"] == pytest.approx(4)
    assert set(row) == {"", "torso.fc1", "head.value"}


def test_kernels_are_matrices_and_gains_are_not():
    row = measure(q=part((4, 44, 44), width=0.25, hidden=(8,), norm="layer"))
    assert set(row) == {"", "encoder.conv1", "encoder.conv2", "encoder.conv3", "torso.fc1", "head.value"}


def test_both_streams_of_a_dueling_head_have_their_norm():
    assert {"head.value", "head.advantage"} < set(measure(q=part(hidden=(2,), head="dueling")))


def test_several_parts_carry_their_names_and_share_a_total():
    row = measure(actor=small(), critic=small())
    one = math.sqrt(90 + 2 + 16 + 0.5)
    assert row[""] == pytest.approx(math.sqrt(2) * one)
    assert row["actor.torso.fc1"] == row["critic.torso.fc1"] == pytest.approx(math.sqrt(90))


def test_the_slow_copy_does_not_count():
    p = small()
    before = measure(q=p)
    p.target = part(hidden=(2,)).net
    assert measure(q=p) == before


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_spoilt_weight_never_reads_healthy(value):
    p = small()
    with torch.no_grad():
        p.net.torso.fc1.writer.bias[0] = value
    assert not math.isfinite(measure(q=p)[""])


def test_sums_do_not_lose_small_weights():
    p = part(hidden=(1000,))
    write(p.net.torso.fc1.writer, 1e-4)
    write(p.net.head.value, 0.0)
    with torch.no_grad():
        p.net.torso.fc1.writer.weight[0, 0] = 1.0
    assert measure(q=p)[""] ** 2 - 1 == pytest.approx(4999 * 1e-8, rel=1e-6)
