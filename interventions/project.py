"""Normalize-and-project, NaP (Lyle et al. 2024, arXiv:2407.01800): a step leaves the norm of each matrix as it was.

W <- rho W / ||W||_F with rho = ||W_0||_F, and the biases of the layer by the same factor: behind a norm the output does
not change with the scale of (W, b) together (to LayerNorm's eps), but the effective learning rate no longer decays
with growing weights. The paper drops biases that a norm makes redundant; ours are projected with W, which leaves the
function as it is. Output layers, which are not scale-invariant, are never projected, nor are the writers of a residual
stream under `required`. Gains and offsets of a norm are left alone, or jointly projected, which changes the function.
The optimizer is kept; the slow network is projected, too, so that both stay on the sphere. Every update and every 1,000
Rainbow steps did nearly the same in the paper. Its learning-rate schedules are --lrschedule-updates.

--project-norms any is another method, projection to the initial norm of layers without a norm (weight-norm projection):
it changes the function.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, Report, State
from interventions.penalty import LEAST
from nets.anatomy import Network
from nets.part import Part
from nets.subject import Subject
from runs.units import Count, broken


@dataclass(frozen=True)
class Project(Intervention):
    """NaP: each layer behind which a norm stands is projected to its first norm (Lyle et al. 2024)"""

    reach = Reach.NORM
    touches = "scale of hidden layers, target's too"
    fires = "every n updates"
    clashes = "`clip`; `specnorm` on the same layers; weight decay; without `--norm`, unless `--project-norms any`"
    excludes: ClassVar[Mapping[str, str]] = {"clip": "a projected layer has its norm already; switch one of them off"}

    project_interval: Count = 0
    """Updates between two projections; 0 is off (Lyle et al. 2024: 1, or 1000)"""
    project_norms: Literal["required", "any"] = "required"
    """required: NaP, only layers in front of a norm (Lyle et al. 2024); any: every hidden layer, whatever it changes"""
    project_gains: Literal["keep", "joint"] = "keep"
    """Gain and offset of a norm: left alone, or (g, b) <- rho (g, b) / ||(g, b)|| (Lyle et al. 2024 have both)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        yield from broken(self, {"project_interval": (self.project_interval > 0, "at least 1")})
        projected = {name: part for name, part in subject.parts.items() if self.layers(part.net)}
        if not projected:
            yield from self.bare()
        for name, part in projected.items():
            bare = [layer.name for layer in part.net.layers() if layer.norm is None]
            if bare and self.project_norms == "required":
                yield f"project_norms required: no norm behind {', '.join(bare)} of {name}; take --project-norms any"
            if any(part.net.writers()[path].weight_lens is not None for path in self.layers(part.net)):
                yield f"project_interval: another method normalises a layer of part {name}; switch one of them off"
            if any(group.get("weight_decay") for group in part.opt.param_groups):
                yield "project_interval: weight decay does nothing to projected layers; leave --weight-decay at 0"

    def bare(self) -> Iterator[str]:
        if self.project_norms == "any":
            yield "project_interval: the networks have no hidden layer; give them some by --hidden"
        else:
            yield "project_interval: no hidden layer has a norm behind it; add --norm layer, or --project-norms any"

    def layers(self, net: Network) -> list[str]:
        """Paths of the writers that are projected."""
        normed = {layer.writer for layer in net.layers() if layer.norm is not None}
        last = set(net.reading(net.outputs()))
        hidden = {p: w for p, w in net.writers().items() if w not in last and w.weight.requires_grad}
        return [path for path, writer in hidden.items() if self.project_norms == "any" or writer in normed]

    @torch.no_grad()
    def init(self, subject: Subject) -> State:
        """norms: {part: the first norms, in the order of `bundles`}; updates: since the last projection."""
        rows = {name: self.bundles(part.net, self.layers(part.net)) for name, part in subject.parts.items()}
        return {"norms": {name: sizes(*row) for name, row in rows.items() if row[0]}, "updates": 0}

    def bundles(self, net: Network, paths: list[str]) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Parameters that share a factor: each writer's, its matrix first; and, if asked, each norm's."""
        writers, joint = net.writers(), self.project_gains == "joint"
        gains = [list[Tensor](layer.norm.parameters()) for layer in net.layers() if joint and layer.norm is not None]
        return [writers[path].own() for path in paths], gains

    @torch.no_grad()
    def after_update(self, state: State, subject: Subject) -> Report:
        """growth/<part>: mean log of norm over first norm, what the projection takes back."""
        state["updates"] += 1
        if state["updates"] < self.project_interval:
            return {}
        state["updates"] = 0
        return {f"growth/{name}": self.project(subject.parts[name], first) for name, first in state["norms"].items()}

    def project(self, part: Part, first: Tensor) -> Tensor:
        """Network and slow copy to these norms; the mean log growth of the network's, []."""
        paths = self.layers(part.net)
        for net in (part.target, part.net):
            if net is not None:
                writers, gains = self.bundles(net, paths)
                ratio = sizes(writers, gains).clamp_min(LEAST) / first
                rows = zip([*writers, *gains], (1 / ratio).unbind(), strict=True)
                pairs = [(p, factor) for bundle, factor in rows for p in bundle]
                torch._foreach_mul_([p for p, _ in pairs], [factor for _, factor in pairs])
        return ratio.log().mean()


def sizes(writers: list[list[Tensor]], gains: list[list[Tensor]]) -> Tensor:
    """The Frobenius norm of each writer's matrix, then of each norm's gain and offset together."""
    matrices = torch._foreach_norm([bundle[0] for bundle in writers]) if writers else ()
    return torch.stack([*matrices, *(torch.stack(torch._foreach_norm(bundle)).norm() for bundle in gains)])
