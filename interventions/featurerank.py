"""The feature-rank penalty (Kumar et al. 2021, arXiv:2010.14498): sigma_max(Phi)^2 - sigma_min(Phi)^2 of the features.

Phi is the batch's, B x D, of each member of an ensemble; of a larger batch than the source's 32 the first 32 states: a
decomposition costs their cube, and sigma_max^2, so the meaning of alpha, grows with them. sigma_min is the least of the
min(B, D) singular values, as in timoklein/implicit_underparameterization; the D-th of B < D would be 0. The squares are
eigenvalues of the smaller Gram matrix: the derivative of a singular value decomposition is unstable where two values
are equal. All features at 0 are a minimum too: watch their norm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from interventions.base import Intervention, Reach, State
from interventions.penalty import featured, featureless, known, scaled
from nets.subject import Loss, Subject
from replay.batch import Batch
from runs.units import broken


@dataclass(frozen=True)
class FeatureRank(Intervention):
    """Feature rank: no singular value of the features may lead (Kumar et al. 2021)"""

    reach = Reach.WEIGHT
    touches = "gradients"
    clashes = "named parts without features"
    watches = True
    fires = "every update"

    featurerank_weight: float = 0.0
    """alpha; 0 is off (Kumar et al. 2021: 1e-3; 5e-4 is steadier, timoklein/implicit_underparameterization)"""
    featurerank_states: int = 32
    """States of a minibatch that count, its first (Kumar et al. 2021: batches of 32)"""
    featurerank_parts: str = ""
    """Of which parts; empty for all but policies (ours: the sources of 2021 have none)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "featurerank_weight": (0 <= self.featurerank_weight < inf, "at least 0"),
            "featurerank_states": (self.featurerank_states > 1, "at least 2"),
        }
        yield from broken(self, rules)
        yield from featureless(subject, "featurerank_parts", self.featurerank_parts)

    def on_loss(self, state: State, subject: Subject, loss: Loss, batch: Batch) -> Tensor:
        if not featured(loss.part, subject.parts[loss.part].net, self.featurerank_parts):
            return loss.value
        features = subject.tape(loss.part).features[:, : self.featurerank_states]  # [K, B, D]
        with torch.no_grad():
            gap, slope = spread(features)
        alpha = self.featurerank_weight
        return loss.value + known(alpha * gap, scaled([slope], alpha), [features])


def spread(phi: Tensor) -> tuple[Tensor, Tensor]:
    """phi: [K, B, D] -> sigma_max^2 - sigma_min^2, summed over K, [], and its gradient [K, B, D].

    d sigma^2 / d Phi = 2 x x^T Phi for an eigenvector x of Phi Phi^T, and 2 Phi x x^T for one of Phi^T Phi.
    """
    wide = phi.shape[1] < phi.shape[2]
    gram = phi @ phi.mT if wide else phi.mT @ phi
    values, vectors = torch.linalg.eigh(
        gram.nan_to_num()
    )  # ascending; of NaN it would raise before the loss is checked
    ends = vectors[:, :, [-1, 0]]  # [K, side, 2]
    sign = torch.tensor([2.0, -2.0], device=phi.device)
    slope = (ends * sign) @ (ends.mT @ phi) if wide else (phi @ ends * sign) @ ends.mT
    return (values[:, -1] - values[:, 0]).sum(), slope
