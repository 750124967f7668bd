"""Parameter norms, as followed by Lyle et al. 2023 (arXiv:2303.01486): ||theta||_2 in all and of each matrix."""

import torch

from nets.part import Subject
from probes.base import Memory, Probe, parts_of
from replay.batch import Batch


class Norm(Probe):
    """||theta||_2 in all, and of each weight matrix or kernel (biases and gains count only in the total)."""

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        total = torch.zeros((), dtype=torch.float64)
        for prefix, _, part in parts_of(subject):
            for path, p in part.net.named_parameters():
                square = p.double().square().sum().cpu()
                total += square
                if p.ndim > 1:
                    row[prefix + path.removesuffix(".weight").removesuffix(".writer")] = float(square.sqrt())
        return {"": float(total.sqrt()), **row}
