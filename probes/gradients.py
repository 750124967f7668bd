"""Gradients of the training loss per layer: l0 and l1 collapse is a sign of Abbas et al. 2023 (arXiv:2303.07507).

l2 and l1: norms, before clipping; tiny: the share of |g| < 1e-8. Of the agent's own loss, without the penalties of
methods, on one minibatch of as many states as it learns from, drawn uniformly even from a prioritised replay: the size
decides how much of the gradient is noise. A part without a loss at this update (SAC's actor under --actor-every) is
absent.
"""

import math

import torch
from torch import Tensor

from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from probes.norm import matrix
from replay.batch import Batch

TINY = 1e-8


class Gradients(Probe):
    """l2, l1 and tiny of each part (its only one without a name) and of each of its weight matrices."""

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        for name, grads in gradients(subject, subject.batch()).items():
            prefix, tail = (f"{name}.", f"/{name}") if len(subject.parts) > 1 else ("", "")
            flat = torch.cat([g.flatten() for g in grads.values()])
            row |= {kind + tail: x for kind, x in sizes(flat).items()}
            for path, g in grads.items():
                if g.ndim > 1:
                    row |= {f"{kind}/{prefix}{matrix(path)}": x for kind, x in sizes(g).items()}
        return row


def gradients(subject: Subject, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """{part: {path: gradient of its first loss}}, NaN where a weight is not finite; nothing is stepped."""
    found: dict[str, dict[str, Tensor]] = {}
    for loss in subject.losses(batch):
        part = subject.parts[loss.part]
        if loss.part not in found:
            live = {path: p for path, p in part.net.named_parameters() if p.requires_grad}
            grads = torch.autograd.grad(loss.value, list(live.values()), allow_unused=True)
            scale = 1.0 if sound(part) else math.nan
            found[loss.part] = {path: g * scale for path, g in zip(live, grads, strict=True) if g is not None}
    return {name: grads for name, grads in found.items() if grads}


def sizes(g: Tensor) -> dict[str, float]:
    """l2, l1 and the share of entries below 1e-8 in size."""
    l1 = float(g.abs().sum(dtype=torch.float64))
    tiny = float((g.abs() < TINY).float().mean()) if math.isfinite(l1) else math.nan
    return {"l2": float(g.square().sum(dtype=torch.float64).sqrt()), "l1": l1, "tiny": tiny}
