"""Ranks of the features and of the weight matrices (measures and sources: probes/spectrum.py).

Phi [n, D] are the inputs of the output layer on n = max(2,048, 2 D) replay states, D the widest of the agent: a rank
depends on n, and n below D caps it. The stable rank is dominated by the mean of ReLU features (3.1 raw, 57 centred, for
random ones with n 512, D 128), hence both. Of an ensemble the mean over its members. None of these is called
plasticity: their correlation with it has no consistent sign (Lyle et al. 2023, arXiv:2303.01486).
"""

import torch
from torch import Tensor

from nets.anatomy import record
from nets.part import Part
from nets.subject import Subject
from probes.base import Memory, Probe, parts_of
from probes.dormant import sound
from probes.spectrum import centred, ranks, singular, srank, stable
from replay.batch import Batch

STATES, PIECE = 2_048, 512  # at least, and in one forward pass


class Rank(Probe):
    """Seven ranks of the features of each part, the stable rank centred too; the srank of each weight matrix."""

    cost = "mid"

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        several = len(subject.parts) > 1
        for name, phi in features(subject).items():
            found = mean([feature_ranks(member) for member in phi])
            row |= {f"{kind}/{name}" if several else kind: x for kind, x in found.items()}
        for prefix, _, part in parts_of(subject):
            row |= {f"weight/{prefix}{path}": x for path, x in weight_ranks(part).items()}
        return row


def features(subject: Subject) -> dict[str, Tensor]:
    """{part: Phi [K, n, D]} of every part that has features, all on the same states."""
    heads = {name: part.net.outputs() for name, part in subject.parts.items() if part.net.outputs()}
    widest = max((w.matrices[0].shape[1] for rows in heads.values() for w in rows), default=0)
    rows: dict[str, list[Tensor]] = {name: [] for name in heads}
    for _ in range(-(-max(STATES, 2 * widest) // PIECE) if heads else 0):
        batch = subject.batch(PIECE)
        for name, seen in rows.items():
            with record(subject.parts[name].net) as tape:
                subject.run(name, batch)
            seen.append(tape.features if sound(subject.parts[name]) else tape.features * torch.nan)
    return {name: torch.cat(seen, 1) for name, seen in rows.items()}


def feature_ranks(phi: Tensor) -> dict[str, float]:
    """[n, D] -> {kind: rank}; those of zeros, and of features that are all alike once centred, are absent."""
    row, rest = ranks(singular(phi), *phi.shape), singular(centred(phi))
    # What rounding leaves of equal rows is no spectrum.
    if not bool(rest[0] <= 1e-6 * phi.double().norm()):
        row["stable/centred"] = stable(rest)
    return row


def weight_ranks(part: Part) -> dict[str, float]:
    """The srank of each matrix, a kernel as [out, in * height * width]; of a noisy layer that of the first."""
    spectra = {path: singular(w.matrices[0].flatten(1)) for path, w in part.net.writers().items()}
    return {path.removesuffix(".writer"): srank(s) for path, s in spectra.items() if not bool(s[0] == 0)}


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each number over the members that have it."""
    kinds = {kind: [row[kind] for row in rows if kind in row] for row in rows for kind in row}
    return {kind: sum(xs) / len(xs) for kind, xs in kinds.items()}
