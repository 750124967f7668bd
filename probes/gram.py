"""Inner products of the gradients of many numbers, one for each state; what C.7's and the NTK's matrices are made of.

The gradients of 256 states of a Nature DQN take 1.7 GB: they are computed again, in blocks, from graphs that are kept.
No measurement is made here.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from probes.hessian import flat
from replay.batch import Batch

BYTES = 2**28  # of a block of gradients; two are held at a time


def singles(batch: Batch, size: int) -> Iterator[Batch]:
    """The first `size` rows, each as a batch."""
    for i in range(min(size, len(batch.obs))):
        yield batch.pick(slice(i, i + 1))


def gradients(values: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """[n] of numbers with their graphs -> [n, P]."""
    rows = torch.empty(len(values), sum(p.numel() for p in parameters), device=parameters[0].device)
    for row, value in zip(rows, values, strict=True):
        if value.requires_grad:
            grads = torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
            row.copy_(flat(grads))
        else:
            row.zero_()
    return rows


def gram(values: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """<g_i, g_j>, [n, n] float64, of the gradients g_i of n numbers."""
    n, size = len(values), max(1, BYTES // (4 * sum(p.numel() for p in parameters)))
    found = torch.empty(n, n, dtype=torch.float64)
    for i in range(0, n, size):
        mine = gradients(values[i : i + size], parameters)
        for j in range(i, n, size):
            other = mine if j == i else gradients(values[j : j + size], parameters)
            found[i : i + size, j : j + size] = (mine @ other.T).double()
    return found.triu() + found.triu(1).T


def cosines(products: Tensor) -> Tensor:
    """Of the gradients that are not zero, [m, m], m <= n; NaN stays NaN."""
    norms = products.diagonal().sqrt()
    kept = ~(norms == 0)
    norms = norms[kept]
    return products[kept][:, kept] / (norms[:, None] * norms)
