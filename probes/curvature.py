"""Curvature of the training loss and the edge of stability (Cohen et al. 2021, arXiv:2103.00065; 2022, 2207.14484).

top, bottom: the extreme eigenvalues of the Hessian of the agent's own loss, targets fixed and without the penalties of
methods, on 256 replay states; by Lanczos with 20 products, so that `bottom`, whose neighbours are close, is no more
than a bound. trace: Hutchinson's estimate with 16 Rademacher vectors. step: top * lr; plain gradient descent is stable
below 2, with momentum b below 2 + 2b. Where the optimizer keeps both moments of Adam: adam, the top eigenvalue of the
Hessian preconditioned by 1 / (sqrt v + eps), and edge, adam over the largest at which Adam is stable,
(2 + 2 b1) / ((1 - b1) lr) = 38 / lr at b1 = .9: 1 is the edge, as described for full batches. A part without a loss at
this update (SAC's actor under --actor-every) and one without layers is absent.
"""

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nets.moments import edge, moments
from nets.part import Part
from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from probes.hessian import flat, product, ritz, signs, trace
from replay.batch import Batch

STATES, STEPS, DRAWS = 256, 20, 16
SPOILT = ("top", "bottom", "trace", "step")  # what every optimizer has


class Curvature(Probe):
    """top, bottom, trace, step, adam and edge, of each part where there are several."""

    cost = "dear"

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        batch, seen = batch.pick(slice(STATES)), set[str]()
        with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
            for loss in subject.losses(batch):
                part = subject.parts[loss.part]
                if loss.part not in seen and part.net.outputs():
                    tail = f"/{loss.part}" if len(subject.parts) > 1 else ""
                    found = (
                        curvature(part, loss.value, subject.seed()) if sound(part) else dict.fromkeys(SPOILT, torch.nan)
                    )
                    row |= {kind + tail: x for kind, x in found.items()}
                seen.add(loss.part)
        return row


def curvature(part: Part, value: Tensor, seed: int) -> dict[str, float]:
    """The numbers of one part's loss []."""
    times, like = product(value, part.trainable), flat([p.detach() for p in part.trainable])
    rng = torch.Generator(like.device).manual_seed(seed)
    start = signs(like, rng)
    values, lr = ritz(times, start, STEPS), part.opt.param_groups[0]["lr"]
    row = {"top": float(values[-1]), "bottom": float(values[0]), "trace": trace(times, like, rng, DRAWS)}
    row["step"] = row["top"] * lr
    root = scaling(part)
    if root is not None:
        row["adam"] = float(ritz(lambda v: root * times(root * v), start, STEPS)[-1])
        row["edge"] = row["adam"] / edge(lr, part.opt.param_groups[0]["betas"][0])
    return row


def scaling(part: Part) -> Tensor | None:
    """(sqrt v + eps)^-1/2 of every parameter, [P]; None without both moments, or before the first step."""
    read = moments(part.opt)
    if any(p not in read for p in part.trainable):
        return None
    return flat([(read[p].v.sqrt() + read[p].eps).rsqrt().expand_as(p) for p in part.trainable])
