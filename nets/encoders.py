"""Encoders and torsos: the Nature CNN (Mnih et al. 2015) and the MLP, as chains of Blocks."""

from collections import OrderedDict
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, Torso, Writer
from nets.layers import EPS, GAIN, GROUPS, SLOPE, Activation, Block, Conv2d, Init, Linear, Norm
from nets.noisy import NoisyLinear
from runs.units import broken

NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # channels, kernel, stride (Mnih et al. 2015)


@dataclass(frozen=True)
class NetConfig:
    """The network"""

    hidden: tuple[int, ...] = (512,)
    """Units of each fully connected hidden layer (Mnih et al. 2015: one of 512 after the convolutions)"""
    width: float = 1.0
    """Factor on the units of every hidden layer, channels included"""
    norm: Norm = "none"
    """Before every hidden activation: layer (Lyle et al. 2023, arXiv:2303.01486), over C, H, W of a convolution;
    layer_channels: over C at each position (flax's LayerNorm; Liu et al. 2022, 2201.03545); group (Wu & He 2018)"""
    norm_groups: int = GROUPS
    """Groups of --norm group (ours; Wu & He 2018: 32); 8 gives way where it does not fit, another number is refused"""
    norm_eps: float = EPS
    """Added to the variance in the layers of --norm (torch: 1e-5; flax, hence Dopamine and jaxrl: 1e-6)"""
    activation: Activation = "relu"
    """Hidden activation; crelu (arXiv:2303.07507) and fourier (arXiv:2410.20634) double the inputs behind the units"""
    slope: float = SLOPE
    """Of leaky_relu below 0 (Maas et al. 2013: .01; .1 and .3 are common); prelu (He et al. 2015) learns its own"""
    padding: Literal["valid", "same"] = "valid"
    """Of the convolutions: valid leaves 7x7 positions (Nature, dqn_zoo), same leaves 11x11 (Dopamine)"""
    init: Init = "torch"
    """torch: U(+-1/sqrt(fan_in)) with biases (Nature, dqn_zoo); zero biases: xavier (Dopamine), orthogonal (jaxrl)"""

    def problems(self) -> list[str]:
        rules = {
            "hidden": (all(n > 0 for n in self.hidden), "numbers above 0"),
            "width": (0 < self.width < inf, "above 0"),
            "norm_groups": (self.norm_groups > 0, "at least 1"),
            "norm_eps": (0 < self.norm_eps < inf, "above 0"),
            "slope": (0 < self.slope < 1, "above 0 and below 1"),
        }
        rows = broken(self, rules)
        if self.norm != "group" and self.norm_groups != GROUPS:
            rows.append(f"norm_groups {self.norm_groups} does nothing without --norm group")
        if self.norm == "none" and self.norm_eps != EPS:
            rows.append(f"norm_eps {self.norm_eps:g} does nothing without --norm")
        if self.activation != "leaky_relu" and self.slope != SLOPE:
            rows.append(f"slope {self.slope:g} does nothing without --activation leaky_relu")
        return rows

    def units(self, n: int) -> int:
        return max(1, round(n * self.width))

    def block(self, writer: Linear | Conv2d) -> Block:
        """A hidden layer."""
        return Block(writer, self.norm, self.activation, self.norm_groups, self.slope, self.norm_eps)


class Chain(Torso, nn.Sequential):
    """Blocks in a row, named in the order of the forward pass."""

    def __init__(self, blocks: dict[str, Block]) -> None:
        super().__init__(OrderedDict(blocks))

    def blocks(self) -> list[tuple[str, Block]]:
        return [(name, block) for name, block in self.named_children() if isinstance(block, Block)]

    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        """Each block is read by the next one, the last by `readers` through `width` columns a unit."""
        rows = self.blocks()
        if not rows:
            return []
        following: list[list[Writer]] = [[block.writer] for _, block in rows[1:]]
        widths = [1] * len(following) + [width]
        return [
            block.layer(f"{prefix}.{name}", reader, w)
            for (name, block), reader, w in zip(rows, [*following, readers], widths, strict=True)
        ]


def pixels(obs: Tensor) -> Tensor:
    """obs: [B, C, H, W] uint8 -> float32 / 255, channels last: converted and transposed in one pass a plane (0.9 ms for
    32 stacks, where .to(memory_format=...) takes 2.1)."""
    if obs.shape[1] == 1:
        return obs / 255
    out = torch.empty((*obs.shape[:1], *obs.shape[2:], obs.shape[1]), device=obs.device)
    for channel, plane in enumerate(obs.unbind(1)):
        out[..., channel] = plane
    return out.permute(0, 3, 1, 2).div_(255)


def nature(shape: tuple[int, ...], config: NetConfig) -> tuple[Chain, int, int]:
    """shape: (C, H, W) -> the convolutions, their output features and the positions of one channel (7*7 for 84x84)."""
    return convolutions(shape, config, NATURE, config.padding == "same", "Nature CNN")


def convolutions(
    shape: tuple[int, ...], config: NetConfig, table: tuple[tuple[int, int, int], ...], same: bool, name: str
) -> tuple[Chain, int, int]:
    """table: channels, kernel, stride of each; as `nature`, for any CNN that is a chain. name: of it, for errors."""
    channels, height, width = shape
    if height != width:
        raise ValueError(f"the {name} takes square images; this observation is {height}x{width}")
    blocks: dict[str, Block] = {}
    for i, (units, kernel, stride) in enumerate(table):
        conv = Conv2d(channels, config.units(units), kernel, stride, height, same, config.init)
        if conv.size < 1:
            padding = "same" if same else "valid"
            raise ValueError(f"images of {width}x{width} are too small for the {name} with {padding} padding")
        block = blocks[f"conv{i + 1}"] = config.block(conv)
        channels, height = block.units * block.copies, conv.size
    return Chain(blocks), channels * height**2, height**2


def mlp(inputs: int, config: NetConfig, noisy: float = 0.0, gain: float = GAIN) -> tuple[Chain, int]:
    """inputs: D -> the hidden layers and their output features. noisy: sigma_0 of the noise on their weights. gain: of
    an orthogonal draw."""
    blocks: dict[str, Block] = {}
    for i, units in enumerate(config.hidden):
        n = config.units(units)
        linear = NoisyLinear(inputs, n, noisy) if noisy else Linear(inputs, n, config.init, gain)
        block = blocks[f"fc{i + 1}"] = config.block(linear)
        inputs = block.units * block.copies
    return Chain(blocks), inputs
