"""Lenses of a writer: what they see, what they change, and that they are submodules while the weights stay its own."""

import pytest
import torch
from torch import nn

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.layers import Conv2d, Linear
from nets.vit import Pointwise


class Twice(nn.Module):
    """2 x."""

    def forward(self, x):
        return 2 * x


WRITERS = {
    "linear": (lambda: Linear(3, 4), (2, 3)),
    "conv": (lambda: Conv2d(3, 4, 3, 1, 6, False, "torch"), (2, 3, 6, 6)),
    "padded": (lambda: Conv2d(3, 4, 4, 2, 5, True, "torch"), (2, 3, 5, 5)),
    "pointwise": (lambda: Pointwise(3, 4), (2, 3, 5)),
}


@pytest.fixture(params=list(WRITERS))
def pair(request):
    """A writer and an input of it."""
    make, shape = WRITERS[request.param]
    return make(), torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def units(bias, out):
    """A number per unit in the shape of an output, [U] -> [U, 1, ...]."""
    return bias.view(-1, *[1] * (out.ndim - 2))


def test_a_weight_lens_changes_the_weight_and_not_the_bias(pair):
    writer, x = pair
    plain = writer(x)
    writer.weight_lens = Twice()
    torch.testing.assert_close(writer(x), 2 * plain - units(writer.bias, plain))


def test_an_output_lens_changes_what_is_shown(pair):
    writer, x = pair
    plain = writer(x)
    writer.output_lens = Twice()
    torch.testing.assert_close(writer(x), 2 * plain)


def test_a_lens_leaves_the_parameters_and_their_names(pair):
    writer, _ = pair
    before = dict(writer.named_parameters())
    writer.weight_lens, writer.output_lens = Twice(), Twice()
    after = dict(writer.named_parameters())
    assert before.keys() == after.keys() == {"weight", "bias"}
    assert all(after[name] is p for name, p in before.items())
    assert writer.matrices == (writer.weight,)


def test_gradients_pass_a_weight_lens(pair):
    writer, x = pair
    writer(x).sum().backward()
    plain = writer.weight.grad.clone()
    writer.weight.grad = None
    writer.weight_lens = Twice()
    writer(x).sum().backward()
    torch.testing.assert_close(writer.weight.grad, 2 * plain)


def test_the_state_of_a_lens_is_state_of_the_network():
    net = QNetwork((3,), 2, NetConfig(hidden=(8,)))
    assert not any("lens" in name for name in net.state_dict())
    lens = Twice()
    lens.register_buffer("power", torch.ones(8))
    net.torso.fc1.writer.weight_lens = lens
    assert "torso.fc1.writer.weight_lens.power" in net.state_dict()


def test_a_lens_can_be_taken_off(pair):
    writer, x = pair
    plain = writer(x)
    writer.weight_lens = Twice()
    writer.weight_lens = None
    assert torch.equal(writer(x), plain)
