"""Anatomy: which unit is written by which rows and read through which columns. A network states it; a law proves it.

"The next layer" cannot be guessed: flattening, CReLU, dueling heads and residual streams all break the guess, so every
network lists its units as Layers and every consumer of a unit as an Edge. Surgery uses only this.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn


def member(name: str, groups: str) -> bool:
    """Whether a path has one of the comma-separated groups as a component; "" is every group."""
    return not groups or bool(set(groups.split(",")) & set(name.split(".")))


class Writer(nn.Module):
    """A module that bears weights: every one of its parameters has units in dimension 0."""

    weight: Tensor
    output_lens: nn.Module | None  # what stands behind it: a scale, a factor for each unit

    @property
    def matrices(self) -> tuple[Tensor, ...]:
        """Parameters with units in dimension 0 and inputs in dimension 1 (a noisy layer has two)."""
        return (self.weight,)

    def own(self) -> list[Tensor]:
        """Its parameters, the matrix first, without those of its lens."""
        return [p for name, p in self.named_parameters() if not name.startswith("output_lens.")]


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

    @property
    def units(self) -> int:
        return self.writer.matrices[0].shape[0]

    def bearers(self) -> list[nn.Module]:
        """What bears a unit's own parameters, units in dimension 0: writer, norm and activation (a PReLU's slopes)."""
        return [module for module in (self.writer, self.norm, self.act) if module is not None]


class Network(nn.Module, ABC):
    """A network whose submodules are named encoder, torso, head and which knows its own anatomy.

    policy: whether its outputs are a policy, judged by another network.
    beside: what reads the same inputs as a writer of the output, in no forward pass of the network's own.
    """

    policy: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.beside: dict[Writer, Writer] = {}

    @abstractmethod
    def layers(self) -> list[Layer]:
        """Every hidden unit that has private consumers, in the order of the forward pass; never the output layer."""

    @abstractmethod
    def outputs(self) -> list[Writer]:
        """The writers of the output, one for each stream and member; their inputs are the features. [] for none."""

    def shared(self) -> list[Writer]:
        """Every writer whose units have no private consumers: those of a residual stream. They are never recycled."""
        return []

    def attach(self, name: str, readers: Mapping[Writer, Writer]) -> None:
        """A submodule of further readers of the features: {a writer of the output: what reads the same inputs}."""
        self.add_module(name, nn.ModuleList(readers.values()))
        self.beside |= readers

    def reading(self, heads: list[Writer]) -> list[Writer]:
        """These writers of the output and what is beside them: all that reads the units below."""
        return heads + [self.beside[head] for head in heads if head in self.beside]

    def writers(self) -> dict[str, Writer]:
        """{path: every module that bears weights}."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Writer)}

    def norms(self) -> dict[str, nn.Module]:
        """{path: every normalisation layer}."""
        kinds = (nn.GroupNorm, nn.LayerNorm)
        return {name: module for name, module in self.named_modules() if isinstance(module, kinds)}


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


@dataclass
class Tape:
    """What a forward pass showed, with its graph: acts {layer: [B, U*copies, *space]} and the inputs of the outputs."""

    acts: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[int, Tensor] = field(default_factory=dict)  # {place in Network.outputs(): [B, D]}
    pre: dict[str, Tensor] = field(default_factory=dict)  # {layer: what enters its activation, [B, U, *space]}

    def cut(self) -> "Tape":
        """What is on it so far."""
        return Tape(dict(self.acts), dict(self.inputs), dict(self.pre))

    def clear(self) -> None:
        """The next pass is the first."""
        self.acts.clear()
        self.pre.clear()
        self.inputs.clear()

    @property
    def features(self) -> Tensor:
        """phi, [K, B, D]: one for each member of an ensemble; streams that read the same features count once."""
        rows: list[Tensor] = []
        for x in self.inputs.values():
            if not any(x is row for row in rows):
                rows.append(x)
        return torch.stack(rows)


@contextmanager
def record(net: Network, pre: bool = False) -> Iterator[Tape]:
    """Within the block, the tape keeps the first pass that carries gradients, or the first of all where none does; pre:
    what enters the activations too, whose memory a pass would give back at once."""
    tape, layers, outputs = Tape(), net.layers(), net.outputs()

    def fresh(kept: Tensor | None, x: Tensor) -> bool:
        return kept is None or (x.requires_grad and not kept.requires_grad)

    def act(name: str) -> object:
        def hook(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            if fresh(tape.acts.get(name), out):
                tape.acts[name] = out
                if pre:
                    tape.pre[name] = args[0]

        return hook

    def read(place: int) -> object:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            if fresh(tape.inputs.get(place), args[0]):
                tape.inputs[place] = args[0]

        return hook

    hooks = [layer.act.register_forward_hook(act(layer.name)) for layer in layers]  # type: ignore[arg-type]
    hooks += [writer.register_forward_pre_hook(read(i)) for i, writer in enumerate(outputs)]  # type: ignore[arg-type]
    try:
        yield tape
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
