"""Entropy of attention (Zhai et al. 2023, arXiv:2303.06296): how many tokens a query looks at, on replay states.

-sum_j A_ij log A_ij in nats, the mean over queries, heads and states: log T where each query looks at all T tokens
alike, 0 where it looks at one. Sharp drops go with unstable training; --qk-norm bounds the logits.
"""

from functools import partial

import torch

from nets.subject import Subject
from nets.vit import entropies
from probes.base import Memory, Probe, parts_of
from probes.dormant import sound
from replay.batch import Batch


class Attention(Probe):
    """entropy: mean over the blocks, and of each; absent of networks without attention."""

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        for prefix, name, part in parts_of(subject):
            for path, x in entropies(part.net, partial(subject.run, name, batch)).items():
                tag = f"entropy/{prefix}{path.removesuffix('.attention')}"
                row[tag] = float(x.mean()) if sound(part) else torch.nan
        return {"entropy": sum(row.values()) / len(row), **row} if row else {}
