"""Heads and the Q-network they complete: linear (Mnih et al. 2015) and dueling (Wang et al. 2016, arXiv:1511.06581)."""

from typing import Literal

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, Network, Torso, Writer, unread
from nets.encoders import Chain, NetConfig, mlp, nature, pixels
from nets.layers import Init, Linear

Head = Literal["linear", "dueling"]


class LinearHead(nn.Module):
    """features: [B, D] -> q: [B, A]."""

    def __init__(self, inputs: int, actions: int, init: Init) -> None:
        super().__init__()
        self.value = Linear(inputs, actions, init)

    def readers(self) -> list[Writer]:
        return [self.value]

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x)  # type: ignore[no-any-return]


class DuelingHead(nn.Module):
    """Q = V + A - mean A, [B, D] -> [B, A]. Both streams are linear on shared features, as Dopamine's full Rainbow;
    Wang et al. give each stream 512 hidden units of its own."""

    def __init__(self, inputs: int, actions: int, init: Init) -> None:
        super().__init__()
        self.value = Linear(inputs, 1, init)
        self.advantage = Linear(inputs, actions, init)

    def readers(self) -> list[Writer]:
        return [self.value, self.advantage]

    def forward(self, x: Tensor) -> Tensor:
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(1, keepdim=True)  # type: ignore[no-any-return]


HEADS: dict[Head, type[LinearHead] | type[DuelingHead]] = {"linear": LinearHead, "dueling": DuelingHead}


class Encoded(Network):
    """An encoder of images or none, a torso, a head: obs [B, *O] -> outputs [B, K]. uint8 is scaled by 1/255."""

    encoder: Torso | None
    torso: Chain
    head: LinearHead | DuelingHead
    positions: int  # of one channel behind the encoder

    def features(self, obs: Tensor) -> Tensor:
        """The input of the head, phi: [B, D]."""
        x = pixels(obs) if obs.dtype == torch.uint8 else obs
        if self.encoder is not None:
            x = self.encoder(x)
        return self.torso(x.flatten(1))  # type: ignore[no-any-return]

    def forward(self, obs: Tensor) -> Tensor:
        return self.head(self.features(obs))  # type: ignore[no-any-return]

    def layers(self) -> list[Layer]:
        torso = self.torso.layers("torso", self.head.readers())
        if self.encoder is None:
            return torso
        readers = [torso[0].writer] if torso else self.head.readers()
        return self.encoder.layers("encoder", readers, self.positions) + torso

    def outputs(self) -> list[Writer]:
        return self.head.readers()

    def shared(self) -> list[Writer]:
        """The stream's writers, and the head where it reads nothing but the stream."""
        stream = [] if self.encoder is None else self.encoder.shared()
        return stream + unread(self.head.readers(), self.layers())


class QNetwork(Encoded):
    """obs: [B, *O] -> q: [B, A]. Images (uint8, [B, C, H, W], scaled by 1/255) pass the Nature CNN first, in 1.7M
    parameters at 84x84; vectors (float32, [B, D]) go straight to the torso."""

    def __init__(self, shape: tuple[int, ...], actions: int, config: NetConfig, head: Head = "linear") -> None:
        super().__init__()
        self.encoder = None
        features, self.positions = torch.Size(shape).numel(), 1
        if len(shape) != 3 and config.padding != NetConfig.padding:
            raise ValueError(f"padding {config.padding} is for convolutions; observations of shape {shape} have none")
        if len(shape) == 3:
            self.encoder, features, self.positions = nature(shape, config)
        self.torso, features = mlp(features, config)
        self.head = HEADS[head](features, actions, config.init)
