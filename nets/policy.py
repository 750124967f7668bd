"""Networks of an actor-critic (Haarnoja et al. 2018, arXiv:1812.05905): a Gaussian's parameters, an ensemble of
Q(s, a), the temperature. Torsos: an MLP, or the residual ones of SimBa and BRO (nets/residual.py)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, Network, Torso, Writer, unread
from nets.encoders import NetConfig, mlp
from nets.heads import LinearHead
from nets.injected import Tailed
from nets.layers import GAIN, Init, Linear
from nets.residual import bro, simba

Body = Callable[[int], tuple[Torso, int, float]]  # inputs -> a torso, its output features and the gain behind it
Kind = Literal["mlp", "simba", "bro"]


@dataclass(frozen=True)
class PolicyConfig(NetConfig):
    """The networks"""

    hidden: tuple[int, ...] = (256, 256)
    """Units of each hidden layer of an MLP (Haarnoja et al. 2018: 256 256)"""
    init: Init = "orthogonal"
    """orthogonal with gain sqrt(2) and zero biases (jaxrl), torch: U(+-1/sqrt(fan_in)) (CleanRL, SB3), xavier, he"""
    critic_net: Kind = "mlp"
    """mlp, or residual blocks with layer norms: simba (Lee et al. 2024), bro (Nauman et al. 2024)"""
    actor_net: Kind = "mlp"
    """As --critic-net, of the actor"""
    critic_hidden: tuple[int, ...] = ()
    """As --hidden, of the critics; empty for the same. A residual network has one block a number (SimBa: 512 512)"""
    actor_hidden: tuple[int, ...] = ()
    """As --hidden, of the actor; empty for the same (SimBa: one block of 128)"""
    norm_parts: str = ""
    """Which parts --norm is for, e.g. critic; empty for all (Hiraoka et al. 2022, arXiv:2110.02034: critic)"""

    def problems(self) -> list[str]:
        rows = super().problems()
        for part in filter(None, self.norm_parts.split(",")):
            if part not in ("critic", "actor"):
                rows.append(f"norm_parts: no part {part!r}; there are critic, actor")
        mlps = [part for part, net in (("critic", self.critic_net), ("actor", self.actor_net)) if net == "mlp"]
        if self.norm == "none" and self.norm_parts:
            rows.append("norm_parts does nothing without --norm layer")
        if self.norm != "none" and not set(mlps) & set(self.norm_parts.split(",") if self.norm_parts else mlps):
            rows.append(f"norm {self.norm}: the layer norms of simba and bro are their own; leave it out")
        if not mlps and self.init != "orthogonal":
            rows.append(f"init {self.init}: simba and bro draw by laws of their own; leave it out")
        if self.padding != "valid":
            rows.append(f"padding {self.padding} is for convolutions; these networks have none")
        return rows

    def body(self, part: Literal["critic", "actor"], inputs: int) -> tuple[Torso, int, float]:
        """The torso of a part, its output features, and the gain of an orthogonal layer behind it (SimBa: 1)."""
        kind, hidden = (
            (self.critic_net, self.critic_hidden) if part == "critic" else (self.actor_net, self.actor_hidden)
        )
        hidden = hidden or self.hidden
        if kind == "mlp":
            normed = not self.norm_parts or part in self.norm_parts.split(",")
            return *mlp(inputs, replace(self, hidden=hidden, norm=self.norm if normed else "none")), GAIN
        return (*simba(inputs, hidden, self), 1.0) if kind == "simba" else (*bro(inputs, hidden, self), GAIN)


class GaussianHead(nn.Module):
    """features: [B, D] -> mean and raw log-sigma, [B, A] each. Under `orthogonal` the log-sigma has gain 1 (jaxrl)."""

    def __init__(self, inputs: int, actions: int, init: Init, gain: float) -> None:
        super().__init__()
        self.mean = Linear(inputs, actions, init, gain)
        self.log_std = Linear(inputs, actions, init, gain=1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_std(x)


class Actor(Tailed, Network):
    """obs: [B, D] -> mean and raw log-sigma of a Gaussian, [B, A] each."""

    policy = True

    def __init__(self, inputs: int, actions: int, body: Body, init: Init) -> None:
        super().__init__()
        self.torso, features, gain = body(inputs)
        self.head = GaussianHead(features, actions, init, gain)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.end(obs)  # type: ignore[no-any-return]

    def layers(self) -> list[Layer]:
        readers = [*self.reading(self.outputs()), *self.frozen_readers("head")]
        return self.torso.layers("torso", readers)  # type: ignore[no-any-return]

    def outputs(self) -> list[Writer]:
        return [self.head.mean, self.head.log_std]

    def shared(self) -> list[Writer]:
        heads = [*self.reading(self.outputs()), *self.frozen()]
        return [*self.torso.shared(), *unread(heads, self.layers())]


class Judge(Tailed):
    """One Q-function of the ensemble, obs and action: [B, D + A] -> q: [B]."""

    def __init__(self, inputs: int, body: Body, init: Init) -> None:
        super().__init__()
        self.torso, features, gain = body(inputs)
        self.head = LinearHead(features, 1, init, gain=gain)

    @property
    def value(self) -> Writer:
        return self.head.value  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.end(x)[:, 0]  # type: ignore[no-any-return]


class Critic(Network):
    """obs: [B, D], action: [B, A] -> q: [K, B], of K Q-functions that share nothing."""

    def __init__(self, inputs: int, body: Body, init: Init, members: int = 2) -> None:
        super().__init__()
        self.ensemble = nn.ModuleList(Judge(inputs, body, init) for _ in range(members))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        x = torch.cat([obs, action], 1)
        return torch.stack([judge(x) for judge in self.ensemble])

    def judges(self) -> list[Judge]:
        return [judge for judge in self.ensemble if isinstance(judge, Judge)]

    def layers(self) -> list[Layer]:
        readers = [[*self.reading([judge.value]), *judge.frozen_readers("head")] for judge in self.judges()]
        rows = [judge.torso.layers(f"ensemble.{i}.torso", readers[i]) for i, judge in enumerate(self.judges())]
        return [layer for row in rows for layer in row]

    def outputs(self) -> list[Writer]:
        return [judge.value for judge in self.judges()]

    def shared(self) -> list[Writer]:
        streams = [writer for judge in self.judges() for writer in judge.torso.shared()]
        frozen = [writer for judge in self.judges() for writer in judge.frozen()]
        return [*streams, *unread([*self.reading(self.outputs()), *frozen], self.layers())]


class Temperature(Network):
    """() -> alpha = exp(log_alpha), a scalar that is learned like any other weight."""

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(initial).log())

    def forward(self) -> Tensor:
        return self.log_alpha.exp()

    def layers(self) -> list[Layer]:
        return []

    def outputs(self) -> list[Writer]:
        return []
