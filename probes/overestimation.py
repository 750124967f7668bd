"""Overestimation: Q(s, a) minus the return that followed (van Hasselt et al. 2016, arXiv:1509.06461, figure 3).

On 512 recent replay states whose outcome is known (replay/outcome.py): the return is discounted, of the rewards as
learned from, and of the policy that acted, which explored and has since changed; van Hasselt et al. play the greedy
policy. A Q that has learned the greedy policy's values is above it for that reason too. SAC's Q holds an entropy bonus
that the return lacks. value is mean Q(s, a), of an ensemble the mean over its members (`least`: of the least of them,
in which SAC believes); return: mean G; relative: mean[Q - G] / std(G), absent where all returns are equal.
"""

import torch
from torch import Tensor

from nets.output import Output
from nets.part import Part
from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from replay.batch import Batch

STATES = 512


class Overestimation(Probe):
    """mean[Q - G], relative, value and return, of each part that judges actions where there are several."""

    cost = "mid"

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        found = subject.returns(STATES)
        if found is None:
            return {}
        states, g = found
        row: dict[str, float] = {}
        judges = {name: part for name, part in subject.parts.items() if judging(part)}
        for name, part in judges.items():
            assert part.output is not None
            q = taken(part.output, subject.run(name, states), states.action)
            tail, scale = f"/{name}" if len(judges) > 1 else "", 1.0 if sound(part) else torch.nan
            row |= {(kind + tail).strip("/"): x * scale for kind, x in gaps(q, g).items()}
        return row


def judging(part: Part) -> bool:
    """Whether its outputs are values of actions."""
    return part.output is not None and bool(part.net.outputs()) and not part.net.policy


def taken(output: Output, outputs: Tensor, action: Tensor) -> Tensor:
    """Q of the action taken, [B, K]: of outputs for every action K is 1."""
    q = output.values(outputs)
    return q if action.is_floating_point() else q.gather(1, action[:, None])


def gaps(q: Tensor, g: Tensor) -> dict[str, float]:
    """q [B, K], g [B] -> mean[Q - G] and what it is made of."""
    gap, spread = q.double().mean(1) - g, float(g.double().std(correction=0))
    row = {"": float(gap.mean()), "value": float(q.double().mean()), "return": float(g.double().mean())}
    if q.shape[1] > 1:
        row["least"] = float((q.double().amin(1) - g).mean())
    return {**row, "relative": float(gap.mean()) / spread} if spread > 0 else row
