"""What single units do beside dying: fractions of units or of activations, none of which is called plasticity.

zero: activations that are 0 (1 - it is FAU, the active fraction, of RLE-Foundation/Plasticine): about .5 of a healthy
ReLU layer, so no measure of death. linearised: units whose input is above 0 on the whole batch, so that ReLU is the
identity (Lyle et al. 2024, arXiv:2402.18762: it precedes death); it shrinks as the batch grows, as dead does. Both are
of ReLU alone: leaky ReLU, CReLU, tanh and sines have no such regime. saturated: |tanh| above .99; constant: tanh units
whose standard deviation over the batch is below .001, "dead" in Moalla et al. (2024, arXiv:2405.00662). entropy: of
the sign of a unit's input, in bits, at most 1; patterns: of the sign pattern of a whole layer, in bits, at most
log2(batch) = 9 bits of 512 states, hence only of layers without space; neither of Fourier features. duplicate: units
whose activation, centred, has a cosine above .999 with that of an earlier unit of the layer (ours); constant ones have
no direction and are no duplicates. Each position of a channel is an input of its own.
"""

import math

import torch
from torch import Tensor

from nets.anatomy import Layer, record
from nets.layers import rectifies, saturates, signed
from nets.subject import Subject
from probes.base import Memory, Probe, parts_of
from probes.dormant import sound
from replay.batch import Batch

SATURATED, STILL, ALIKE = 0.99, 0.001, 0.999
POSITIONS = 64  # of a channel that are compared for duplicates: 512 states of them are enough to tell two units apart


class Units(Probe):
    """Each kind pooled over all units, as the mean of the layers and per layer; absent where it is undefined."""

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        kinds: dict[str, dict[str, Tensor]] = {}
        for prefix, name, part in parts_of(subject):
            with record(part.net, pre=True) as tape:
                subject.run(name, batch)
            fine = sound(part)
            for layer in part.net.layers():
                pre, post = tape.pre[layer.name], tape.acts[layer.name]
                healthy = fine and bool((pre.sum() + post.sum()).isfinite())
                for kind, x in statistics(layer, pre, post).items():
                    row = x if healthy else torch.full_like(x, torch.nan)
                    kinds.setdefault(kind, {})[prefix + layer.name] = row
        return {tag: x for kind, layers in kinds.items() for tag, x in summary(kind, layers).items()}


def statistics(layer: Layer, pre: Tensor, post: Tensor) -> dict[str, Tensor]:
    """pre [B, U, *space], post [B, U*copies, *space] -> {kind: a number for each unit [U], or for the layer [1]}."""
    act, above = layer.act, rows(pre > 0, layer.units)  # [U, B*space]
    found = {"duplicate": duplicates(post, layer.units)}
    if rectifies(act):
        found["zero"] = (post == 0).float().transpose(0, 1).flatten(1).mean(1)
        found["linearised"] = above.all(1).float()
    if saturates(act):
        h = rows(post, layer.units)
        found["saturated"] = (h.abs() > SATURATED).float().mean(1)
        found["constant"] = (h.std(1, correction=0) < STILL).float()
    if signed(act):
        found["entropy"] = entropy(torch.stack([p := above.float().mean(1), 1 - p]))
        if pre.ndim == 2:
            found["patterns"] = patterns(above.T)[None]
    return found


def rows(x: Tensor, units: int) -> Tensor:
    """[B, U*copies, *space] -> [U, copies*B*space]."""
    return x.transpose(0, 1).reshape(-1, units, *x.shape[:1], *x.shape[2:]).transpose(0, 1).flatten(1)


def duplicates(post: Tensor, units: int) -> Tensor:
    """1 for each unit that is a positive multiple of an earlier one, but for a constant; [U]."""
    x = post.flatten(2) if post.ndim > 2 else post
    if x.ndim > 2:
        x = x[..., :: -(-x.shape[2] // POSITIONS)]
    h = rows(x, units)
    size = h.abs().amax(1)
    h = h - h.mean(1, keepdim=True)
    norm = h.norm(dim=1)
    moving = norm > 1e-5 * size * h.shape[1] ** 0.5  # less is rounding
    h /= torch.where(moving, norm, torch.inf)[:, None]
    return ((h @ h.T).tril(-1) > ALIKE).any(1).float()


def patterns(words: Tensor) -> Tensor:
    """[B, U] of bool -> the entropy in bits of the words on the batch, []."""
    _, times = torch.unique(words, dim=0, return_counts=True)
    return entropy(times / times.sum())


def entropy(p: Tensor) -> Tensor:
    """-sum p log2 p over the first dimension."""
    return -torch.xlogy(p, p).sum(0) / math.log(2)


def summary(kind: str, layers: dict[str, Tensor]) -> dict[str, float]:
    """{kind: pooled over units, kind/mean: of the layers, kind/<layer>}; of a number per layer there is only a mean."""
    each = {f"{kind}/{name}": float(x.mean()) for name, x in layers.items()}
    row = {f"{kind}/mean": sum(each.values()) / len(each), **each}
    return row if kind == "patterns" else {kind: float(torch.cat(list(layers.values())).mean()), **row}
