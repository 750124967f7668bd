"""Surgery on single units: fresh incoming weights, outgoing weights zero, the optimizer's memory of both (Sokar et al.
2023, arXiv:2302.12902). ReDo, ReGraMa, continual backprop and self-normalised resets differ in whom they choose."""

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, member
from nets.optim import COUNTS
from nets.part import Part
from nets.subject import Subject


def chosen(part: Part, groups: str) -> list[Layer]:
    """The layers whose name has one of the comma-separated groups as a component; all for ""."""
    return [layer for layer in part.net.layers() if member(layer.name, groups)]


def absent(subject: Subject, method: str, groups: str) -> Iterator[str]:
    """A sentence if no part has a unit to choose there."""
    if not any(chosen(part, groups) for part in subject.parts.values()):
        names = sorted({layer.name for part in subject.parts.values() for layer in part.net.layers()})
        known = f"layers with units of their own are {', '.join(names)}" if names else "give it --hidden layers"
        yield f"{method}_groups {groups!r}: the networks have no hidden unit to recycle there; {known}"


def reborn(part: Part, layer: Layer, redrawn: Collection[str]) -> bool:
    """Whether a reset drew the layer's incoming weights anew; redrawn: names of parameters, as in after_reset()."""
    mine = set(layer.writer.parameters())
    return any(p in mine for name, p in part.net.named_parameters() if name in redrawn)


def born(part: Part, seed: int) -> dict[str, Layer]:
    """{name: layer} of another draw of the network."""
    return {layer.name: layer for layer in part.fresh(seed).layers()}


def recycle(part: Part, units: Mapping[str, Tensor], seed: int, restart: bool = False, outgoing: float = 0.0) -> None:
    """{layer: units [K]}: reborn from the draw of this seed. restart: Adam's step counts, of the whole of every
    tensor touched. outgoing: outgoing weights are this times the draw's."""
    if any(which.numel() for which in units.values()):
        rebirth(part, units, born(part, seed), restart, outgoing)


@torch.no_grad()
def rebirth(
    part: Part, units: Mapping[str, Tensor], fresh: Mapping[str, Layer], restart: bool = False, outgoing: float = 0.0
) -> None:
    """As recycle, with the values of these layers."""
    layers = [layer for layer in part.net.layers() if layer.name in units and units[layer.name].numel()]
    for layer in layers:  # all incoming first: a fresh row must not bring back a zeroed column
        redraw(part, layer, fresh[layer.name], units[layer.name], restart)
    for layer in layers:
        silence(part, layer, units[layer.name], restart)
        if outgoing:
            speak(layer, fresh[layer.name], units[layer.name], outgoing)


@torch.no_grad()
def redraw(part: Part, layer: Layer, fresh: Layer, units: Tensor, restart: bool = False) -> None:
    """Incoming weights, biases, gains and slopes of the units as at birth."""
    for module, new in zip(layer.bearers(), fresh.bearers(), strict=True):
        for p, q in zip(module.parameters(), new.parameters(), strict=True):
            p[units] = q[units]
            forget(part, p, units, restart)


@torch.no_grad()
def silence(part: Part, layer: Layer, units: Tensor, restart: bool = False) -> None:
    """Outgoing weights zero, not fresh: the unit's effect must not jump (Sokar et al. 2023, sec. 4)."""
    for edge in layer.edges:
        for p in edge.reader.matrices:
            columns = (slice(None), edge.columns(units))
            p[columns] = 0
            forget(part, p, columns, restart)


@torch.no_grad()
def speak(layer: Layer, fresh: Layer, units: Tensor, scale: float) -> None:
    """Outgoing weights at a multiple of the draw's."""
    for edge, new in zip(layer.edges, fresh.edges, strict=True):
        columns = edge.columns(units)
        for p, q in zip(edge.reader.matrices, new.reader.matrices, strict=True):
            p[:, columns] = scale * q[:, columns]


def forget(part: Part, p: Tensor, index: Tensor | tuple[slice | Tensor, ...], restart: bool) -> None:
    assert isinstance(p, nn.Parameter)
    if not p.requires_grad:
        return
    part.forget(p, index)
    if restart:
        part.forget(p, slots=tuple(COUNTS))
