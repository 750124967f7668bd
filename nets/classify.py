"""The classifier's network: a trunk for images or none, fully connected layers, a linear head (the MLP and the CNN of
Kumar et al. 2023, arXiv:2308.11958; the ResNet of Ash & Adams 2020, arXiv:1910.08475; a vision transformer)."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

import torch

from nets.anatomy import Torso
from nets.encoders import NetConfig, mlp
from nets.heads import Encoded, LinearHead
from nets.images import cnn, resnet18
from nets.vit import vit
from runs.units import broken

Net = Literal["mlp", "cnn", "resnet18", "vit"]
ONLY: dict[str, Net] = {  # flags that only one of the nets reads
    "padding": "cnn",
    "qk_norm": "vit",
    "patch": "vit",
    "dim": "vit",
    "depth": "vit",
    "heads": "vit",
}


@dataclass(frozen=True)
class ClassifierNetConfig(NetConfig):
    """The classifier's network"""

    hidden: tuple[int, ...] = (100, 100)
    """Units of each fully connected layer between trunk and head (Kumar et al. 2023: two of 100, also in their CNN)"""
    net: Net = "mlp"
    """mlp; cnn: two convolutions (Kumar et al. 2023); resnet18 (He et al. 2016); vit (Dosovitskiy et al. 2021)"""
    qk_norm: bool = False
    """vit: LayerNorm of queries and keys in each head (Dehghani et al. 2023, arXiv:2302.05442)"""
    patch: int = 4
    """vit: pixels along the side of a patch (Dosovitskiy et al. 2021: 16 of 224; ours: 4 of 28 or 32)"""
    dim: int = 64
    """vit: units of a token, times --width; its MLPs have four times as many (Dosovitskiy et al. 2021: 768)"""
    depth: int = 4
    """vit: blocks (Dosovitskiy et al. 2021: 12)"""
    heads: int = 4
    """vit: attention heads that share a token's units (Dosovitskiy et al. 2021: 12)"""

    def problems(self) -> list[str]:
        sizes = ("patch", "dim", "depth", "heads")
        rules = {name: (getattr(self, name) > 0, "at least 1") for name in sizes}
        return super().problems() + broken(self, rules)

    def idle(self) -> Iterator[str]:
        """A sentence for each flag that is set and that the chosen net does not read."""
        defaults = {f.name: f.default for f in fields(self)}
        for name, net in ONLY.items():
            value = getattr(self, name)
            if net != self.net and value != defaults[name]:
                yield f"{name} {value} is for net {net}; net {self.net} has none: leave it at {defaults[name]}"


class Classifier(Encoded):
    """obs: [B, *O] -> outputs: [B, K]. Images are uint8 [B, C, H, W], scaled by 1/255; vectors are float32 [B, D]."""

    def __init__(self, shape: tuple[int, ...], classes: int, config: ClassifierNetConfig) -> None:
        super().__init__()
        for sentence in config.idle():
            raise ValueError(sentence)
        self.encoder, features, self.positions = trunk(shape, config)
        self.torso, features = mlp(features, config)
        self.head = LinearHead(features, classes, config.init)


def trunk(shape: tuple[int, ...], config: ClassifierNetConfig) -> tuple[Torso | None, int, int]:
    """shape: (C, H, W) or (D,) -> the encoder, its output features and the positions of one unit."""
    if config.net != "mlp" and len(shape) != 3:
        raise ValueError(f"net {config.net} is for images; observations of shape {shape} are none: take net mlp")
    match config.net:
        case "cnn":
            return cnn(shape, config)
        case "resnet18":
            return resnet18(shape, config)
        case "vit":
            return vit(shape, config, config.patch, config.dim, config.depth, config.heads, config.qk_norm)
    return None, torch.Size(shape).numel(), 1
