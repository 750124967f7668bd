"""The Impala CNN (Espeholt et al. 2018, arXiv:1802.01561), the encoder of BBF (Schwarzer et al. 2023, 2305.19452).

Three stages of a convolution, a maximum and two residual blocks, after google-research bbf/spr_networks.py: everything
is padded (SAME), nothing is normalised unless --norm asks for it; then a norm stands before every activation. BBF draws
with --init xavier. An activation that shows two copies of a unit (CReLU, Fourier) doubles the inputs behind it, not the
stream.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from nets.anatomy import Layer, Torso, Writer
from nets.encoders import NetConfig
from nets.images import LEAST, square
from nets.layers import ACTIVATIONS, COPIES, Conv2d, normed

STAGES = (16, 32, 32)  # channels (Espeholt et al. 2018; BBF: four times as many)
BLOCKS = 2  # residual blocks of a stage


class Show(nn.Module):
    """act(norm(x)) of a stream: [B, C, H, W] -> [B, C * copies, H, W]. writer: one that adds to it."""

    def __init__(self, writer: Conv2d, config: NetConfig) -> None:
        super().__init__()
        self.norm = normed(config.norm, writer, config.norm_groups, config.norm_eps) or nn.Identity()
        self.act = ACTIVATIONS[config.activation](writer.out_channels, config.slope)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(x))  # type: ignore[no-any-return]


class ImpalaBlock(nn.Module):
    """x + conv(act(conv(act(x)))), [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, units: int, size: int, config: NetConfig) -> None:
        super().__init__()
        copies = COPIES.get(config.activation, 1)
        self.hidden = config.block(Conv2d(units * copies, units, 3, 1, size, True, config.init))
        self.out = Conv2d(units * copies, units, 3, 1, size, True, config.init)
        self.show = Show(self.out, config)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(self.show(x))).add_(x)  # type: ignore[no-any-return]


class Stage(nn.Module):
    """A convolution, the maximum of 3x3 at every second position, the blocks: [B, C, H, W] -> [B, D, H / 2, W / 2]."""

    def __init__(self, inputs: int, units: int, size: int, config: NetConfig) -> None:
        super().__init__()
        self.conv = Conv2d(inputs, units, 3, 1, size, True, config.init)
        self.size = -(-size // 2)
        for i in range(BLOCKS):
            self.add_module(f"block{i + 1}", ImpalaBlock(units, self.size, config))

    def blocks(self) -> list[tuple[str, ImpalaBlock]]:
        return [(name, block) for name, block in self.named_children() if isinstance(block, ImpalaBlock)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        # SAME: an odd size is padded on both sides, an even one behind, where ceil_mode lets the window hang over.
        x = F.max_pool2d(x, 3, 2, padding=x.shape[-1] % 2, ceil_mode=True)
        for _, block in self.blocks():
            x = block(x)
        return x


class Impala(Torso):
    """x: [B, C, H, W] -> [B, D, H / 8, W / 8], D = 32 and 11x11 positions for 84x84."""

    def __init__(self, stages: list[Stage], show: Show) -> None:
        super().__init__()
        for i, stage in enumerate(stages):
            self.add_module(f"stage{i + 1}", stage)
        self.show = show

    def stages(self) -> list[tuple[str, Stage]]:
        return [(name, stage) for name, stage in self.named_children() if isinstance(stage, Stage)]

    def forward(self, x: Tensor) -> Tensor:
        for _, stage in self.stages():
            x = stage(x)
        return self.show(x)  # type: ignore[no-any-return]

    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        """The units of each block's first convolution; `readers` read the stream, which is nobody's own."""
        rows = [
            (f"{stage_name}.{name}", block) for stage_name, stage in self.stages() for name, block in stage.blocks()
        ]
        return [block.hidden.layer(f"{prefix}.{path}", [block.out]) for path, block in rows]

    def shared(self) -> list[Writer]:
        """Each stage's own convolution; the other writers of the streams are the blocks' readers."""
        return [stage.conv for _, stage in self.stages()]


def impala(shape: tuple[int, ...], config: NetConfig) -> tuple[Impala, int, int]:
    """shape: (C, H, W) -> the encoder, its output features and the positions of one channel (11*11 for 84x84)."""
    channels, size = square(shape, "Impala CNN")
    if config.units(STAGES[0]) < LEAST:
        raise ValueError(f"width {config.width:g} leaves the Impala CNN fewer than {LEAST} channels; take at least .5")
    stages: list[Stage] = []
    for units in map(config.units, STAGES):
        stages.append(Stage(channels, units, size, config))
        channels, size = units, stages[-1].size
    show = Show(stages[-1].blocks()[-1][1].out, config)
    return Impala(stages, show), channels * COPIES.get(config.activation, 1) * size**2, size**2
