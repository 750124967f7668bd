"""InFeR (Lyle et al. 2022, arXiv:2204.09560): linear heads on the features keep answering as at birth, times beta.

alpha sum_i E_s (g_i(s; theta) - beta g_i(s; theta_0))^2 over k heads, which are trained with the network, by its own
optimizer. theta_0 is the whole network at birth, heads included; its branch is a second forward pass on the minibatch,
without gradients. The sum over heads with alpha .1 and beta 100 is the paper's; timoklein/infer has .05 of the mean and
beta 175. Each member of an ensemble has heads of its own. The slow copy bears heads that nobody reads. Noisy layers are
without noise in both branches, which takes a third pass.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import featured, featureless, renew
from nets.anatomy import Network, Writer, record
from nets.layers import Linear
from nets.noisy import noisy_layers
from nets.part import Make, Weights
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken


@dataclass(frozen=True)
class InFeR(Intervention):
    """InFeR: random heads on the features keep their first answers, scaled (Lyle et al. 2022)"""

    reach = Reach.WEIGHT
    touches = "gradients; adds heads; keeps the first weights"
    clashes = "named parts without features"
    watches = True
    fires = "every update"

    infer_weight: float = 0.0
    """alpha; 0 is off (Lyle et al. 2022: .1 of the sum; timoklein/infer: .05 of the mean)"""
    infer_heads: int = 10
    """k, heads of one number each (Lyle et al. 2022: 10)"""
    infer_beta: float = 100.0
    """beta, the factor on the first answers (Lyle et al. 2022: 100; timoklein/infer: 175)"""
    infer_form: Literal["sum", "mean"] = "sum"
    """Over the heads: sum (Lyle et al. 2022) or mean (timoklein/infer), k times less"""
    infer_parts: str = ""
    """Which parts have heads; empty for all but policies (ours: the sources of 2022 have none)"""
    infer_reset: Literal["move", "keep"] = "move"
    """After a reset the new weights are theta_0 of what was redrawn, or theta_0 stays (ours: as L2-init, 2023)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "infer_weight": (0 <= self.infer_weight < inf, "at least 0"),
            "infer_heads": (self.infer_heads > 0, "at least 1"),
            "infer_beta": (0 <= self.infer_beta < inf, "at least 0"),
        }
        yield from broken(self, rules)
        yield from featureless(subject, "infer_parts", self.infer_parts)

    def on_build(self, part: str, make: Make) -> Make:
        def built() -> Network:
            net = make()
            if self.infer_heads > 0 and featured(part, net, self.infer_parts):
                net.attach("infer", {out: Linear(width(out), self.infer_heads) for out in firsts(net)})
            return net

        return built

    def init(self, subject: Subject) -> State:
        """{part: theta_0, buffers too}."""
        chosen = {n: p for n, p in subject.parts.items() if featured(n, p.net, self.infer_parts)}
        return {name: part.weights(buffers=True) for name, part in chosen.items()}

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if loss.part not in state:
            return loss.value
        part = subject.parts[loss.part]
        first = state[loss.part]
        with torch.no_grad(), record(part.net) as tape:
            subject.run(loss.part, batch, first)
            goal = self.infer_beta * answers(tape.features, first)
        live = dict(part.net.named_parameters())
        away = answers(self.features(subject, loss.part, batch), live) - goal  # [K, B, k]
        over = away.square().sum(2) if self.infer_form == "sum" else away.square().mean(2)
        return loss.value + self.infer_weight * over.mean(1).sum()

    def features(self, subject: Subject, part: str, batch: Batch) -> Tensor:
        """Of the update's own pass, [K, B, D]; without the noise of noisy layers, if there are any, by another one."""
        net = subject.parts[part].net
        if not noisy_layers(net):
            return subject.tape(part).features
        with record(net) as tape:
            subject.run(part, batch)
        return tape.features

    def after_reset(self, state: State, subject: Subject, redrawn: Mapping[str, Collection[str]]) -> None:
        for part in state if self.infer_reset == "move" else ():
            renew(state[part], subject.parts[part].net, redrawn.get(part, ()))


def answers(features: Tensor, weights: Weights) -> Tensor:
    """features: [K, B, D] -> what the heads among these weights make of them, [K, B, k]."""
    heads = [(weights[f"infer.{i}.weight"], weights[f"infer.{i}.bias"]) for i in range(len(features))]
    return torch.stack([F.linear(phi, w, b) for phi, (w, b) in zip(features, heads, strict=True)])


def width(writer: Writer) -> int:
    return writer.matrices[0].shape[1]


def firsts(net: Network) -> list[Writer]:
    """One writer of the output for each vector of features: the streams of one head share theirs."""
    paths = {writer: path for path, writer in net.writers().items()}
    found: dict[str, Writer] = {}
    for writer in net.outputs():
        found.setdefault(paths[writer].rpartition(".")[0], writer)
    return list(found.values())
