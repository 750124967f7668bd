"""Heads and the Q-network around them."""

import pytest
import torch

from nets.encoders import NetConfig
from nets.heads import DuelingHead, LinearHead, QNetwork
from nets.noisy import NoisyLinear, noise

SMALL = NetConfig(width=0.25, hidden=(8,))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(size=2, seed=0):
    return torch.randint(256, (size, 4, 44, 44), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_dueling_does_not_see_a_constant_added_to_the_advantages():
    head, x = DuelingHead(8, 3, "torch"), normal(4, 8)
    before = head(x)
    with torch.no_grad():
        head.advantage.bias.add_(7)
    torch.testing.assert_close(head(x), before)


def test_the_mean_of_a_dueling_head_over_actions_is_the_value():
    head, x = DuelingHead(8, 3, "torch"), normal(4, 8)
    torch.testing.assert_close(head(x).mean(1, keepdim=True), head.value(x))


def test_a_dueling_head_by_hand():
    head = DuelingHead(1, 2, "torch")
    with torch.no_grad():
        for p, value in zip(head.parameters(), ([[2.0]], [1.0], [[3.0], [5.0]], [0.0, 0.0]), strict=True):
            p.copy_(torch.tensor(value))
    assert head(torch.ones(1, 1)).tolist() == [[3 + 3 - 4, 3 + 5 - 4]]


@pytest.mark.parametrize(("kind", "readers"), [(LinearHead, ["value"]), (DuelingHead, ["value", "advantage"])])
def test_readers_are_the_layers_that_see_the_features(kind, readers):
    head = kind(8, 3, "torch")
    assert head.readers() == [getattr(head, name) for name in readers]


def test_pixels_are_scaled_by_255():
    net, obs = QNetwork((4, 44, 44), 3, SMALL), images()
    torch.testing.assert_close(net(obs), net.head(net.torso(net.encoder(obs.float() / 255).flatten(1))))


def test_observations_are_left_as_they_were():
    net, obs = QNetwork((4, 44, 44), 3, SMALL), images()
    before = obs.clone()
    net(obs)
    assert torch.equal(obs, before)


def test_each_sample_of_a_batch_is_answered_alone():
    net, obs = QNetwork((4, 44, 44), 3, NetConfig(width=0.25, hidden=(8,), norm="layer")), images(5)
    torch.testing.assert_close(net(obs)[3:4], net(obs[3:4]))


@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_layers_come_in_the_order_of_the_forward_pass_and_end_before_the_head(head):
    net = QNetwork((4, 44, 44), 3, NetConfig(width=0.25, hidden=(8, 8)), head)
    names = [f"encoder.conv{i}" for i in (1, 2, 3)] + ["torso.fc1", "torso.fc2"]
    assert [layer.name for layer in net.layers()] == names
    assert [e.reader for e in net.layers()[-1].edges] == net.head.readers()


def test_a_vector_goes_straight_to_the_torso():
    net = QNetwork((5,), 2, SMALL)
    assert net.encoder is None
    assert [layer.name for layer in net.layers()] == ["torso.fc1"]


def test_without_a_torso_the_head_reads_the_convolutions_or_the_observation():
    bare = NetConfig(width=0.25, hidden=())
    (edge,) = QNetwork((4, 44, 44), 3, bare).layers()[-1].edges
    assert (edge.width, edge.reader.in_features) == (4, 16 * 4)  # 44 -> 10 -> 4 -> 2: 2x2 positions
    assert QNetwork((5,), 2, bare).layers() == []


def test_padding_of_convolutions_is_refused_where_there_are_none():
    with pytest.raises(ValueError, match="padding same is for convolutions"):
        QNetwork((5,), 2, NetConfig(padding="same"))


@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_atoms_are_an_axis_of_their_own(head):
    net = QNetwork((5,), 2, SMALL, head, atoms=7)
    assert net(normal(4, 5)).shape == (4, 2, 7)
    assert [w.matrices[0].shape[0] for w in net.outputs()] == {"linear": [14], "dueling": [7, 14]}[head]


def test_logits_of_an_action_are_neighbouring_rows():
    head, x = LinearHead(8, 2, "torch", atoms=3), normal(4, 8)
    torch.testing.assert_close(head(x)[:, 1], x @ head.value.weight[3:].T + head.value.bias[3:])


def test_dueling_is_combined_on_logits_per_atom():
    """V = (1, 2), A = (3, 4) and (5, 8): the means over actions are 4 and 6."""
    head = DuelingHead(1, 2, "torch", atoms=2)
    with torch.no_grad():
        for p in head.parameters():
            p.zero_()
        head.value.bias.copy_(torch.tensor([1.0, 2.0]))
        head.advantage.bias.copy_(torch.tensor([3.0, 4.0, 5.0, 8.0]))
    assert head(torch.ones(1, 1)).tolist() == [[[1 + 3 - 4, 2 + 4 - 6], [1 + 5 - 4, 2 + 8 - 6]]]


def test_dueling_with_atoms_does_not_see_a_constant_added_to_an_atoms_advantages():
    head, x = DuelingHead(8, 3, "torch", atoms=4), normal(4, 8)
    before = head(x)
    with torch.no_grad():
        head.advantage.bias.view(3, 4)[:, 2].add_(7)
    torch.testing.assert_close(head(x), before)


def test_float_images_are_taken_as_they_are():
    net, obs = QNetwork((4, 44, 44), 3, SMALL), images()
    torch.testing.assert_close(net(obs.float() / 255), net(obs))


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("atoms", [0, 7])
def test_noise_is_in_torso_and_head_where_it_is_asked_for(head, atoms):
    net = QNetwork((4, 44, 44), 3, SMALL, head, atoms, noisy=0.5)
    loud = [name for name, m in net.named_modules() if isinstance(m, NoisyLinear)]
    assert loud == ["torso.fc1.writer", *[f"head.{n}" for n in ("value", "advantage")[: 1 + (head == "dueling")]]]
    with noise(net, torch.Generator().manual_seed(0)):
        assert net(images()).shape == (2, 3, 7)[: 2 + bool(atoms)]


def test_a_noisy_dueling_head_does_not_see_a_constant_added_to_the_advantages():
    head, x = DuelingHead(8, 3, "torch", atoms=4, noisy=0.5), normal(4, 8)
    with noise(head, torch.Generator().manual_seed(0)):
        before = head(x)
        with torch.no_grad():
            head.advantage.bias.add_(7)
        torch.testing.assert_close(head(x), before)


def test_the_mean_of_dueling_quantiles_is_a_dueling_of_means():
    head, x = DuelingHead(8, 3, "torch", atoms=5), normal(4, 8)
    value, advantage = head.value(x).mean(1, keepdim=True), head.advantage(x).view(4, 3, 5).mean(2)
    torch.testing.assert_close(head(x).mean(2), value + advantage - advantage.mean(1, keepdim=True))
