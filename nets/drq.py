"""The networks of DrQ (Kostrikov et al. 2020, arXiv:2004.13649; Nikishin et al. 2022, arXiv:2205.07802) and DrQ-v2
(Yarats et al. 2022, arXiv:2107.09645): one encoder, which the critic trains, and behind it a trunk and an MLP each.

The encoder is four convolutions of 3x3. DrQ's are those of Nikishin et al. 2022: strides of 2 with padding, 64 pixels.
DrQ-v2 has one stride of 2 and no padding, 84 pixels, and takes them from -.5 to .5. The trunk is Linear -> LayerNorm ->
tanh to a latent of 50, whatever --norm and --activation say, which are for the convolutions.

The actor keeps a copy of the critic's encoder, as jaxrl's does: so a checkpoint of it alone says what it does, as a
teacher's must. Groups: encoder, of the critic; torso, with the trunk; head.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nets.anatomy import Layer, Network, Writer, unread
from nets.encoders import Chain, NetConfig, convolutions, mlp, pixels
from nets.injected import Tailed
from nets.layers import GAIN, Block, Init, Linear
from nets.policy import GaussianHead, Judge
from runs.units import broken

Kind = Literal["drq", "drqv2"]
TABLES: dict[Kind, tuple[tuple[int, int, int], ...]] = {  # channels, kernel, stride
    "drq": ((32, 3, 2), (64, 3, 2), (128, 3, 2), (256, 3, 2)),
    "drqv2": ((32, 3, 2), (32, 3, 1), (32, 3, 1), (32, 3, 1)),
}
NAMES: dict[Kind, str] = {"drq": "encoder of DrQ", "drqv2": "encoder of DrQ-v2"}
LATENT = 50  # units of the trunk (DrQ-v2: 100 for a humanoid)


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


class Mirror(nn.Module):
    """The copy of an encoder: its weights are buffers, so that nobody trains, resets or measures them."""

    def __init__(self, encoder: Chain) -> None:
        super().__init__()
        self.like = (encoder,)  # in a tuple, for its forward pass alone: no submodule
        for name, p in encoder.named_parameters():
            self.register_buffer(name.replace(".", "-"), p.detach().clone())

    def worn(self) -> dict[str, Tensor]:
        """{name in the encoder: its copy}."""
        return {name.replace("-", "."): x for name, x in self.named_buffers()}

    @torch.no_grad()
    def follow(self, encoder: Chain) -> None:
        """Become a copy of this encoder."""
        live, mine = dict(encoder.named_parameters()), self.worn()
        torch._foreach_copy_(list(mine.values()), [live[name] for name in mine])
        for name, block in encoder.blocks():
            if block.writer.weight_lens is not None:  # what it computes with under spectral normalisation
                mine[f"{name}.writer.weight"].copy_(block.writer.weight_lens(block.writer.weight))

    def forward(self, x: Tensor) -> Tensor:
        return functional_call(self.like[0], self.worn(), x)  # type: ignore[no-any-return]


def encoded(obs: Tensor, encoder: nn.Module, kind: Kind) -> Tensor:
    """obs: [B, C, H, W] uint8, or float from 0 to 1 -> [B, D]; features [B, D] are taken as they are."""
    if obs.dim() == 2:
        return obs
    x = pixels(obs) if obs.dtype == torch.uint8 else obs
    return encoder(x - 0.5 if kind == "drqv2" else x).flatten(1)  # type: ignore[no-any-return]


class Critic(Network):
    """obs, action: [B, A] -> q: [K, B], of K Q-functions behind one encoder and one trunk."""

    def __init__(self, shape: tuple[int, ...], actions: int, config: DrQNetConfig, members: int = 2) -> None:
        super().__init__()
        self.kind = config.encoder
        self.encoder, features, self.positions = eyes(self.kind, shape, config)
        self.torso, latent = trunk(features, config, config.latent, config.gain)
        body = lambda inputs: (*mlp(inputs, config), GAIN)
        self.ensemble = nn.ModuleList(Judge(latent + actions, body, config.init) for _ in range(members))

    def encode(self, obs: Tensor) -> Tensor:
        """What the encoder shows, [B, D]: `forward` takes it in the place of images."""
        return encoded(obs, self.encoder, self.kind)

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


class Actor(Tailed, Network):
    """obs -> mean and raw log-sigma of a Gaussian, [B, A] each; or without a Gaussian the mean alone."""

    policy = True

    def __init__(self, shape: tuple[int, ...], actions: int, config: DrQNetConfig, gaussian: bool) -> None:
        super().__init__()
        self.kind = config.encoder
        encoder, features, _ = eyes(self.kind, shape, config)
        self.encoder = Mirror(encoder)
        first, latent = trunk(features, config, config.latent, config.gain)
        rest, features = mlp(latent, config, gain=config.gain)
        self.torso = Chain(dict([*first.blocks(), *rest.blocks()]))
        kind = GaussianHead if gaussian else MeanHead
        self.head = kind(features, actions, config.init, config.gain)

    def forward(self, obs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.end(encoded(obs, self.encoder, self.kind))  # type: ignore[no-any-return]

    def layers(self) -> list[Layer]:
        readers = [*self.reading(self.outputs()), *self.frozen_readers("head")]
        return self.torso.layers("torso", readers)  # type: ignore[no-any-return]

    def outputs(self) -> list[Writer]:
        return [m for m in self.head.children() if isinstance(m, Writer)]

    def shared(self) -> list[Writer]:
        return unread([*self.reading(self.outputs()), *self.frozen()], self.layers())
