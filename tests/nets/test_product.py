"""A product as a convolution: the same numbers, gradients of every order and transforms; small ones are untouched."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import vmap
from torch.utils.flop_counter import FlopCounterMode

from nets import product

SIZES = [(128, 256, 256), (256, 200, 170), (512, 17, 1024)]


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """Whatever this CPU is."""
    monkeypatch.setattr(product, "favoured", lambda: True)


def drawn(rows, inputs, units):
    rng = torch.Generator().manual_seed(0)
    shapes = ((rows, inputs), (units, inputs), (units,))
    return [torch.randn(shape, generator=rng).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_and_gradients_are_those_of_the_plain_product(size):
    leaves = drawn(*size)
    assert product.suits(*leaves[:2])
    ours, plain = product.linear(*leaves), F.linear(*leaves)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)
    upstream = torch.randn_like(plain)
    mine, theirs = (torch.autograd.grad(out, leaves, upstream) for out in (ours, plain))
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-3)
    assert ours.is_contiguous()


def test_gradients_of_gradients_are_those_of_the_plain_product():
    leaves, rows = drawn(128, 256, 256), []
    for linear in (product.linear, F.linear):
        (grad,) = torch.autograd.grad(linear(*leaves).square().mean(), leaves[0], create_graph=True)
        rows.append(torch.autograd.grad(grad.square().sum(), leaves[1])[0])
    torch.testing.assert_close(*rows, rtol=1e-4, atol=1e-6)


def test_it_maps_over_many_weights_and_its_multiplications_are_counted():
    x, weight, bias = (leaf.detach() for leaf in drawn(128, 256, 256))
    weights = torch.stack([weight, 2 * weight])
    out = vmap(product.linear, (None, 0, None))(x, weights, bias)
    torch.testing.assert_close(out[1], F.linear(x, 2 * weight, bias), rtol=1e-5, atol=1e-4)
    with FlopCounterMode(display=False) as counter:
        product.linear(x, weight, bias)
    assert counter.get_total_flops() == 2 * 128 * 256 * 256


def test_the_same_product_has_the_same_bits():
    x, weight, bias = drawn(256, 256, 256)
    assert torch.equal(product.linear(x, weight, bias), product.linear(x.clone(), weight.clone(), bias))


@pytest.mark.parametrize("size", [(256, 23, 256), (32, 3136, 512), (136, 256, 256), (16, 8, 8), (1, 256, 256)])
def test_what_would_not_gain_is_the_plain_product_to_the_last_bit(size):
    leaves = drawn(*size)
    assert not product.suits(*leaves[:2])
    assert torch.equal(product.linear(*leaves), F.linear(*leaves))


def test_a_cpu_that_does_not_gain_is_left_alone(monkeypatch):
    monkeypatch.setattr(product, "favoured", lambda: False)
    leaves = drawn(*SIZES[0])
    assert torch.equal(product.linear(*leaves), F.linear(*leaves))
