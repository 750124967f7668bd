"""Surgery on single units: fresh incoming weights, outgoing weights zero, the optimizer's memory of both (Sokar et al.
2023, arXiv:2302.12902). ReDo, ReGraMa, continual backprop and self-normalised resets differ in whom they choose."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nets.anatomy import Layer, member
from nets.part import Part


def chosen(part: Part, groups: str) -> list[Layer]:
    """The layers whose name has one of the comma-separated groups as a component; all for ""."""
    return [layer for layer in part.net.layers() if member(layer.name, groups)]


@torch.no_grad()
def recycle(part: Part, units: Mapping[str, Tensor], seed: int, restart: bool = False) -> None:
    """{layer: units [K]}: reborn from the draw of this seed. restart: Adam's step count of every tensor touched, too."""
    if not any(which.numel() for which in units.values()):
        return
    fresh = {layer.name: layer for layer in part.fresh(seed).layers()}
    layers = [layer for layer in part.net.layers() if layer.name in units]
    for layer in layers:  # all incoming first: a fresh row must not bring back a zeroed column
        redraw(part, layer, fresh[layer.name], units[layer.name], restart)
    for layer in layers:
        silence(part, layer, units[layer.name], restart)


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


def forget(part: Part, p: Tensor, index: Tensor | tuple[slice | Tensor, ...], restart: bool) -> None:
    assert isinstance(p, nn.Parameter)
    if not p.requires_grad:
        return
    part.forget(p, index)
    if restart:
        part.forget(p, slots=("step",))
