"""Layers: each with its one law of initialisation, and `matrices`: units in dimension 0, inputs in dimension 1.

A layer computes with weight_lens(weight) where a lens is set (spectral normalisation) and shows output_lens(out)
(PopArt); its parameters stay `weight` and `bias`.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.anatomy import Edge, Layer, Writer
from nets.product import linear

Init = Literal["torch", "xavier", "orthogonal", "he"]
GAIN = 2**0.5  # of orthogonal, as jaxrl
Norm = Literal["none", "layer", "layer_channels", "group"]
EPS = 1e-5  # added to the variance in a norm (torch; flax: 1e-6)
GROUPS = 8  # of GroupNorm (Wu & He 2018, arXiv:1803.08494: 32, of 256 and more channels)
FEW = 8  # numbers that a group has at least: two alone are +-1 behind the norm, one is 0
Activation = Literal["relu", "leaky_relu", "crelu", "tanh", "prelu", "fourier"]
SLOPE = 0.01  # of leaky ReLU below 0 (Maas et al. 2013)


def initialise(layer: "Linear | Conv2d", gain: float = GAIN) -> None:
    """xavier: Glorot uniform, as Dopamine; orthogonal: with a gain, as jaxrl; he: N(0, 2/fan_in). Biases are zero.
    The fourth law, torch, is the layer's own: U(+-1/sqrt(fan_in)) for weights and biases, as Nature and dqn_zoo."""
    match layer.init:
        case "xavier":
            nn.init.xavier_uniform_(layer.weight)
        case "orthogonal":
            nn.init.orthogonal_(layer.weight, gain)
        case "he":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def through(lens: nn.Module | None, x: Tensor) -> Tensor:
    """What a lens makes of x; x itself without one."""
    return x if lens is None else lens(x)


class Linear(Writer, nn.Linear):
    """x: [B, in] -> [B, out]."""

    positions = 1  # of a unit

    def __init__(self, inputs: int, units: int, init: Init = "torch", gain: float = GAIN) -> None:
        self.init, self.gain = init, gain
        super().__init__(inputs, units)
        # Of the instance: None in the class would hide a lens, which torch keeps among the submodules.
        self.weight_lens: nn.Module | None = None
        self.output_lens: nn.Module | None = None

    def reset_parameters(self) -> None:
        super().reset_parameters() if self.init == "torch" else initialise(self, self.gain)

    def forward(self, x: Tensor) -> Tensor:
        return through(self.output_lens, linear(x, through(self.weight_lens, self.weight), self.bias))


class Conv2d(Writer, nn.Conv2d):
    """x: [B, in, H, W] -> [B, out, H', W']. SAME is TensorFlow's: the odd pixel of padding goes to the end."""

    def __init__(self, inputs: int, units: int, kernel: int, stride: int, size: int, same: bool, init: Init) -> None:
        self.init = init
        super().__init__(inputs, units, kernel, stride)
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0) if same else 0
        self.margin = (total // 2, total - total // 2)
        self.size = (size + total - kernel) // stride + 1  # H' = W'
        self.positions = self.size**2
        self.weight_lens: nn.Module | None = None
        self.output_lens: nn.Module | None = None

    def reset_parameters(self) -> None:
        super().reset_parameters() if self.init == "torch" else initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.margin
        if before != after:
            x, before = F.pad(x, (before, after, before, after)), 0
        weight = through(self.weight_lens, self.weight)
        return through(self.output_lens, F.conv2d(x, weight, self.bias, self.stride, before))


class CReLU(nn.Module):
    """[relu(x), relu(-x)] (Abbas et al. 2023, arXiv:2303.07507): same units into it, twice the inputs behind it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, -x], 1).relu_()


class Fourier(nn.Module):
    """[sin(x), cos(x)] (Lewandowski et al. 2024, arXiv:2410.20634): one of the two is always near-linear."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.sin(), x.cos()], 1)


ACTIVATIONS: dict[Activation, Callable[[int, float], nn.Module]] = {  # of units and slope
    "relu": lambda units, slope: nn.ReLU(),
    "leaky_relu": lambda units, slope: nn.LeakyReLU(slope),
    "crelu": lambda units, slope: CReLU(),
    "tanh": lambda units, slope: nn.Tanh(),
    "prelu": lambda units, slope: nn.PReLU(units),  # born at .25 (He et al. 2015)
    "fourier": lambda units, slope: Fourier(),
}
COPIES: dict[Activation, int] = {"crelu": 2, "fourier": 2}


def rectifies(act: nn.Module) -> bool:
    """Whether a unit shows 0 below 0 and its input above: not so of CReLU, one half of which is always 0."""
    return isinstance(act, nn.ReLU)


def saturates(act: nn.Module) -> bool:
    """Whether a unit flattens towards -1 and 1."""
    return isinstance(act, nn.Tanh)


def signed(act: nn.Module) -> bool:
    """Whether the sign of a unit's input tells its two regimes apart: not so of sin and cos."""
    return not isinstance(act, Fourier)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position, x: [B, C, H, W] -> [B, C, H, W] (Liu et al. 2022, 2201.03545)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def normed(
    norm: Norm, writer: Linear | Conv2d, groups: int = GROUPS, eps: float = EPS
) -> nn.GroupNorm | ChannelNorm | None:
    """layer: one group, LayerNorm over C, H, W of a convolution, over the features of a linear layer. layer_channels:
    of a convolution over C alone, a position each. group: runs of neighbouring units, of a linear layer too. A gain and
    an offset per unit; no sample sees another."""
    units = writer.matrices[0].shape[0]
    match norm:
        case "layer_channels" if isinstance(writer, Conv2d):
            return ChannelNorm(units, eps)
        case "layer" | "layer_channels":
            return nn.GroupNorm(1, units, eps)
        case "group":
            return nn.GroupNorm(divisor(groups, units, writer.positions), units, eps)
    return None


def divisor(groups: int, units: int, positions: int) -> int:
    """The most groups, up to `groups`, that divide the units and have FEW numbers each; 1 is always one. Only the
    default gives way: another number is met by every layer or refused."""
    fits = (n for n in range(groups, 1, -1) if units % n == 0 and units // n * positions >= FEW)
    found = next(fits, 1)
    if found != groups != GROUPS:
        raise ValueError(
            f"norm_groups {groups} does not suit a layer of {units} units; it takes {found}, or leave it out"
        )
    return found


class Block(nn.Module):
    """writer -> norm -> act: one layer of units. copies = channels shown per unit (2 for CReLU and Fourier)."""

    def __init__(
        self,
        writer: Linear | Conv2d,
        norm: Norm,
        activation: Activation,
        groups: int = GROUPS,
        slope: float = SLOPE,
        eps: float = EPS,
    ) -> None:
        super().__init__()
        self.writer = writer
        self.units = writer.matrices[0].shape[0]
        self.norm = normed(norm, writer, groups, eps)
        self.act = ACTIVATIONS[activation](self.units, slope)
        self.copies = COPIES.get(activation, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.writer(x)
        return self.act(x if self.norm is None else self.norm(x))  # type: ignore[no-any-return]

    def layer(self, name: str, readers: list[Writer], width: int = 1) -> Layer:
        """This block as a Layer whose units are read by each reader through `width` columns per copy."""
        offsets = [copy * self.units * width for copy in range(self.copies)]
        edges = tuple(Edge(reader, width, offset) for reader in readers for offset in offsets)
        return Layer(name, self.writer, self.act, edges, self.norm)
