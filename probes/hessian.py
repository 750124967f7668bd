"""Products with a Hessian and its extreme eigenvalues, without the Hessian (Pearlmutter 1994; Lanczos 1950).

A product is a double backward pass. Lanczos with full re-orthogonalisation finds the ends of a spectrum from a few
products; what lies inside is not resolved. No measurement is made here.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]  # v [P] -> H v [P]
LOST = 1e-5  # of the largest number so far: what is left of a direction after that is rounding


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """As one vector [P]."""
    return torch.cat([x.reshape(-1) for x in tensors])


def product(value: Tensor, parameters: Sequence[Tensor]) -> Product:
    """v -> H v, H of a loss []; its graph is kept. A loss that is linear in the parameters has H = 0."""
    slope = flat(torch.autograd.grad(value, parameters, create_graph=True, materialize_grads=True))
    if not slope.requires_grad:
        return torch.zeros_like
    return lambda v: flat(torch.autograd.grad(slope, parameters, v, retain_graph=True, materialize_grads=True))


def ritz(times: Product, start: Tensor, steps: int) -> Tensor:
    """Up to `steps` Ritz values of a symmetric matrix, rising, float64; [NaN] where a product is not finite."""
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        w = times(basis[-1])
        diagonal.append(float(w @ basis[-1]))
        known = torch.stack(basis)
        for _ in range(2):  # twice is enough (Parlett 1998)
            w = w - (known @ w) @ known
        size = float(w.norm())
        if len(basis) == steps or not size > LOST * max(map(abs, [*diagonal, *beside])):
            return ends(diagonal, beside)
        beside.append(size)
        basis.append(w / size)


def ends(diagonal: Sequence[float], beside: Sequence[float]) -> Tensor:
    """Eigenvalues of a tridiagonal matrix, rising."""
    band = torch.tensor(beside, dtype=torch.float64)
    whole = torch.tensor(diagonal, dtype=torch.float64).diag() + band.diag(1) + band.diag(-1)
    if not bool(whole.isfinite().all()):
        return whole.new_full((1,), torch.nan)
    return torch.linalg.eigvalsh(whole)  # type: ignore[no-any-return]


def signs(like: Tensor, rng: torch.Generator) -> Tensor:
    """A Rademacher vector: +1 or -1, each with probability a half."""
    return torch.randint(0, 2, like.shape, generator=rng, device=like.device).to(like) * 2 - 1


def trace(times: Product, like: Tensor, rng: torch.Generator, draws: int) -> float:
    """Hutchinson's estimate: the mean of z . H z over Rademacher vectors z."""
    return sum(float(z @ times(z)) for z in (signs(like, rng) for _ in range(draws))) / draws
