"""Parseval regularisation (Chung et al. 2024, arXiv:2412.07224): the rows of every hidden matrix are kept orthogonal.

lambda (64 / width)^2 ||W W^T - s I||_F^2, W out x in (a convolution out x rest) and width its units. s is the square of
the gain of the orthogonal draw, sqrt(2). W^T W where there are more rows than columns: W W^T = s I is out of reach
there; the authors' layers are square but the first, whose W W^T they take. The output layer is left alone. With ReLU a
network of such matrices represents less: the authors restore scale by a learned factor behind each linear layer
(MetaWorld), here --parseval-diagonal, one a unit. W W^T W takes 1.6 times a Nature-DQN update, of which nearly all is
one matrix of 512 x 3136; b blocks of rows take a b-th of that, and the slope is kept for a few updates.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from interventions.base import Intervention, Reach, State
from interventions.penalty import known
from nets.anatomy import Network, Writer
from nets.part import Make
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken

WIDTH = 64  # of the network for which the authors chose lambda


@dataclass(frozen=True)
class Parseval(Intervention):
    """Parseval regularisation: hidden matrices near an orthogonal one (Chung et al. 2024)"""

    reach = Reach.NETWORK  # its factors belong to the network from birth, before others copy or freeze a piece of it
    touches = "gradients"
    fires = "every update"

    parseval_weight: float = 0.0
    """lambda; 0 is off (Chung et al. 2024: 1e-3 on MetaWorld and grids, 1e-4 on CARL and the quadruped)"""
    parseval_scale: float = 2.0
    """s: the squared length of a row (Chung et al. 2024: the squared gain of the orthogonal draw, 2; Plasticine: 1)"""
    parseval_blocks: int = 1
    """Runs of rows of each matrix, orthogonal only among themselves (Chung et al. 2024: neuron groups; 1 is all)"""
    parseval_kept: int = 10
    """Updates of a part for which the slope is kept; 1 is Chung et al. 2024 (ours: docs/algorithms.md)"""
    parseval_diagonal: bool = False
    """A learned factor for each unit behind every hidden matrix, born at 1 (Chung et al. 2024, their MetaWorld runs)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "parseval_weight": (0 <= self.parseval_weight < inf, "at least 0"),
            "parseval_scale": (0 < self.parseval_scale < inf, "above 0"),
            "parseval_blocks": (self.parseval_blocks > 0, "at least 1"),
            "parseval_kept": (self.parseval_kept > 0, "at least 1"),
        }
        yield from broken(self, rules)
        matrices = [writer.matrices[0] for part in subject.parts.values() for writer in hidden(part.net)]
        if not matrices:
            yield "parseval_weight: no network has a hidden matrix; give it --hidden layers"
        odd = sorted({len(w) for w in matrices if self.parseval_blocks > 1 and len(w) % self.parseval_blocks})
        if odd:
            yield f"parseval_blocks {self.parseval_blocks} does not divide a layer of {odd[0]} units; take a divisor"

    def on_build(self, part: str, make: Make) -> Make:
        return lengthened(make) if self.parseval_diagonal else make

    def init(self, subject: Subject) -> State:
        """{part: {count, value, slopes: one of each hidden matrix}}; a part without any is not in it."""
        parts = {name: part for name, part in subject.parts.items() if hidden(part.net)}
        return {name: {"count": 0, "value": torch.zeros((), device=part.device)} for name, part in parts.items()}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in state:
            return loss.value
        mine, matrices = state[loss.part], [w.matrices[0] for w in hidden(subject.parts[loss.part].net)]
        if mine["count"] % self.parseval_kept == 0:
            with torch.no_grad():
                rows = [away(w, self.parseval_scale, self.parseval_blocks) for w in matrices]
            mine["value"], mine["slopes"] = torch.stack([row[0] for row in rows]).sum(), [row[1] for row in rows]
        mine["count"] += 1
        slopes, weight = mine["slopes"], self.parseval_weight
        return loss.value + known(weight * mine["value"], lambda g: torch._foreach_mul(slopes, weight * g), matrices)

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for mine in state.values():
            mine["count"] = 0


def hidden(net: Network) -> list[Writer]:
    """Every writer that is trained but those of the output and what is attached beside them."""
    last = set(net.reading(net.outputs()))
    return [writer for writer in net.writers().values() if writer not in last and writer.weight.requires_grad]


def away(w: Tensor, s: float, blocks: int = 1) -> tuple[Tensor, Tensor]:
    """(64 / units)^2 ||W W^T - s I||^2 of the shorter side, [], and its gradient, 4 (64 / units)^2 (W W^T - s I) W."""
    flat, factor = w.reshape(blocks, len(w) // blocks, -1), (WIDTH / len(w)) ** 2  # [blocks, rows, columns]
    tall = flat.shape[1] > flat.shape[2]
    gram = flat.mT @ flat if tall else flat @ flat.mT
    gram.diagonal(dim1=1, dim2=2).sub_(s)
    slope = flat @ gram if tall else gram @ flat
    return factor * gram.square().sum(), slope.mul_(4 * factor).view(w.shape)


class Diagonal(nn.Module):
    """A factor for each unit: [B, ..., U], or [B, U, H, W] behind a convolution."""

    def __init__(self, units: int, images: bool) -> None:
        super().__init__()
        self.weight, self.images = nn.Parameter(torch.ones(units)), images

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.weight[:, None, None] if self.images else self.weight)


def lengthened(make: Make) -> Make:
    """Networks with a diagonal behind each hidden writer, which is then among the writer's own parameters."""

    def built() -> Network:
        net = make()
        for writer in hidden(net):
            if writer.output_lens is not None:
                raise ValueError("parseval_diagonal meets another change of the layers' outputs: leave one of them out")
            w = writer.matrices[0]
            writer.output_lens = Diagonal(len(w), w.dim() == 4)
        return net

    return built
