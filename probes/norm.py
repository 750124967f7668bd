"""Norms of the parameters, as followed by Lyle et al. 2023 (arXiv:2303.01486): how large, how far from birth, how fast.

The distance is from the first draw of the run, drawn again from its seed: a reset does not move that origin, and
nothing is stored for it. The relative change is ||theta_t - theta_s|| / ||theta_s||, s the measurement before: it is
over the updates of one --probe-every and absent the first time. None of these is called plasticity.
"""

import torch
from torch import Tensor

from nets.anatomy import Network
from nets.part import Weights
from nets.subject import Subject
from probes.base import Memory, Probe, parts_of
from replay.batch import Batch


class Norm(Probe):
    """||theta||_2 in all, and of each weight matrix or kernel (biases and gains count only in the totals); RMS,
    distance from birth and relative change in all, and of each part where there are several."""

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        parts: dict[str, dict[str, Tensor]] = {}
        for prefix, name, part in parts_of(subject):
            live, born = exact(part.net), exact(part.fresh(part.birth))
            parts[name] = squares(live, born, memory.get(name, {}))
            row |= {prefix + matrix(path): float(p.norm()) for path, p in live.items() if p.ndim > 1}
            memory[name] = {path: p.float() for path, p in live.items()}
        total = {kind: torch.stack([s[kind] for s in parts.values()]).sum(0) for kind in next(iter(parts.values()))}
        if len(parts) > 1:
            row |= {f"{kind}/{name}": x for name, s in parts.items() for kind, x in sizes(s).items()}
        return {"": float(total["all"].sqrt()), **row, **sizes(total)}


def exact(net: Network) -> dict[str, Tensor]:
    """{path: parameter} as float64 on the CPU, so that sums do not lose small weights, and contiguous, so that what
    a checkpoint brings back adds up in the same order."""
    return {path: p.detach().cpu().double().contiguous() for path, p in net.named_parameters()}


def squares(live: Weights, born: Weights, before: Weights) -> dict[str, Tensor]:
    """Sums of squares over a part: all, away from birth, moved since and before, if there is a past; and the size."""
    sums = {
        "all": [p.square().sum() for p in live.values()],
        "away": [(p - born[path]).square().sum() for path, p in live.items()],
        "size": [p.new_tensor(p.numel()) for p in live.values()],
    }
    if before:
        past = {path: p.double() for path, p in before.items()}
        sums["moved"] = [(p - past[path]).square().sum() for path, p in live.items()]
        sums["before"] = [p.square().sum() for p in past.values()]
    return {kind: torch.stack(rows).sum() for kind, rows in sums.items()}


def sizes(s: dict[str, Tensor]) -> dict[str, float]:
    """What such sums say; the change from nothing at all is undefined."""
    row = {"rms": float((s["all"] / s["size"]).sqrt()), "distance": float(s["away"].sqrt())}
    if "before" in s and s["before"] != 0:
        row["change"] = float((s["moved"] / s["before"]).sqrt())
    return row


def matrix(path: str) -> str:
    """The tag of a weight: its path without the module that bears it."""
    return path.removesuffix(".weight").removesuffix(".writer")
