"""Scale of features and outputs, ||phi|| and |Q|, as followed by Lyle et al. 2024 (arXiv:2402.18762).

features: the mean norm of the inputs of the output layer, of an ensemble over its members. output: mean |y|, its
largest and the standard deviation over states and outputs, y being action values (of a distributional head the
expected ones), values, logits, or an actor's mean before the squashing. logits: the standard deviation of the logits
before the softmax, of a distributional head. A temperature has neither features nor outputs to compare.
"""

import torch
from torch import Tensor

from nets.anatomy import record
from nets.output import Output
from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from replay.batch import Batch


class Scale(Probe):
    """Mean ||phi||_2; mean, largest and standard deviation of the outputs; of each part where there are several."""

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        for name, part in subject.parts.items():
            if part.output is None or not part.net.outputs():
                continue
            with record(part.net) as tape:
                outputs = subject.run(name, batch)
            found = {"features": tape.features.norm(dim=-1).mean(), **spread(part.output, outputs)}
            fine, tail = sound(part), f"/{name}" if len(subject.parts) > 1 else ""
            row |= {kind + tail: float(x) if fine else torch.nan for kind, x in found.items()}
        return row


def spread(output: Output, outputs: Tensor) -> dict[str, Tensor]:
    """outputs [B, ...] -> mean |y|, max |y| and the deviation of y."""
    y = output.values(outputs)
    row = {"output": y.abs().mean(), "output/max": y.abs().amax(), "output/std": y.std(correction=0)}
    return {**row, "logits": outputs.std(correction=0)} if outputs.ndim > y.ndim else row
