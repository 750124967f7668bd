"""Encoders of images for classifiers: the CNN of Kumar et al. (2023, arXiv:2308.11958), ResNet-18 (He et al. 2016).

The CNN is that of skumar9876/L2_Init @c4aa4f2: 16 channels of 5x5, stride 1, a 2x2 maximum behind each activation.
The ResNet has the CIFAR stem, one 3x3 convolution of stride 1 (JordanAsh/warm_start @12485d9: that at width .25). Three
things differ. It has no BatchNorm, whose running statistics a forward pass would write: --norm layer is one GroupNorm
over C, H, W, --norm group has several groups of channels. Its convolutions have biases. On even sizes a stride of 2 is
padded behind, not in front.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from nets.anatomy import Layer, Torso, Writer
from nets.encoders import NetConfig
from nets.layers import ACTIVATIONS, Block, Conv2d, normed

CHANNELS, KERNEL = 16, 5  # of the CNN
STAGES = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))  # channels, stride of a block
LEAST = 8  # channels: with 4, torch 2.13's AVX2 convolutions write out of bounds and the process dies


class CNN(Torso):
    """x: [B, C, H, W] -> [B, D, H', W']; the maximum keeps a unit in its channel."""

    def __init__(self, conv1: Block, conv2: Block) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv1, conv2

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 2)
        return F.max_pool2d(self.conv2(x), 2)

    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        first = self.conv1.layer(f"{prefix}.conv1", [self.conv2.writer])
        return [first, self.conv2.layer(f"{prefix}.conv2", readers, width)]


class Normed(nn.Module):
    """A convolution and its norm, without activation: what is added to a stream."""

    def __init__(self, writer: Conv2d, config: NetConfig) -> None:
        super().__init__()
        self.writer = writer
        self.norm = normed(config.norm, writer, config.norm_groups, config.norm_eps) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.writer(x))  # type: ignore[no-any-return]


class ResNetBlock(nn.Module):
    """act(conv(act(conv(x))) + shortcut(x)), [B, C, H, W] -> [B, D, H / stride, W / stride], a norm after each conv.

    The shortcut is a 1x1 convolution where the shapes differ (He et al.'s option B): always, under CReLU and Fourier.
    """

    def __init__(self, inputs: int, units: int, stride: int, size: int, config: NetConfig) -> None:
        super().__init__()
        conv = Conv2d(inputs, units, 3, stride, size, True, config.init)
        self.hidden = config.block(conv)
        self.out = Normed(Conv2d(units * self.hidden.copies, units, 3, 1, conv.size, True, config.init), config)
        self.shortcut: Normed | None = None
        if stride != 1 or inputs != units:
            self.shortcut = Normed(Conv2d(inputs, units, 1, stride, size, True, config.init), config)
        self.act = ACTIVATIONS[config.activation](units, config.slope)
        self.size, self.features = conv.size, units * self.hidden.copies

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.shortcut is None else self.shortcut(x)
        return self.act(self.out(self.hidden(x)) + skip)  # type: ignore[no-any-return]


class ResNet(Torso):
    """x: [B, C, H, W] -> [B, D], the mean over all positions."""

    def __init__(self, stem: Block, blocks: list[ResNetBlock]) -> None:
        super().__init__()
        self.stem = stem
        for i, block in enumerate(blocks):
            self.add_module(f"block{i + 1}", block)

    def blocks(self) -> list[tuple[str, ResNetBlock]]:
        return [(name, block) for name, block in self.named_children() if isinstance(block, ResNetBlock)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _, block in self.blocks():
            x = block(x)
        return x.mean((2, 3))

    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        """The units of each block's first convolution; `readers` read the stream, which is nobody's own."""
        return [block.hidden.layer(f"{prefix}.{name}", [block.out.writer]) for name, block in self.blocks()]

    def shared(self) -> list[Writer]:
        """The stem and the shortcuts; the other writers of the stream are the blocks' readers."""
        shortcuts = [block.shortcut.writer for _, block in self.blocks() if block.shortcut is not None]
        return [self.stem.writer, *shortcuts]


def square(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    """(C, H, W) -> channels and size; ValueError if H != W."""
    channels, height, width = shape
    if height != width:
        raise ValueError(f"the {name} takes square images; these are {height}x{width}")
    return channels, height


def cnn(shape: tuple[int, ...], config: NetConfig) -> tuple[CNN, int, int]:
    """shape: (C, H, W) -> the encoder, its output features and the positions of one channel (5*5 for 32x32)."""
    channels, size = square(shape, "CNN")
    blocks = []
    for _ in range(2):
        conv = Conv2d(channels, config.units(CHANNELS), KERNEL, 1, size, config.padding == "same", config.init)
        if conv.size < 2:
            raise ValueError(f"images of {shape[1]}x{shape[2]} are too small for the CNN with {config.padding} padding")
        blocks.append(config.block(conv))
        channels, size = blocks[-1].units * blocks[-1].copies, conv.size // 2
    return CNN(*blocks), channels * size**2, size**2


def resnet18(shape: tuple[int, ...], config: NetConfig) -> tuple[ResNet, int, int]:
    """shape: (C, H, W) -> the encoder, its output features (512 at width 1) and 1, the positions of one channel."""
    channels, size = square(shape, "ResNet-18")
    if config.units(STAGES[0][0]) < LEAST:
        raise ValueError(f"width {config.width} leaves ResNet-18 fewer than {LEAST} channels; take at least .125")
    stem = config.block(Conv2d(channels, config.units(STAGES[0][0]), 3, 1, size, True, config.init))
    blocks: list[ResNetBlock] = []
    features = stem.units * stem.copies
    for units, stride in STAGES:
        blocks.append(ResNetBlock(features, config.units(units), stride, size, config))
        features, size = blocks[-1].features, blocks[-1].size
    return ResNet(stem, blocks), features, 1
