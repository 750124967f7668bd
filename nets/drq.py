"""The networks of DrQ (Kostrikov et al. 2020, arXiv:2004.13649; Nikishin et al. 2022, arXiv:2205.07802) and DrQ-v2
(Yarats et al. 2022, arXiv:2107.09645): one encoder, which the critic trains, and behind it a trunk and an MLP each.

The actor keeps a copy of the critic's encoder that nobody trains (`follow`), as jaxrl's does: so its weights alone say
what it does, as a teacher's must. Groups: encoder; torso, with the trunk; head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, Network, Writer, unread
from nets.encoders import Chain, NetConfig, mlp, pixels
from nets.injected import Tailed
from nets.layers import GAIN, Init, Linear
from nets.pixels import LATENT, Kind, eyes, trunk
from nets.policy import GaussianHead, Judge
from runs.units import broken


@dataclass(frozen=True)
class DrQNetConfig(NetConfig):
    """The networks"""

    hidden: tuple[int, ...] = (1024, 1024)
    """Units of each hidden layer behind the trunk (DrQ-v2: 1024 1024; DrQ of Nikishin et al. 2022: 256 256)"""
    init: Init = "orthogonal"
    """orthogonal with zero biases (DrQ-v2, jaxrl), torch: U(+-1/sqrt(fan_in)), xavier, he"""
    encoder: Kind = "drqv2"
    """drqv2: 32 channels, one stride of 2, pixels from -.5 to .5; drq: 32 to 256, strides of 2 (arXiv:2205.07802)"""
    latent: int = LATENT
    """Units of the trunk (both: 50; DrQ-v2: 100 for a humanoid)"""

    def problems(self) -> list[str]:
        return super().problems() + broken(self, {"latent": (self.latent > 0, "at least 1")})

    @property
    def gain(self) -> float:
        """Of an orthogonal trunk and actor: DrQ-v2 draws them with 1."""
        return 1.0 if self.encoder == "drqv2" else GAIN


class Seeing(Network):
    """What has an encoder: obs [B, C, H, W] uint8, or float from 0 to 1; what it shows, [B, D], is taken as it is."""

    encoder: Chain
    torso: Chain
    positions: int  # of one channel behind the encoder
    shift: float  # of what it sees

    def see(self, shape: tuple[int, ...], config: DrQNetConfig) -> int:
        """Make the encoder; how many features it has."""
        self.shift = 0.5 if config.encoder == "drqv2" else 0.0
        self.encoder, features, self.positions = eyes(config.encoder, shape, config)
        return features

    def encode(self, obs: Tensor) -> Tensor:
        """[B, D]."""
        if obs.dim() == 2:
            return obs
        x = pixels(obs) if obs.dtype == torch.uint8 else obs
        return self.encoder(x - self.shift if self.shift else x).flatten(1)  # type: ignore[no-any-return]


class Critic(Seeing):
    """obs, action: [B, A] -> q: [K, B], of K Q-functions behind one encoder and one trunk."""

    def __init__(self, shape: tuple[int, ...], actions: int, config: DrQNetConfig, members: int = 2) -> None:
        super().__init__()
        self.torso, latent = trunk(self.see(shape, config), config, config.latent, config.gain)
        body = lambda inputs: (*mlp(inputs, config), GAIN)
        self.ensemble = nn.ModuleList(Judge(latent + actions, body, config.init) for _ in range(members))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        x = torch.cat([self.torso(self.encode(obs)), action], 1)
        return torch.stack([judge(x) for judge in self.ensemble])

    def judges(self) -> list[Judge]:
        return [judge for judge in self.ensemble if isinstance(judge, Judge)]

    def layers(self) -> list[Layer]:
        rows, entries = list[Layer](), list[Writer]()
        for i, judge in enumerate(self.judges()):
            heads = [*self.reading([judge.value]), *judge.frozen_readers("head")]
            mine = judge.torso.layers(f"ensemble.{i}.torso", heads)
            entries += [mine[0].writer] if mine else heads
            entries += judge.frozen_readers("torso")
            rows += mine
        behind = self.torso.layers("torso", entries)
        return [*self.encoder.layers("encoder", [behind[0].writer], self.positions), *behind, *rows]

    def outputs(self) -> list[Writer]:
        return [judge.value for judge in self.judges()]

    def shared(self) -> list[Writer]:
        frozen = [writer for judge in self.judges() for writer in judge.frozen()]
        return unread([*self.reading(self.outputs()), *frozen], self.layers())


class MeanHead(nn.Module):
    """features: [B, D] -> the mean before its squashing, [B, A]."""

    def __init__(self, inputs: int, actions: int, init: Init, gain: float) -> None:
        super().__init__()
        self.mean = Linear(inputs, actions, init, gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean(x)  # type: ignore[no-any-return]


class Actor(Tailed, Seeing):
    """obs -> mean and raw log-sigma of a Gaussian, [B, A] each; or without a Gaussian the mean alone."""

    policy = True

    def __init__(self, shape: tuple[int, ...], actions: int, config: DrQNetConfig, gaussian: bool) -> None:
        super().__init__()
        first, latent = trunk(self.see(shape, config), config, config.latent, config.gain)
        self.encoder.requires_grad_(False)
        rest, features = mlp(latent, config, gain=config.gain)
        self.torso = Chain(dict([*first.blocks(), *rest.blocks()]))
        kind = GaussianHead if gaussian else MeanHead
        self.head = kind(features, actions, config.init, config.gain)

    def forward(self, obs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.end(self.encode(obs))  # type: ignore[no-any-return]

    @torch.no_grad()
    def follow(self, encoder: Chain) -> None:
        """See as this encoder does."""
        torch._foreach_copy_(list(self.encoder.parameters()), list(encoder.parameters()))
        for (_, mine), (_, its) in zip(self.encoder.blocks(), encoder.blocks(), strict=True):
            if its.writer.weight_lens is not None:  # what it computes with under spectral normalisation
                mine.writer.weight.copy_(its.writer.weight_lens(its.writer.weight))

    def layers(self) -> list[Layer]:
        readers = [*self.reading(self.outputs()), *self.frozen_readers("head")]
        return self.torso.layers("torso", readers)  # type: ignore[no-any-return]

    def outputs(self) -> list[Writer]:
        return [m for m in self.head.children() if isinstance(m, Writer)]

    def shared(self) -> list[Writer]:
        """The copied encoder too: its units are the critic's."""
        heads = [*self.reading(self.outputs()), *self.frozen()]
        return [*(block.writer for _, block in self.encoder.blocks()), *unread(heads, self.layers())]
