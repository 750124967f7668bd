"""Scores of units, and the columns an Edge names, by hand."""

import pytest
import torch

from nets.anatomy import Edge, dormancy, record, score
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


def q_network(head="linear"):
    return QNetwork((5,), 2, NetConfig(hidden=(8,)), head)


def test_a_tape_shows_activations_and_features_and_leaves_no_hook_behind():
    net, x = q_network(), torch.eye(5)
    with record(net) as tape:
        net(x)
    torch.testing.assert_close(tape.acts["torso.fc1"], net.features(x))
    torch.testing.assert_close(tape.features, net.features(x)[None])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_tape_keeps_the_first_pass_that_carries_gradients():
    net, x = q_network(), torch.eye(5)
    with record(net) as tape:
        with torch.no_grad():
            net(x + 1)
        net(x)
        net(x + 2)
    torch.testing.assert_close(tape.features[0], net.features(x))
    assert tape.features.requires_grad


def test_streams_that_read_the_same_features_count_once():
    net = q_network("dueling")
    with record(net) as tape:
        net(torch.eye(5))
    assert len(tape.inputs) == 2
    assert tape.features.shape == (1, 5, 8)


def test_a_tape_removes_its_hooks_when_the_block_raises():
    net = q_network()
    with pytest.raises(RuntimeError), record(net):
        net(torch.zeros(1, 4))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
