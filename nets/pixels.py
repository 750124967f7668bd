"""Encoders of DrQ (Kostrikov et al. 2021, arXiv:2004.13649) and DrQ-v2 (Yarats et al. 2022, arXiv:2107.09645).

Convolutions of 3x3, trained by the critic alone, and a trunk Linear -> LayerNorm -> tanh to a latent of 50, of which
the critic and the actor have one each. DrQ is that of Nikishin et al. 2022 (arXiv:2205.07802): four strides of 2 with
padding, 64 pixels. DrQ-v2 has one stride of 2 and no padding, 84 pixels, and takes them from -.5 to .5 (`centred`).
Both draw by --init orthogonal. --norm and --activation are for the convolutions; the trunk is always as above.
"""

from typing import Literal

from torch import Tensor

from nets.encoders import Chain, NetConfig, convolutions, pixels
from nets.layers import GAIN, Block, Linear

Kind = Literal["drq", "drqv2"]
TABLES: dict[Kind, tuple[tuple[int, int, int], ...]] = {  # channels, kernel, stride
    "drq": ((32, 3, 2), (64, 3, 2), (128, 3, 2), (256, 3, 2)),
    "drqv2": ((32, 3, 2), (32, 3, 1), (32, 3, 1), (32, 3, 1)),
}
NAMES: dict[Kind, str] = {"drq": "encoder of DrQ", "drqv2": "encoder of DrQ-v2"}
LATENT = 50  # units of the trunk (DrQ-v2: 100 for a humanoid)


def eyes(kind: Kind, shape: tuple[int, ...], config: NetConfig) -> tuple[Chain, int, int]:
    """shape: (C, H, W) -> the convolutions, their output features and the positions of one channel (4*4 for 64x64 of
    DrQ, 35*35 for 84x84 of DrQ-v2)."""
    if config.padding != NetConfig.padding:
        raise ValueError(f"padding {config.padding}: the {NAMES[kind]} has its own; leave it out")
    return convolutions(shape, config, TABLES[kind], kind == "drq", NAMES[kind])


def trunk(inputs: int, config: NetConfig, latent: int = LATENT, gain: float = GAIN) -> tuple[Chain, int]:
    """inputs: D -> one layer, tanh(LayerNorm(Linear)), and its output features. gain: of an orthogonal draw (jaxrl:
    sqrt(2); DrQ-v2: 1)."""
    units = config.units(latent)
    return Chain({"trunk": Block(Linear(inputs, units, config.init, gain), "layer", "tanh")}), units


def centred(obs: Tensor) -> Tensor:
    """obs: [B, C, H, W] uint8 -> float32 from -.5 to .5."""
    return pixels(obs).sub_(0.5)
