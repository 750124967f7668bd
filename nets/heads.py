"""Heads and the Q-network they complete: linear (Mnih et al. 2015) and dueling (Wang et al. 2016, arXiv:1511.06581)."""

from typing import Literal

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, Network, Torso, Writer, unread
from nets.encoders import Chain, NetConfig, mlp, nature, pixels
from nets.injected import Tailed
from nets.layers import GAIN, Init, Linear
from nets.noisy import NoisyLinear

Head = Literal["linear", "dueling"]


def split(x: Tensor, atoms: int) -> Tensor:
    """x: [B, A * M] -> [B, A, M] where there are atoms, x itself where there are none (0)."""
    return x.view(len(x), -1, atoms) if atoms else x


def stream(inputs: int, units: int, init: Init, noisy: float, gain: float = GAIN) -> Linear:
    """A linear map to the outputs; noisy: sigma_0 of the noise on its weights (Fortunato et al. 2018), 0 for none."""
    return NoisyLinear(inputs, units, noisy) if noisy else Linear(inputs, units, init, gain)


class LinearHead(nn.Module):
    """features: [B, D] -> q: [B, A], or [B, A, M] where there are M atoms: logits of bins (C51), quantiles (QR)."""

    def __init__(
        self, inputs: int, actions: int, init: Init, atoms: int = 0, noisy: float = 0.0, gain: float = GAIN
    ) -> None:
        super().__init__()
        self.atoms = atoms
        self.value = stream(inputs, actions * (atoms or 1), init, noisy, gain)

    def readers(self) -> list[Writer]:
        return [self.value]

    def forward(self, x: Tensor) -> Tensor:
        return split(self.value(x), self.atoms)


class DuelingHead(nn.Module):
    """Q = V + A - mean A, [B, D] -> [B, A]; per atom, [B, A, M], where there are atoms. Both streams are
    linear on shared features, as Dopamine's full Rainbow; Wang et al. give each stream 512 hidden units of its own."""

    def __init__(self, inputs: int, actions: int, init: Init, atoms: int = 0, noisy: float = 0.0) -> None:
        super().__init__()
        self.atoms = atoms
        self.value = stream(inputs, atoms or 1, init, noisy)
        self.advantage = stream(inputs, actions * (atoms or 1), init, noisy)

    def readers(self) -> list[Writer]:
        return [self.value, self.advantage]

    def forward(self, x: Tensor) -> Tensor:
        value, advantage = split(self.value(x), self.atoms), split(self.advantage(x), self.atoms)
        return value + advantage - advantage.mean(1, keepdim=True)


HEADS: dict[Head, type[LinearHead] | type[DuelingHead]] = {"linear": LinearHead, "dueling": DuelingHead}


class Encoded(Tailed, Network):
    """An encoder of images or none, a torso, a head: obs [B, *O] -> outputs [B, K]. uint8 is scaled by 1/255; images
    that are float already are taken as they are."""

    encoder: Torso | None
    torso: Chain
    head: LinearHead | DuelingHead
    positions: int  # of one channel behind the encoder

    def encoded(self, obs: Tensor) -> Tensor:
        """The input of the torso, [B, D]."""
        x = pixels(obs) if obs.dtype == torch.uint8 else obs
        if self.encoder is not None:
            x = self.encoder(x)
        return x.flatten(1)

    def features(self, obs: Tensor) -> Tensor:
        """The input of the head, phi: [B, D]."""
        return self.torso(self.encoded(obs))  # type: ignore[no-any-return]

    def forward(self, obs: Tensor) -> Tensor:
        return self.end(self.encoded(obs))  # type: ignore[no-any-return]

    def layers(self) -> list[Layer]:
        heads = [*self.reading(self.head.readers()), *self.frozen_readers("head")]
        torso = self.torso.layers("torso", heads)
        if self.encoder is None:
            return torso
        readers = [torso[0].writer] if torso else heads
        readers = [*readers, *self.frozen_readers("torso")]
        return self.encoder.layers("encoder", readers, self.positions) + torso

    def outputs(self) -> list[Writer]:
        return self.head.readers()

    def shared(self) -> list[Writer]:
        """The stream's writers, and the head where it reads nothing but the stream."""
        stream = [] if self.encoder is None else self.encoder.shared()
        return stream + unread([*self.reading(self.head.readers()), *self.frozen()], self.layers())


class QNetwork(Encoded):
    """obs: [B, *O] -> q: [B, A], or logits of M atoms for every action, [B, A, M]. Images (uint8, [B, C, H, W], scaled
    by 1/255) pass the Nature CNN first, in 1.7M parameters at 84x84; vectors (float32, [B, D]) go straight to the
    torso. noisy: sigma_0 of the noise on the weights of torso and head (Rainbow: arXiv:1710.02298)."""

    def __init__(
        self,
        shape: tuple[int, ...],
        actions: int,
        config: NetConfig,
        head: Head = "linear",
        atoms: int = 0,
        noisy: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = None
        features, self.positions = torch.Size(shape).numel(), 1
        if len(shape) != 3 and config.padding != NetConfig.padding:
            raise ValueError(f"padding {config.padding} is for convolutions; observations of shape {shape} have none")
        if len(shape) == 3:
            self.encoder, features, self.positions = nature(shape, config)
        self.torso, features = mlp(features, config, noisy)
        self.head = HEADS[head](features, actions, config.init, atoms, noisy)
