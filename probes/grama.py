"""GraMa: units that receive no gradient (Liu et al. 2025, arXiv:2505.24061), without recycling them.

g = E |dL/dh| of each sample behind the activation, G = g / mean of g over the layer; a unit is inactive at G <= .01.
Of the three readings in use this is `h`: what the layers behind ask of a unit. A dead unit may still be asked; `a`,
E |dL/dpre| in front of the activation (AgileRL), is 0 then. The gradients of samples do not cancel, as in the third,
that of incoming weights. Both hold behind norms, with leaky ReLU and beside residual streams, where |h| fails. L is the
agent's own training loss, without the penalties of methods, on the probe's batch. Near convergence all gradients are
small and G hides it: `gradient` is the mean of g itself. A layer that receives no gradient at all is inactive as a
whole. A part that has no loss at this update (SAC's actor under --actor-every) is absent.
"""

from contextlib import ExitStack

import torch
from torch import Tensor

from nets.anatomy import Tape, record, score
from nets.part import Part
from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from replay.batch import Batch

TAU = 0.01  # Liu et al. 2025


class GraMa(Probe):
    """Inactive fraction pooled over all units, as the mean of the layers and per layer; mean |dL/dh| of each part."""

    cost = "mid"

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        idle: dict[str, dict[str, Tensor]] = {"": {}, "a": {}}
        for name, (behind, before) in received(subject, batch).items():
            prefix, tail = (f"{name}.", f"/{name}") if len(subject.parts) > 1 else ("", "")
            for kind, sizes in (("", behind), ("a", before)):
                idle[kind] |= {prefix + layer: inactive(g) for layer, g in sizes.items()}
            if behind:
                row[f"gradient{tail}"] = float(torch.cat(list(behind.values())).mean())
        return row | {f"{kind}/{tag}".strip("/"): x for kind, rows in idle.items() for tag, x in summary(rows).items()}


def summary(layers: dict[str, Tensor]) -> dict[str, float]:
    """Pooled over units, mean of the layers, and each; nothing of nothing."""
    each = {name: float(x.mean()) for name, x in layers.items()}
    if not each:
        return {}
    return {"": float(torch.cat(list(layers.values())).mean()), "mean": sum(each.values()) / len(each), **each}


def received(subject: Subject, batch: Batch) -> dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """{part: ({layer: g [U] behind the activation}, {layer: g in front})} of the first loss of each part."""
    found: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}
    with ExitStack() as stack:
        tapes = {name: stack.enter_context(record(part.net, pre=True)) for name, part in subject.parts.items()}
        for loss in subject.losses(batch):
            if loss.part not in found:
                found[loss.part] = gradients(subject.parts[loss.part], loss.value, tapes[loss.part])
    return found


def gradients(part: Part, value: Tensor, tape: Tape) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """g of every layer that the loss reaches; NaN where a weight is not finite."""
    units = {layer.name: layer.units for layer in part.net.layers()}
    rows = [(i, x, h) for i, shown in enumerate((tape.acts, tape.pre)) for x, h in shown.items() if h.requires_grad]
    grads = torch.autograd.grad(value, [h for *_, h in rows], allow_unused=True) if rows else ()
    found: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    fine = sound(part)
    for (i, layer, _), g in zip(rows, grads, strict=True):
        if g is not None:  # the value is the mean of the samples' losses
            found[i][layer] = score(g, units[layer]) * (len(g) if fine else torch.nan)
    return found


def inactive(size: Tensor) -> Tensor:
    """g [U] -> 1 where G <= tau, NaN where g is not finite."""
    mask = size <= TAU * size.mean()
    return torch.where(size.isfinite().all(), mask.float(), torch.nan)
