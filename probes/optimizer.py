"""Health of the optimizer and effective step size, read off one update of a copy that is thrown away.

The copy steps once on a minibatch of as many states as the agent learns from, by its own losses without the penalties
of methods; clipping, weight decay and every kind of optimizer are in what is then seen.
  update: RMS of the step; rate: ||dW|| / ||W|| of each matrix, and their mean; angle: the mean of the same of dW at
    right angles to W, which is what moves a layer in front of a norm.
Where the optimizer keeps both moments of Adam, m and v corrected and as the step reads them:
  step: mean |m| / (sqrt v + eps), the step in units of the learning rate; below_eps: share of sqrt v < eps, where Adam
    is SGD; r_v: mean g^2 / mean v, and rms_t: sqrt(mean(g^2 / max(v, eps^2))) of each matrix, and the largest of all
    tensors (Wortsman et al. 2023, arXiv:2304.13013). Far above 1 the second moment is stale and a spike may follow.
Of TRAC (Muppidi et al. 2024, arXiv:2405.16642) scale: the sum of its scales s, 1e-7 at first; below 0 it counts as 0.
g is the gradient that v sees, after clipping. v holds it already: with beta 0.999 r_v is at most 1,000.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from nets.adam_elements import TINY
from nets.moments import moments
from nets.part import Part, Weights
from nets.subject import Loss, Subject
from probes.base import Memory, Probe, parts_of
from probes.dormant import sound
from probes.norm import matrix
from replay.batch import Batch

SPOILT = ("update", "rate", "angle")  # what every optimizer has


class Optimizer(Probe):
    """Of each part (the only one without a name), rate and rms_t of each matrix too."""

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        before = {name: part.weights() for name, part in subject.parts.items()}
        twin, stepped = after(subject)
        row: dict[str, float] = {}
        for prefix, name, part in parts_of(twin):
            tail = f"/{name}" if prefix else ""
            if not sound(subject.parts[name]) or not stepped.get(name, True):
                row |= {kind + tail: torch.nan for kind in SPOILT}
            elif name in stepped:
                found = step_sizes(part, before[name]) | health(part) | tuning(part)
                row |= named(found, prefix, tail)
        return row


def after(subject: Subject) -> tuple[Subject, dict[str, bool]]:
    """A copy of the agent after one update, and {part: whether it stepped, or met a loss that is not finite}."""
    twin, stepped = subject.shadow(), {}

    def losses(batch: Batch) -> Iterator[Loss]:
        for loss in twin.losses(batch):
            stepped[loss.part] = bool(loss.value.isfinite())
            if not stepped[loss.part]:
                return
            yield loss

    twin.extra_update(losses)
    return twin, stepped


def named(found: dict[str, float], prefix: str, tail: str) -> dict[str, float]:
    """Tags: "rate/torso.fc1" is of a matrix, "rate" of the part."""
    rows = {kind.partition("/"): x for kind, x in found.items()}
    return {f"{kind}/{prefix}{path}" if path else kind + tail: x for (kind, _, path), x in rows.items()}


@torch.no_grad()
def step_sizes(part: Part, before: Weights) -> dict[str, float]:
    """update, rate and angle; a matrix of zeros has no rate."""
    away = {path: (p - before[path]).double() for path, p in part.net.named_parameters() if p.requires_grad}
    square, count = sum(float(d.square().sum()) for d in away.values()), sum(d.numel() for d in away.values())
    norms = {path: float(before[path].double().norm()) for path, d in away.items() if d.ndim > 1}
    rates = {path: float(away[path].norm()) / norm for path, norm in norms.items() if norm}
    row = {"update": (square / count) ** 0.5, **{f"rate/{matrix(path)}": x for path, x in rates.items()}}
    if rates:
        along = {path: float((away[path] * before[path]).sum()) / norms[path] ** 2 for path in rates}
        angles = [max(x**2 - along[path] ** 2, 0.0) ** 0.5 for path, x in rates.items()]
        row |= {"rate": sum(rates.values()) / len(rates), "angle": sum(angles) / len(angles)}
    return row


@torch.no_grad()
def health(part: Part) -> dict[str, float]:
    """step, below_eps, r_v and rms_t over the tensors that have a gradient; {} without both moments."""
    read = moments(part.opt)
    rows = {path: (p.grad, read[p]) for path, p in part.net.named_parameters() if p.grad is not None and p in read}
    if not rows:
        return {}
    steps = [m.abs() / (v.sqrt() + eps) for _, (m, v, eps) in rows.values()]
    row = {"step": mean(steps), "below_eps": mean([(v.sqrt() < eps).float() for _, (_, v, eps) in rows.values()])}
    stale = {
        path: float((g.square() / v.clamp_min(max(e * e, TINY))).mean().sqrt()) for path, (g, (_, v, e)) in rows.items()
    }
    row |= {"rms_t": max(stale.values()), **{f"rms_t/{matrix(x)}": r for x, r in stale.items() if rows[x][0].ndim > 1}}
    known = mean([v for _, (_, v, _) in rows.values()])
    return {**row, "r_v": mean([g.square() for g, _ in rows.values()]) / known} if known else row


def tuning(part: Part) -> dict[str, float]:
    """scale, of a tuner that all parameters share; {} without one."""
    tuners = [slot["tuner"] for slot in part.opt.state.values() if "tuner" in slot]
    return {"scale": float(tuners[0][0].sum())} if tuners else {}


def mean(tensors: list[Tensor]) -> float:
    """Over all entries of all tensors, in float64."""
    return sum(float(x.sum(dtype=torch.float64)) for x in tensors) / sum(x.numel() for x in tensors)
