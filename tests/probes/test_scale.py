"""Norms of features and sizes of outputs, by hand."""

import math

import pytest
import torch

from nets.output import ActionValues, Atoms, Gaussian
from probes.scale import Scale
from tests.probes.constructed import part, states, subject, write

OBS = torch.tensor([[3.0, 4, 0, 0, 0], [0.0, 0, 5, 12, 0]])


def measure(**parts):
    return Scale().measure(subject(**parts), states(OBS), {})


def copying(output=None):
    """Features are the state itself; outputs are (x_0 - 1, x_3)."""
    p = part(hidden=(5,))
    write(p.net.torso.fc1.writer, torch.eye(5))
    write(p.net.head.value, torch.eye(5)[[0, 3]], [-1.0, 0.0])
    p.output = output or ActionValues()
    return p


def test_the_mean_norm_of_features_and_the_sizes_of_values():
    row = measure(q=copying())  # outputs (2, 0) and (-1, 12)
    assert row.pop("features") == pytest.approx((5 + 13) / 2)
    assert row.pop("output/std") == pytest.approx(math.sqrt((4 + 0 + 1 + 144) / 4 - (13 / 4) ** 2))
    assert row == {"output": pytest.approx(15 / 4), "output/max": 12}


def test_values_of_a_distribution_are_its_means():
    p = copying(Atoms(torch.tensor([-10.0, 10.0])))
    source = subject(q=p)
    source.run = lambda name, batch: p.net(batch.obs).reshape(2, 1, 2) * 0 + torch.tensor([0.0, math.log(3.0)])
    row = Scale().measure(source, states(OBS), {})
    assert row["output"] == row["output/max"] == pytest.approx(5)  # a quarter at -10, three at 10
    assert row["output/std"] == pytest.approx(0, abs=1e-6)
    assert row["logits"] == pytest.approx(math.log(3) / 2)


def test_of_a_gaussian_the_mean_counts():
    assert measure(q=copying(Gaussian()))["output/max"] == 2
    assert "logits" not in measure(q=copying(Gaussian()))


def test_what_has_no_output_to_compare_has_no_scale():
    p = copying()
    p.output = None
    assert measure(q=p) == {}


def test_several_parts_carry_their_names():
    assert measure(a=copying(), b=copying())["features/b"] == pytest.approx(9)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.bias"])
def test_a_spoilt_weight_never_reads_healthy(place, value):
    p = copying()
    with torch.no_grad():
        dict(p.net.named_parameters())[place].view(-1)[0] = value
    row = measure(q=p)
    assert len(row) == 4
    assert all(math.isnan(x) for x in row.values())
