"""GraMa: units that receive no gradient (Liu et al. 2025, arXiv:2505.24061), without recycling them.

g = E |dL/dh| of each sample behind the activation, G = g / mean of g over the layer; a unit is inactive at G <= .01.
This is `h` of the three readings in use: the gradients of samples do not cancel as in that of incoming weights. It
holds behind norms, with leaky ReLU and beside residual streams, where |h| fails. L is the agent's own training loss,
without the penalties of methods, on the probe's batch. Near convergence all gradients are small and G hides it:
`gradient` is the mean of g itself. A layer that receives no gradient at all is inactive as a whole. A part that has no
loss at this update (SAC's actor under --actor-every) is absent.
"""

from contextlib import ExitStack

import torch
from torch import Tensor

from nets.anatomy import record, score
from nets.part import Part, Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from replay.batch import Batch

TAU = 0.01  # Liu et al. 2025


class GraMa(Probe):
    """Inactive fraction pooled over all units, as the mean of the layers and per layer; mean |dL/dh| per part."""

    cost = "mid"

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        idle: dict[str, Tensor] = {}
        for name, layers in received(subject, batch).items():
            prefix, tag = (f"{name}.", f"gradient/{name}") if len(subject.parts) > 1 else ("", "gradient")
            idle |= {prefix + layer: inactive(g) for layer, g in layers.items()}
            row[tag] = float(torch.cat(list(layers.values())).mean())
        if idle:
            row[""] = float(torch.cat(list(idle.values())).mean())
            row["mean"] = float(torch.stack([x.mean() for x in idle.values()]).mean())
        return row | {layer: float(x.mean()) for layer, x in idle.items()}


def received(subject: Subject, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """{part: {layer: g [U]}} of every part that has a loss and layers; NaN where a weight is not finite."""
    found: dict[str, dict[str, Tensor]] = {}
    with ExitStack() as stack:
        tapes = {name: stack.enter_context(record(part.net)) for name, part in subject.parts.items()}
        for loss in subject.losses(batch):
            acts = {layer: h for layer, h in tapes[loss.part].acts.items() if h.requires_grad}
            if acts and loss.part not in found:
                found[loss.part] = sizes(subject.parts[loss.part], loss.value, acts)
    return {name: rows for name, rows in found.items() if rows}


def sizes(part: Part, value: Tensor, acts: dict[str, Tensor]) -> dict[str, Tensor]:
    """g of the layers that the loss reaches. Of every sample's loss: the value is their mean over the batch."""
    grads = torch.autograd.grad(value, list(acts.values()), allow_unused=True)
    units = {layer.name: layer.units for layer in part.net.layers()}
    fine = sound(part)
    rows = {x: (g, len(g) if fine else torch.nan) for x, g in zip(acts, grads, strict=True) if g is not None}
    return {x: scale * score(g, units[x]) for x, (g, scale) in rows.items()}


def inactive(size: Tensor) -> Tensor:
    """g [U] -> 1 where G <= tau, NaN where g is not finite."""
    mask = size <= TAU * size.mean()
    return torch.where(size.isfinite().all(), mask.float(), torch.nan)
