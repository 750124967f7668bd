"""Interference: cosines between the gradients of single states (Lyle et al. 2023, arXiv:2303.01486, figure 2).

C_ij = <g_i, g_j> / (|g_i| |g_j|) over 256 replay states. Without a prefix g_i is the gradient of their probe loss,
|| f(s_i) - sg(f(s_i) + eps) ||^2, eps ~ N(0, 1) for each output: the same for every kind of part, and what the network
ties together whatever it learns. The sign of eps is random, so the mean cosine is near 0 by construction. Under loss/
it is the gradient of the agent's own loss on the state alone, targets fixed. cosine: mean over pairs; alike: share of
pairs with |C| > .9 (all states are updated as one); apart: with |C| < .1 (nothing is generalised); effective: exp of
the entropy of the eigenvalues of C. A state without a gradient has no direction and no row. The matrix, float16, rows
in the order of k-means, stays in the probe's memory for the picture (runs/matrix.py).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nets.part import Part
from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from probes.gram import cosines, gram, singles
from probes.spectrum import effective
from replay.batch import Batch

STATES = 256
ALIKE, APART = 0.9, 0.1
CLUSTERS, ROUNDS = 8, 20  # of k-means, for the picture only
SPOILT = ("cosine", "alike", "apart", "effective")


class Interference(Probe):
    """cosine, alike, apart and effective, and the same of the loss, of each part where there are several."""

    cost = "dear"

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        for kind, values in (("", noisy(subject, batch)), ("loss/", losses(subject, batch))):
            for name, rows in values.items():
                tail = f"/{name}" if len(subject.parts) > 1 else ""
                matrix = closeness(subject.parts[name], rows)
                row |= {f"{kind}{tag}{tail}": x for tag, x in summary(matrix).items()}
                sorted_rows = order(matrix)
                memory[f"{kind.rstrip('/') or 'noise'} {name}"] = matrix[sorted_rows][:, sorted_rows].half()
        return row


def noisy(subject: Subject, batch: Batch) -> dict[str, list[Tensor]]:
    """{part: || f - sg(f + eps) ||^2 of each state}."""
    rng, found = torch.Generator().manual_seed(subject.seed()), dict[str, list[Tensor]]()
    for name in reached(subject):
        found[name] = []
        for one in singles(batch, STATES):
            out = subject.run(name, one)
            goal = out.detach() + torch.randn(out.shape, generator=rng).to(out)
            found[name].append((out - goal).square().sum())
    return found


def losses(subject: Subject, batch: Batch) -> dict[str, list[Tensor]]:
    """{part: its first loss on each state}."""
    found: dict[str, list[Tensor]] = {}
    for one in singles(batch, STATES):
        first: dict[str, Tensor] = {}
        for loss in subject.losses(one):
            first.setdefault(loss.part, loss.value)
        for name in first.keys() & reached(subject).keys():
            found.setdefault(name, []).append(first[name])
    return {name: found[name] for name in subject.parts if name in found}


def reached(subject: Subject) -> Mapping[str, Part]:
    """The parts with an output layer; a temperature has none."""
    return {name: part for name, part in subject.parts.items() if part.net.outputs()}


def closeness(part: Part, values: Sequence[Tensor]) -> Tensor:
    """C [m, m]; of a part with a weight that is not finite [2, 2] of NaN."""
    return cosines(gram(values, part.trainable)) if sound(part) else torch.full((2, 2), torch.nan)


def summary(matrix: Tensor) -> dict[str, float]:
    """Over pairs; {} if there is none."""
    m = len(matrix)
    if m < 2:
        return {}
    if not bool(matrix.isfinite().all()):
        return dict.fromkeys(SPOILT, torch.nan)
    pairs = matrix[~torch.eye(m, dtype=torch.bool)]
    shares = {"alike": (pairs.abs() > ALIKE).double().mean(), "apart": (pairs.abs() < APART).double().mean()}
    row = {"cosine": float(pairs.mean()), **{tag: float(x) for tag, x in shares.items()}}
    return {**row, "effective": effective(torch.linalg.eigvalsh(matrix).clamp_min(0))}


def order(matrix: Tensor) -> Tensor:
    """[m] rows by cluster: k-means from centres that are far from each other, always the same; larger ones first."""
    rows = matrix.nan_to_num()
    centres = rows[:1]
    for _ in range(min(CLUSTERS, len(rows)) - 1):
        centres = torch.cat([centres, rows[torch.cdist(rows, centres).amin(1).argmax()][None]])
    label = torch.zeros(len(rows), dtype=torch.int64)
    for _ in range(ROUNDS if len(rows) else 0):
        label = torch.cdist(rows, centres).argmin(1)
        means = [rows[label == k].mean(0) if bool((label == k).any()) else c for k, c in enumerate(centres)]
        centres = torch.stack(means)
    size = label.bincount(minlength=1)[label]
    return torch.argsort(-size * (CLUSTERS + 1) + label, stable=True)
