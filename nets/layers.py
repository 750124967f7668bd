"""Layers: each with its one law of initialisation, and `matrices`: units in dimension 0, inputs in dimension 1."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.anatomy import Edge, Layer, Writer

Init = Literal["torch", "xavier", "orthogonal", "he"]
GAIN = 2**0.5  # of orthogonal, as jaxrl
Norm = Literal["none", "layer"]
Activation = Literal["relu", "leaky_relu", "crelu", "tanh"]


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


class Linear(Writer, nn.Linear):
    """x: [B, in] -> [B, out]."""

    def __init__(self, inputs: int, units: int, init: Init = "torch", gain: float = GAIN) -> None:
        self.init, self.gain = init, gain
        super().__init__(inputs, units)

    def reset_parameters(self) -> None:
        super().reset_parameters() if self.init == "torch" else initialise(self, self.gain)


class Conv2d(Writer, nn.Conv2d):
    """x: [B, in, H, W] -> [B, out, H', W']. SAME is TensorFlow's: the odd pixel of padding goes to the end."""

    def __init__(self, inputs: int, units: int, kernel: int, stride: int, size: int, same: bool, init: Init) -> None:
        self.init = init
        super().__init__(inputs, units, kernel, stride)
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0) if same else 0
        self.margin = (total // 2, total - total // 2)
        self.size = (size + total - kernel) // stride + 1  # H' = W'

    def reset_parameters(self) -> None:
        super().reset_parameters() if self.init == "torch" else initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.margin
        if before != after:
            x, before = F.pad(x, (before, after, before, after)), 0
        return F.conv2d(x, self.weight, self.bias, self.stride, before)


class CReLU(nn.Module):
    """[relu(x), relu(-x)] (Abbas et al. 2023, arXiv:2303.07507): same units into it, twice the inputs behind it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, -x], 1).relu_()


ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,  # slope .01
    "crelu": CReLU,
    "tanh": nn.Tanh,
}


class Block(nn.Module):
    """writer -> norm -> act: one layer of units. copies = channels shown per unit (2 for CReLU)."""

    def __init__(self, writer: Linear | Conv2d, norm: Norm, activation: Activation) -> None:
        super().__init__()
        self.writer = writer
        self.units = writer.matrices[0].shape[0]
        # One group: LayerNorm over C, H, W of a convolution, over the features of a linear layer; a gain per unit.
        self.norm = nn.GroupNorm(1, self.units) if norm == "layer" else None
        self.act = ACTIVATIONS[activation]()
        self.copies = 2 if activation == "crelu" else 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.writer(x)
        return self.act(x if self.norm is None else self.norm(x))  # type: ignore[no-any-return]

    def layer(self, name: str, readers: list[Writer], width: int = 1) -> Layer:
        """This block as a Layer whose units are read by each reader through `width` columns per copy."""
        offsets = [copy * self.units * width for copy in range(self.copies)]
        edges = tuple(Edge(reader, width, offset) for reader in readers for offset in offsets)
        return Layer(name, self.writer, self.act, edges, self.norm)
