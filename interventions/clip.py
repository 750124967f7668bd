"""Weight clipping (Elsayed et al. 2024, arXiv:2407.01704): after each step every weight is within kappa s of zero.

s is the bound of a layer's initialisation, for its weights and biases alike. Theirs is that of torch's uniform law,
1/sqrt(fan_in). Ours is the largest |weight| of the layer at birth: the same to one part in the number of its weights,
and defined for every law (a normal or orthogonal draw has no bound), so that kappa 1 changes no newborn network. It
belongs to the law, not to the draw, and stays through resets. Gains of norms are left alone: their s would be below 1,
the value they are born with. The optimizer is kept; the slow network is not clipped, it follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from nets.anatomy import Network
from nets.subject import Subject
from runs.units import broken


@dataclass(frozen=True)
class Clip(Intervention):
    """Weight clipping: no weight beyond a multiple of its first range (Elsayed et al. 2024)"""

    reach = Reach.NORM
    touches = "weights and biases beyond the bound"
    clashes = "`project`; `popart`, unless `--no-clip-last`"
    fires = "every update"

    clip_kappa: float = 0.0
    """The bound in multiples of the layer's first range; 0 is off (Elsayed et al. 2024: the best of 1, 2, 3, 4, 5)"""
    clip_last: bool = True
    """Whether output layers are clipped, too (the code of Elsayed et al. 2024: yes unless told otherwise)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"clip_kappa": (0 < self.clip_kappa < inf, "above 0")})
        outputs = [writer for part in subject.parts.values() for writer in part.net.outputs()]
        if self.clip_last and any(writer.output_lens is not None for writer in outputs):
            yield "clip_last: another method rescales the output's weights; write --no-clip-last"

    def clipped(self, net: Network) -> dict[str, list[Tensor]]:
        """{path of a writer: its parameters}."""
        spared = set() if self.clip_last else set(net.reading(net.outputs()))
        rows = {path: w.own() for path, w in net.writers().items() if w not in spared}
        return {path: ps for path, ps in rows.items() if all(p.requires_grad for p in ps)}

    @torch.no_grad()
    def init(self, subject: Subject) -> State:
        """{part: {path of a writer: s}}."""
        rows = {name: self.clipped(part.net) for name, part in subject.parts.items()}
        return {name: {path: bound(ps) for path, ps in writers.items()} for name, writers in rows.items() if writers}

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        """beyond: tensors that had to be clipped."""
        beyond: list[Tensor] = []
        for name, bounds in state.items():
            for path, parameters in self.clipped(subject.parts[name].net).items():
                limit = self.clip_kappa * bounds[path]
                for p in parameters:  # one by one: foreach takes 15 ms for 1.7M parameters, this takes 2
                    low, high = p.aminmax()
                    beyond.append((low < -limit) | (high > limit))
                    p.clamp_(-limit, limit)
        return {"beyond": torch.stack(beyond).sum()} if beyond else {}


def bound(parameters: list[Tensor]) -> float:
    """The largest |weight| or |bias|."""
    return max(float(p.abs().max()) for p in parameters)
