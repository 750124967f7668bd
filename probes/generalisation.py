"""Generalisation of the loss to episodes that were never learned from (Lyle et al. 2022, arXiv:2206.02126, on RL's).

With --holdout .05 one episode in twenty is stored but in no minibatch; whole episodes, as neighbouring stacks share
frames. td is mean |td| of 512 transitions held out minus that of 512 learned from, both against the same slow network,
and td/held and td/train are the two; loss: the same of the loss, which of a distributional head is a cross-entropy.
Absent without episodes held out. A policy, whose loss is no error, and a temperature have no gap.
"""

import torch

from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from replay.batch import Batch


class Generalisation(Probe):
    """td and loss: held out minus learned from, and both, of each part that regresses where there are several."""

    cost = "mid"

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        held = subject.held(len(batch.obs))
        if held is None:
            return {}
        row, train, test = dict[str, float](), errors(subject, batch), errors(subject, held)
        for name in train.keys() & test.keys():
            tail, scale = f"/{name}" if len(train) > 1 else "", 1.0 if sound(subject.parts[name]) else torch.nan
            for kind, seen in train[name].items():
                unseen = test[name][kind]
                found = {kind: unseen - seen, f"{kind}/held": unseen, f"{kind}/train": seen}
                row |= {tag + tail: x * scale for tag, x in found.items()}
        return row


def errors(subject: Subject, batch: Batch) -> dict[str, dict[str, float]]:
    """{part: its mean |td| and its loss}, where it has a td."""
    found: dict[str, dict[str, float]] = {}
    for loss in subject.losses(batch):
        if loss.td is not None:
            found[loss.part] = {"td": float(loss.td.abs().mean()), "loss": float(loss.value)}
    return found
