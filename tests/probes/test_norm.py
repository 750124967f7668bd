"""Parameter norms, by hand."""

import math

import pytest
import torch

from probes.norm import Norm
from runs.pack import digest
from tests.probes.constructed import part, states, subject, write


def measure(memory=None, **parts):
    return Norm().measure(subject(**parts), states(torch.eye(5)), {} if memory is None else memory)


def matrices(row):
    return set(row) - {"", "rms", "distance", "change"}


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
    assert matrices(row) == {"torso.fc1", "head.value"}


def test_kernels_are_matrices_and_gains_are_not():
    row = measure(q=part((4, 44, 44), width=0.25, hidden=(8,), norm="layer"))
    assert matrices(row) == {"encoder.conv1", "encoder.conv2", "encoder.conv3", "torso.fc1", "head.value"}


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
    p, memory = small(), {}
    measure(memory, q=p)
    with torch.no_grad():
        p.net.torso.fc1.writer.bias[0] = value
    row = measure(memory, q=p)
    assert not any(math.isfinite(row[kind]) for kind in ("", "rms", "distance", "change"))


def test_the_rms_divides_by_the_root_of_all_sizes():
    assert measure(q=small())["rms"] == pytest.approx(math.sqrt((90 + 2 + 16 + 0.5) / 18))


def test_the_distance_is_from_the_first_draw():
    p = part(hidden=(2,))
    assert measure(q=p)["distance"] == 0
    with torch.no_grad():
        p.net.torso.fc1.writer.weight[0, :3] += torch.tensor([2.0, -1.0, 2.0])
    assert measure(q=p)["distance"] == pytest.approx(3)


def test_a_reset_is_far_from_birth_and_the_origin_stays():
    p, memory = part(hidden=(8,)), {}
    p.redraw(lambda: 7)
    far = measure(memory, q=p)["distance"]
    assert far > 0.5
    p.redraw(lambda: p.birth)
    row = measure(memory, q=p)
    assert row["distance"] == 0
    assert row["change"] > 0.1


def test_the_change_is_relative_to_the_measurement_before():
    p, memory = small(), {}
    first = measure(memory, q=p)
    assert "change" not in first
    assert measure(memory, q=p)["change"] == 0
    with torch.no_grad():
        p.net.torso.fc1.writer.bias += torch.tensor([3.0, 4.0])
    assert measure(memory, q=p)["change"] == pytest.approx(5 / first[""])
    assert measure(memory, q=p)["change"] == 0


def test_what_is_remembered_is_a_copy_that_can_be_saved():
    p, memory = small(), {}
    measure(memory, q=p)
    digest(memory)
    assert {x.data_ptr() for x in memory["q"].values()}.isdisjoint(x.data_ptr() for x in p.net.parameters())
    assert not {path for path in memory["q"] if "/" in path}


def test_each_of_several_parts_has_its_own():
    actor, critic, memory = small(), part(hidden=(2,)), {}
    measure(memory, actor=actor, critic=critic)
    with torch.no_grad():
        critic.net.head.value.bias += torch.tensor([0.6, 0.8])
    row = measure(memory, actor=actor, critic=critic)
    assert (row["change/actor"], row["distance/critic"]) == (0, pytest.approx(1))
    assert row["distance"] == pytest.approx(math.hypot(row["distance/actor"], 1))


def test_the_change_of_a_part_of_zeros_is_absent():
    p, memory = part(hidden=(2,)), {}
    write(p.net.torso.fc1.writer, 0.0)
    write(p.net.head.value, 0.0)
    measure(memory, q=p)
    assert "change" not in measure(memory, q=p)


def test_sums_do_not_lose_small_weights():
    p = part(hidden=(1000,))
    write(p.net.torso.fc1.writer, 1e-4)
    write(p.net.head.value, 0.0)
    with torch.no_grad():
        p.net.torso.fc1.writer.weight[0, 0] = 1.0
    assert measure(q=p)[""] ** 2 - 1 == pytest.approx(4999 * 1e-8, rel=1e-6)
