"""DASH, direction-aware shrinking (Shin et al. 2024, arXiv:2410.23495): shrink what the new data do not ask for.

g is a running mean of the gradient over the present data, all through the OLD weights; then the incoming weights w of
every unit are multiplied by max(cos(-g, w), floor): a direction in which the loss would let w grow is kept, others
shrink to the floor. As in the authors' code (baekrok/DASH-Direction-Aware-SHrinking) each kernel of a convolution
counts alone, one for a pair of channels, and the biases of a layer are one vector; norms are left alone. The slow
network becomes a copy.
In their code one gradient is of a whole chunk of data (50,000 / 50 = 1,000 images of CIFAR-10), oldest chunk first, so
that at rate .3 the newest ten have .97 of the weight. Ours draws --dash-batches times --dash-size examples of all data,
minibatch by minibatch: by default as many as 1,000 updates of DQN. Where event/dash/factor/<part> is the floor, all has
shrunk alike. Their code keeps the optimizer (SGD with momentum), a later one (Han et al. 2026, arXiv:2602.08040) makes
a new one whenever data arrive, and so do we by default: Adam's moments are of the gradients of larger weights. It is
meant for a task that stays: where the goals have changed, and in reinforcement learning, the cosine speaks of another
loss.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interventions.base import Intervention, Reach, Report, State
from nets.part import Part
from nets.subject import Subject
from runs.units import NEVER, NOWHEN, Condition, Count, Every, broken


@dataclass(frozen=True)
class DASH(Intervention):
    """DASH: weights shrink where the gradient of the new data disagrees (Shin et al. 2024)"""

    reach = Reach.LAYER
    touches = "matrices and biases, target; all of the optimizer unless kept"

    dash_every: Every = NEVER
    """How often, e.g. 1:tasks, whenever new data arrive (Shin et al. 2024)"""
    dash_when: Condition = NOWHEN
    """Also when a recorded number crosses a level, e.g. "dormant > 0.3 rearm 0.2" (ours: docs/algorithms.md)"""
    dash_floor: float = 0.3
    """lambda, the least factor (Shin et al. 2024, their README: .3 for ResNet-18 on CIFAR-10)"""
    dash_rate: float = 0.3
    """alpha, the weight of each new gradient in the running mean (Shin et al. 2024, their README: .3)"""
    dash_batches: Count = 32
    """Gradients in the running mean (ours; Shin et al. 2024: one of every chunk of data, up to 50)"""
    dash_size: Count = 1000
    """Examples whose mean gradient each is, in whole minibatches (Shin et al. 2024: a chunk, 1,000 of CIFAR-10)"""
    dash_optimizer: Literal["reset", "keep"] = "reset"
    """The optimizer then forgets all (Han et al. 2026, arXiv:2602.08040) or keeps all (code of Shin et al. 2024)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "dash_floor": (0 <= self.dash_floor <= 1, "from 0 to 1"),
            "dash_rate": (0 < self.dash_rate <= 1, "above 0 and at most 1"),
            "dash_batches": (self.dash_batches > 0, "at least 1"),
            "dash_size": (self.dash_size > 0, "at least 1"),
        }
        yield from broken(self, rules)

    def apply(self, state: State, subject: Subject) -> Report:
        """factor/<part>: the mean factor on the weights."""
        report: dict[str, Tensor] = {}
        for name, means in self.gradients(subject).items():
            part = subject.parts[name]
            if part.net.outputs():
                report[f"factor/{name}"] = self.shrink(part, dict(zip(part.trainable, means, strict=True)))
        return report

    def gradients(self, subject: Subject) -> dict[str, list[Tensor]]:
        """{part that has a loss: running means of the gradient, as its trainable parameters}; nothing is written."""
        means: dict[str, list[Tensor]] = {}
        for _ in range(self.dash_batches):
            for part, grads in gradient(subject, self.dash_size).items():
                mean = means.setdefault(part, [torch.zeros_like(g) for g in grads])
                torch._foreach_lerp_(mean, grads, self.dash_rate)
        return means

    @torch.no_grad()
    def shrink(self, part: Part, mean: dict[nn.Parameter, Tensor]) -> Tensor:
        """The mean factor on the weights of a part, []."""
        factors = []
        for path, writer in part.net.writers().items():
            for name, p in writer.named_parameters():
                if p.requires_grad:
                    factor = agreement(mean[p], p, self.dash_floor)
                    p.mul_(factor)
                    factors.append(factor.expand_as(p).flatten())
                    if part.target is not None:
                        part.target.get_parameter(f"{path}.{name}").copy_(p)
        for p in part.trainable if self.dash_optimizer == "reset" else ():
            part.forget(p)
        return torch.cat(factors).mean()


def gradient(subject: Subject, size: int) -> dict[str, list[Tensor]]:
    """{part: the gradient of its loss, the mean over as many minibatches as hold so many examples}."""
    sums: dict[str, list[Tensor]] = {}
    losses: Counter[str] = Counter()
    examples = 0
    while examples < size:
        batch = subject.batch()
        examples += len(batch.obs)
        for loss in subject.losses(batch):
            ps = subject.parts[loss.part].trainable
            grads = torch.autograd.grad(loss.value, ps, retain_graph=True, materialize_grads=True)
            if loss.part not in sums:
                sums[loss.part] = [torch.zeros_like(p) for p in ps]
            torch._foreach_add_(sums[loss.part], list(grads))
            losses[loss.part] += 1
    return {part: list(torch._foreach_div(total, losses[part])) for part, total in sums.items()}


def agreement(gradient: Tensor, weight: Tensor, floor: float) -> Tensor:
    """max(cos(-g, w), floor) of each kernel [O, I, 1, 1], of each row [O, 1], or of all biases [1]."""
    way, w = (x.flatten(2) if x.ndim > 2 else x for x in (-gradient, weight))
    cosine = F.cosine_similarity(way, w, dim=-1).clamp(floor, 1)
    return cosine.view(*cosine.shape, *[1] * (weight.ndim - cosine.ndim))
