"""The empirical neural tangent kernel (Jacot et al. 2018, arXiv:1806.07572): K = J J^T on 128 replay states.

A row of J is the gradient of the mean of a part's outputs at one state: mean Q over actions (of a distributional head
the expected ones), or over the members of an ensemble for the action taken. All parameters count, none is projected.
rank: eigenvalues above 1e-3 of the largest (ours); effective: exp of their entropy; condition: largest over smallest,
absent where the smallest is rounding, as when a state occurs twice. velocity: 1 - cos(K now, K the last time), both on
128 states that were drawn at the first measurement and stay (Fort et al. 2020, arXiv:2010.15110).
"""

import torch
from torch import Tensor

from nets.output import Output
from nets.part import Part
from nets.subject import Subject
from probes.anchor import anchor
from probes.base import Memory, Probe
from probes.dormant import sound
from probes.gram import gram, singles
from probes.spectrum import FLOAT32, effective
from replay.batch import Batch

STATES, SMALL = 128, 1e-3
SPOILT = ("rank", "effective")


class ENTK(Probe):
    """rank, effective, condition and velocity, of each part where there are several."""

    cost = "dear"

    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        fixed, before = anchor(memory, batch, STATES), memory.get("kernel", {})
        memory["kernel"] = {}
        for name, part in subject.parts.items():
            if part.output is None or not part.net.outputs():
                continue
            now = kernel(subject, name, part, part.output, fixed)
            memory["kernel"][name] = now
            found = spectrum(kernel(subject, name, part, part.output, batch))
            if name in before:
                found |= velocity(before[name], now)
            row |= {f"{tag}/{name}" if len(subject.parts) > 1 else tag: x for tag, x in found.items()}
        return row


def kernel(subject: Subject, name: str, part: Part, output: Output, batch: Batch) -> Tensor:
    """K [n, n] float64, NaN where a weight is not finite."""
    rows = [output.values(subject.run(name, one)).mean() for one in singles(batch, STATES)]
    return gram(rows, part.trainable) * (1.0 if sound(part) else torch.nan)


def spectrum(k: Tensor) -> dict[str, float]:
    """rank, effective and condition of a kernel; {} of one of zeros."""
    if not bool(k.isfinite().all()):
        return dict.fromkeys(SPOILT, torch.nan)
    values = torch.linalg.eigvalsh(k).clamp_min(0)
    top, least = float(values[-1]), float(values[0])
    if not top:
        return {}
    row = {"rank": float((values > SMALL * top).sum()), "effective": effective(values)}
    return {**row, "condition": top / least} if least > len(k) * FLOAT32 * top else row


def velocity(before: Tensor, now: Tensor) -> dict[str, float]:
    """1 - cos of two kernels of the same states; {} where one is 0."""
    size = float(before.norm() * now.norm())
    return {"velocity": 1 - float((before * now).sum()) / size} if size else {}
