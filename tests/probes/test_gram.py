"""Inner products of gradients that are known."""

import math

import pytest
import torch

from probes import gram as file
from probes.gram import cosines, gradients, gram, singles
from tests.probes.constructed import part, states


def test_products_by_hand():
    w = torch.zeros(2, requires_grad=True)
    values = [w[0], 2 * w[1], w[0] + w[1], w.detach()[0]]  # (1, 0), (0, 2), (1, 1), nothing
    expected = [[1, 0, 1, 0], [0, 4, 2, 0], [1, 2, 2, 0], [0, 0, 0, 0]]
    assert gram(values, [w]).tolist() == expected
    root = math.sqrt(0.5)
    assert cosines(gram(values, [w])).flatten().tolist() == pytest.approx([1, 0, root, 0, 1, root, root, root, 1])


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_blocks_of_any_size_give_the_same(rows, monkeypatch):
    p = part(hidden=(6,))
    values = [
        p.net(one.obs).sum()
        for one in singles(states(torch.randn(7, 5, generator=torch.Generator().manual_seed(0))), 99)
    ]
    j = gradients(values, p.trainable)
    monkeypatch.setattr(file, "BYTES", rows * 4 * j.shape[1])
    torch.testing.assert_close(gram(values, p.trainable), (j @ j.T).double(), rtol=1e-5, atol=1e-5)


def test_a_row_is_the_gradient_of_one_state():
    p, batch = part(hidden=(6,)), states(torch.eye(5))
    values = [p.net(one.obs).sum() for one in singles(batch, 2)]
    rows = gradients(values, p.trainable)
    whole = torch.cat([g.flatten() for g in torch.autograd.grad(p.net(batch.obs[:2]).sum(), p.trainable)])
    assert len(values) == 2
    torch.testing.assert_close(rows.sum(0), whole)
