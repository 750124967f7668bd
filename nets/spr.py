"""The network of SPR (Schwarzer et al. 2021, arXiv:2007.05929) and BBF (Schwarzer et al. 2023, arXiv:2305.19452).

An encoder, a model of how its latents follow each other, and Q-values, after dopamine labs/atari_100k/spr_networks.py:

    z = N(encoder(s))      N scales each sample to [0, 1]
    z' = N(transition(z, a))
    g = projection(z)      one linear map: Q = head(relu(g)), and predictor(g) is compared with g of a later state

Only the first convolutions, those within Impala's blocks and the first one of the transition have units with private
readers. The last convolution before an N moves every unit of a sample with its least and largest, and a unit of the
projection is read twice: by the predictor before its activation, where it is never dead, and by the head behind it. So
these are shared and nothing recycles them. --norm adds a norm before every activation, hence none for the predictor.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.anatomy import Layer, Network, Torso, Writer, unread
from nets.encoders import Chain, NetConfig, mlp, nature, pixels
from nets.heads import HEADS, DuelingHead, Head, LinearHead
from nets.impala import impala
from nets.layers import COPIES, Conv2d, Init, Linear
from runs.units import broken

Encoder = Literal["nature", "impala"]


@dataclass(frozen=True)
class SPRNetConfig(NetConfig):
    """The network"""

    hidden: tuple[int, ...] = (512,)
    """Units of the projection and of the predictor, one number (SPR: 512; BBF, arXiv:2305.19452: 2048)"""
    padding: Literal["valid", "same"] = "same"
    """Of the Nature CNN: same leaves 11x11 positions (Dopamine), valid 7x7; Impala and transition are always same"""
    init: Init = "xavier"
    """xavier with zero biases (Dopamine), orthogonal (jaxrl), he; torch: U(+-1/sqrt(fan_in)) with biases"""
    encoder: Encoder = "nature"
    """nature: three convolutions (SPR, 2007.05929); impala: fifteen in residual blocks (BBF, arXiv:2305.19452)"""
    encoder_width: float = 1.0
    """Factor on the channels of encoder and transition alone, beside --width (BBF, arXiv:2305.19452: 4)"""

    def problems(self) -> list[str]:
        rules = {"encoder_width": (0 < self.encoder_width < inf, "above 0")}
        return super().problems() + broken(self, rules) + list(self.misfits())

    def misfits(self) -> Iterator[str]:
        if len(self.hidden) != 1:
            yield f"hidden {self.hidden} must be one number here: the units of projection and predictor"
        if self.encoder == "impala" and self.padding != "same":
            yield f"padding {self.padding} is for the Nature CNN; Impala's is same: leave it out"


class Transition(nn.Module):
    """z: [B, C, H, W], action: [B] int64 -> the latent one step later, before N: [B, C, H, W].

    The original code has a BatchNorm behind the first convolution, Dopamine's defines one and leaves it out; so do we.
    """

    def __init__(self, channels: int, size: int, actions: int, config: NetConfig) -> None:
        super().__init__()
        self.actions = actions
        units = channels // COPIES.get(config.activation, 1)
        self.conv1 = config.block(Conv2d(channels + actions, units, 3, 1, size, True, config.init))
        self.conv2 = config.block(Conv2d(channels, units, 3, 1, size, True, config.init))

    def forward(self, z: Tensor, action: Tensor) -> Tensor:
        planes = F.one_hot(action, self.actions).to(z.dtype)[:, None, None]  # [B, 1, 1, A]
        rows = z.permute(0, 2, 3, 1)  # channels last, so that no convolution has to reorder its input
        both = torch.cat([rows, planes.expand(*rows.shape[:3], -1)], 3).permute(0, 3, 1, 2)  # [B, C + A, H, W]
        return self.conv2(self.conv1(both))  # type: ignore[no-any-return]


class SPRNetwork(Network):
    """obs: [B, C, H, W] uint8 (scaled by 1/255) or float -> q: [B, A], or logits of M atoms, [B, A, M].

    noisy: sigma_0 of the noise on the weights of projection and head, drawn within nets.noisy.noise.
    """

    encoder: Torso
    projection: Chain
    head: LinearHead | DuelingHead

    def __init__(
        self,
        shape: tuple[int, ...],
        actions: int,
        config: SPRNetConfig,
        head: Head = "dueling",
        atoms: int = 51,
        noisy: float = 0.0,
    ) -> None:
        super().__init__()
        for sentence in config.misfits():
            raise ValueError(sentence)
        if len(shape) != 3:
            raise ValueError(f"SPR predicts latents of images; observations of shape {shape} are none: use DQN")
        wide = replace(config, width=config.width * config.encoder_width)
        self.encoder, features, positions = (impala if config.encoder == "impala" else nature)(shape, wide)
        size = round(positions**0.5)
        self.transition = Transition(features // positions, size, actions, wide)
        self.projection, shown = mlp(features, config, noisy)
        self.predictor = Linear(self.linear.out_features, self.linear.out_features, config.init)
        self.head = HEADS[head](shown, actions, config.init, atoms, noisy)

    @property
    def linear(self) -> Linear:
        """The projection without its activation."""
        writer = self.projection.blocks()[0][1].writer
        assert isinstance(writer, Linear)
        return writer

    def encode(self, obs: Tensor) -> Tensor:
        """obs -> z: [B, C, H, W] in [0, 1]."""
        return renormalise(self.encoder(pixels(obs) if obs.dtype == torch.uint8 else obs))

    def judge(self, z: Tensor) -> Tensor:
        """z: [B, C, H, W] -> [B, A] or [B, A, M]."""
        return self.head(self.projection(z.flatten(1)))  # type: ignore[no-any-return]

    def roll(self, z: Tensor, action: Tensor) -> Tensor:
        """z: [B, C, H, W], action: [B, K] int64 -> the latents of 1 to K steps later, [K, B, C, H, W]."""
        found = []
        for a in action.unbind(1):
            z = renormalise(self.transition(z, a))
            found.append(z)
        return torch.stack(found) if found else z.new_zeros((0, *z.shape))

    def project(self, z: Tensor) -> Tensor:
        """z: [..., C, H, W] -> g: [..., D]."""
        return self.linear(z.flatten(-3))  # type: ignore[no-any-return]

    def predict(self, z: Tensor) -> Tensor:
        """z: [..., C, H, W] -> what `project` is expected to show of the state itself, [..., D]."""
        return self.predictor(self.project(z))  # type: ignore[no-any-return]

    def forward(self, obs: Tensor, action: Tensor | None = None) -> Tensor:
        """action: [B]; with one a step is rolled, too, so that a tape sees the units of the transition."""
        z = self.encode(obs)
        if action is not None:
            self.roll(z, action[:, None])
        return self.judge(z)

    def layers(self) -> list[Layer]:
        rows = [layer for layer in self.encoder.layers("encoder", []) if layer.edges]
        return [*rows, self.transition.conv1.layer("transition.conv1", [self.transition.conv2.writer])]

    def outputs(self) -> list[Writer]:
        return self.head.readers()

    def shared(self) -> list[Writer]:
        """The writers of latents, the projection and all that reads it."""
        return unread(list(self.writers().values()), self.layers())


def renormalise(x: Tensor) -> Tensor:
    """N(x) = (x - min) / (max - min + 1e-5) of each sample: [B, ...] -> [B, ...] in [0, 1]."""
    rest = tuple(range(1, x.ndim))
    low, high = x.amin(rest, keepdim=True), x.amax(rest, keepdim=True)
    return (x - low) / (high - low + 1e-5)
