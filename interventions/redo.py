"""ReDo (Sokar et al. 2023, arXiv:2302.12902): recycle dormant units.

The paper scores 64 states; we score --redo-batch 256: a unit silent on 64 states need not be silent on 256.
The outputs are unchanged only at tau 0 and without LayerNorm, which couples the units of a layer. The slow network
follows at its next sync. The step count of Adam is one number for a whole tensor and is kept by default.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from interventions.base import Intervention, Reach, State
from nets.anatomy import Layer, dormancy, score, watch
from nets.part import Part, Subject
from replay.batch import Batch
from runs.units import NEVER, Every, broken


@dataclass(frozen=True)
class ReDo(Intervention):
    """ReDo: fresh incoming, zero outgoing weights for dormant units (Sokar et al. 2023)"""

    reach = Reach.UNIT
    touches = "rows, columns and moments of dormant units"

    redo_every: Every = NEVER
    """How often, e.g. 1k:updates (the paper's period)"""
    redo_tau: float = 0.1
    """A unit is dormant when its score is at most tau (the paper's comparison value; .025 is the mild setting)"""
    redo_batch: int = 256
    """Replay states that are scored (Sokar et al. 2023: 64)"""
    redo_groups: str = ""
    """Only layers whose path has one of these groups, e.g. encoder; empty for all (the paper recycles every layer)"""
    redo_step: Literal["keep", "reset"] = "keep"
    """Adam's step count of every tensor touched: keep as the paper, or reset as timoklein/redo"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {"redo_tau": (self.redo_tau >= 0, "at least 0"), "redo_batch": (self.redo_batch > 0, "at least 1")}
        yield from broken(self, rules)

    @torch.no_grad()
    def apply(self, state: State, subject: Subject) -> None:
        batch = subject.batch(self.redo_batch)
        for name, part in subject.parts.items():
            dormant = self.dormant(subject, name, batch)
            if not any(units.numel() for units in dormant.values()):
                continue
            fresh = {layer.name: layer for layer in part.fresh(subject.seed()).layers()}
            layers = [layer for layer in part.net.layers() if layer.name in dormant]
            for layer in layers:  # all incoming first: a fresh row must not bring back a zeroed column
                self.redraw(part, layer, fresh[layer.name], dormant[layer.name])
            for layer in layers:
                self.silence(part, layer, dormant[layer.name])

    def dormant(self, subject: Subject, name: str, batch: Batch) -> dict[str, Tensor]:
        """{layer: dormant units [K]} by one forward pass of the network before any recycling."""
        groups = set(filter(None, self.redo_groups.split(",")))
        layers = [x for x in subject.parts[name].net.layers() if not groups or groups & set(x.name.split("."))]
        with watch(layers) as seen:
            subject.run(name, batch)
        scores = {x.name: dormancy(score(seen[x.name], x.writer.matrices[0].shape[0])) for x in layers}
        return {layer: (s <= self.redo_tau).nonzero()[:, 0] for layer, s in scores.items()}

    def redraw(self, part: Part, layer: Layer, fresh: Layer, units: Tensor) -> None:
        """Incoming weights, biases and gains of the units as at birth."""
        for module, new in ((layer.writer, fresh.writer), (layer.norm, fresh.norm)):
            if module is not None and new is not None:
                for p, q in zip(module.parameters(), new.parameters(), strict=True):
                    p[units] = q[units]
                    self.forget(part, p, units)

    def silence(self, part: Part, layer: Layer, units: Tensor) -> None:
        """Outgoing weights zero, not fresh: the unit's effect must not jump (Sokar et al. 2023, sec. 4)."""
        for edge in layer.edges:
            for p in edge.reader.matrices:
                columns = (slice(None), edge.columns(units))
                p[columns] = 0
                self.forget(part, p, columns)

    def forget(self, part: Part, p: Tensor, index: Tensor | tuple[slice | Tensor, ...]) -> None:
        assert isinstance(p, nn.Parameter)
        part.forget(p, index)
        if self.redo_step == "reset":
            part.forget(p, slots=("step",))
