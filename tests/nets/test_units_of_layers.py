"""Scores of units, and the columns an Edge names, by hand."""

import pytest
import torch

from nets.anatomy import Edge, dormancy, score, watch
from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.layers import Linear


def test_the_score_of_a_unit_is_its_mean_absolute_activation():
    assert score(torch.tensor([[1.0, 0.0], [-3.0, 0.0]]), 2).tolist() == [2, 0]


def test_the_score_of_a_channel_is_over_batch_and_space():
    activation = torch.zeros(2, 2, 2, 2)
    activation[0, 1, 0, 0] = 8
    assert score(activation, 2).tolist() == [0, 1]  # one 8 among 2*2*2 numbers


def test_the_largest_copy_of_a_unit_counts():
    assert score(torch.tensor([[0.0, 1.0, 5.0, 0.0]]), 2).tolist() == [5, 1]


def test_dormancy_is_relative_to_the_mean_of_the_layer():
    assert dormancy(torch.tensor([0.0, 1.0, 3.0])).tolist() == pytest.approx([0, 0.75, 2.25])


def test_dormancy_of_a_dead_layer_is_zero():
    assert dormancy(torch.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("width", "offset", "columns"), [(1, 0, [0, 2]), (1, 8, [8, 10]), (3, 24, [24, 25, 26, 30, 31, 32])]
)
def test_an_edge_names_the_columns_of_its_units(width, offset, columns):
    assert Edge(Linear(48, 1), width, offset).columns(torch.tensor([0, 2])).tolist() == columns


def test_watch_shows_activations_and_leaves_no_hook_behind():
    net, x = QNetwork((5,), 2, NetConfig(hidden=(8,))), torch.eye(5)
    with watch(net.layers()) as seen:
        net(x)
    torch.testing.assert_close(seen["torso.fc1"], net.features(x))
    assert not seen["torso.fc1"].requires_grad
    assert not any(m._forward_hooks for m in net.modules())


def test_watch_removes_its_hooks_when_the_block_raises():
    net = QNetwork((5,), 2, NetConfig(hidden=(8,)))
    with pytest.raises(RuntimeError), watch(net.layers()):
        net(torch.zeros(1, 4))
    assert not any(m._forward_hooks for m in net.modules())
