"""Noisy linear layers (Fortunato et al. 2018, arXiv:1706.10295): weights with learned noise, factorised.

The weight is mu + sigma * f(p) f(q)', p a normal number for each unit and q for each input, f(x) = sign(x) sqrt|x|; the
bias is mu + sigma * f(p). So y = mu x + f(p) * (sigma (f(q) * x)), and no matrix of noise is ever made. mu is drawn
from U(+-1/sqrt(in)) and sigma is .5/sqrt(in), of the bias too, whatever --init says (Dopamine).

An agent draws the noise, from a generator of its own, for the passes within `with noise(net, rng)`; one draw serves a
whole batch (Dopamine: one a sample). Everywhere else (evaluation, probes, surgery) there is none and a layer is its
mean. The noise is rebound, not written, as a backward pass may still need the last one; and it is no buffer, as a slow
copy follows its network's buffers and a checkpoint keeps none of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nets.anatomy import member
from nets.layers import Linear, through
from nets.product import linear

SIGMA = 0.5  # times 1/sqrt(in) (Fortunato et al. 2018; Rainbow, arXiv:1710.02298; dqn_zoo has .1)


class Sigma(nn.Module):
    """The scales of the noise: a matrix and a bias as the layer's own, under a name that a reset can choose."""

    def __init__(self, inputs: int, units: int, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((units, inputs), value))
        self.bias = nn.Parameter(torch.full((units,), value))


class NoisyLinear(Linear):
    """x: [B, in] -> [B, out]; `weight` and `bias` are mu."""

    def __init__(self, inputs: int, units: int, sigma: float = SIGMA) -> None:
        super().__init__(inputs, units)
        self.sigma = Sigma(inputs, units, sigma / inputs**0.5)
        self.noise: tuple[Tensor, Tensor] | None = None  # f(q): [in] and f(p): [out]

    @property
    def matrices(self) -> tuple[Tensor, ...]:
        return self.weight, self.sigma.weight

    def resample(self, rng: torch.Generator) -> None:
        """Another draw for the passes from here on."""
        self.noise = spread(self.in_features, rng, self.weight), spread(self.out_features, rng, self.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = linear(x, through(self.weight_lens, self.weight), self.bias)
        if self.noise is not None:
            inputs, units = self.noise
            out = out + units * linear(x * inputs, self.sigma.weight, self.sigma.bias)
        return through(self.output_lens, out)


def spread(size: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """sign(x) sqrt|x| of normal numbers, [size]."""
    x = torch.randn(size, generator=rng, device=rng.device).to(like)
    return x.sign() * x.abs().sqrt()


def noisy_layers(net: nn.Module) -> list[NoisyLinear]:
    """Those whose noise counts; frozen copies beside a tail are their means, so that they draw nothing."""
    named = net.named_modules()
    return [m for path, m in named if isinstance(m, NoisyLinear) and not member(path, "injected")]


@contextmanager
def noise(net: nn.Module, rng: torch.Generator) -> Iterator[None]:
    """Within the block every noisy layer has a draw of its own; behind it there is no noise."""
    layers = noisy_layers(net)
    for layer in layers:
        layer.resample(rng)
    try:
        yield
    finally:
        for layer in layers:
            layer.noise = None
