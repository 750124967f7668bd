"""Anatomy: which unit is written by which rows and read through which columns. A network states it; a law proves it.

"The next layer" cannot be guessed: flattening, CReLU, dueling heads and residual streams all break the guess, so every
network lists its units as Layers and every consumer of a unit as an Edge. Surgery uses only this.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Writer(nn.Module):
    """A module that bears weights: every one of its parameters has units in dimension 0."""

    weight: Tensor

    @property
    def matrices(self) -> tuple[Tensor, ...]:
        """Parameters with units in dimension 0 and inputs in dimension 1 (a noisy layer has two)."""
        return (self.weight,)


@dataclass(frozen=True)
class Edge:
    """Unit u is input columns offset + u*width .. + width - 1 of `reader` (width 49 after a 7x7 flatten)."""

    reader: Writer
    width: int = 1
    offset: int = 0

    def columns(self, units: Tensor) -> Tensor:
        """units: [K] int64 -> [K*width] int64 input columns of the reader."""
        return (self.offset + units[:, None] * self.width + torch.arange(self.width, device=units.device)).flatten()


@dataclass(frozen=True)
class Layer:
    """U units: rows of `writer`, gains of `norm`, shown as [B, U*copies, *space] at the output of `act`."""

    name: str
    writer: Writer
    act: nn.Module
    edges: tuple[Edge, ...]
    norm: nn.Module | None = None


class Network(nn.Module, ABC):
    """A network whose submodules are named encoder, torso, head and which knows its own anatomy."""

    @abstractmethod
    def layers(self) -> list[Layer]:
        """Every hidden unit that has private consumers, in the order of the forward pass; never the output layer."""

    def shared(self) -> list[Writer]:
        """Every writer whose units have no private consumers: those of a residual stream. They are never recycled."""
        return []


class Torso(nn.Module, ABC):
    """A piece of a network, between its input and whoever reads it."""

    @abstractmethod
    def layers(self, prefix: str, readers: list[Writer], width: int = 1) -> list[Layer]:
        """Its private units; the last ones, if they are private, are read by `readers` through `width` columns each."""

    def shared(self) -> list[Writer]:
        """As Network.shared."""
        return []


def unread(writers: Sequence[Writer], layers: Sequence[Layer]) -> list[Writer]:
    """Those that neither write nor read a layer's units: a head that reads nothing but a stream."""
    named = {layer.writer for layer in layers} | {edge.reader for layer in layers for edge in layer.edges}
    return [writer for writer in writers if writer not in named]


@contextmanager
def watch(layers: Sequence[Layer]) -> Iterator[dict[str, Tensor]]:
    """Within the block, each forward pass writes the layers' activations, {name: [B, U*copies, *space]}."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> object:
        def hook(module: nn.Module, args: object, out: Tensor) -> None:
            seen[name] = out.detach()

        return hook

    hooks = [layer.act.register_forward_hook(keep(layer.name)) for layer in layers]  # type: ignore[arg-type]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def score(activation: Tensor, units: int) -> Tensor:
    """Mean |h| of each unit over batch and space: [B, U*copies, *space] -> [U].

    A unit's largest copy counts: one dead half of a CReLU is not a dead unit.
    """
    size = activation.abs().transpose(0, 1).flatten(1).mean(1)  # [copies*U]
    return size.view(-1, units).amax(0)


def dormancy(size: Tensor) -> Tensor:
    """ReDo's score s_i = E|h_i| / (mean_k E|h_k| + 1e-9), [U] -> [U]; its mean over a layer is 1 (arXiv:2302.12902)."""
    return size / (size.mean() + 1e-9)
