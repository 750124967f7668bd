"""What the outputs of a Q-network stand for, and what they are fitted to: numbers, classes of numbers, distributions.

The goal is a number for each transition, [B], or what the whole distribution of the return should be, [B, M].
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from agents.losses import (
    at,
    bootstrap,
    bootstrap_atoms,
    bootstrap_quantiles,
    cross_entropy,
    huber,
    quantile_huber,
    rows,
    spread,
    squared,
    support,
    symexp,
)
from nets.output import ActionValues, Atoms, Output, Quantiles
from replay.batch import Batch

Kind = Literal["huber", "mse", "hl_gauss", "two_hot", "two_hot_symlog", "c51", "quantile"]
BINNED = ("hl_gauss", "two_hot", "two_hot_symlog", "c51")  # they have bins over a range of values
SPREAD = (*BINNED, "quantile")  # they have several outputs for an action


class Goal(ABC):
    """outputs: of the network, [B, A] or [B, A, M]; M = `atoms`, 0 for none. output: what they mean."""

    output: Output
    atoms = 0

    def values(self, outputs: Tensor) -> Tensor:
        """-> q: [B, A]."""
        return self.output.values(outputs)

    def of(self, batch: Batch, following: Tensor, judge: Tensor) -> Tensor:
        """What the action taken should show, [B] or [B, M]. following: outputs in the next state; judge: the values
        [B, A] that choose the action there."""
        return bootstrap(batch.reward, batch.discount, self.values(following), judge)

    @abstractmethod
    def errors(self, outputs: Tensor, action: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each transition, [B], and what its priority is made of, [B]: the error, or the loss again."""


class Regressed(Goal):
    """Numbers: Huber's or the squared error."""

    def __init__(self, kind: Kind) -> None:
        self.output, self.kind = ActionValues(), kind

    def loss(self, td: Tensor) -> Tensor:
        """td: [B] -> [B]"""
        return huber(td) if self.kind == "huber" else squared(td)

    def errors(self, outputs: Tensor, action: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        td = goal - at(outputs, action)
        return self.loss(td), td


class SymlogAtoms(Atoms):
    """Logits over the symlog of values (DreamerV3: Hafner et al. 2023, arXiv:2301.04104v1; its later versions take the
    mean of the values themselves)."""

    def values(self, outputs: Tensor) -> Tensor:
        """[B, A, M] -> Q [B, A], the symexp of the mean."""
        return symexp(super().values(outputs))


class Classified(Goal):
    """Logits of bins, against a number spread over them (Farebrother et al. 2024, arXiv:2403.03950)."""

    output: Atoms

    def __init__(self, kind: Kind, bins: Tensor, sigma: float) -> None:
        self.kind, self.atoms, self.sigma = kind, len(bins), sigma
        self.output = SymlogAtoms(bins) if kind == "two_hot_symlog" else Atoms(bins)

    def errors(self, outputs: Tensor, action: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        mass = spread(goal, self.output.support, self.kind, self.sigma)
        return cross_entropy(rows(outputs, action), mass), goal - at(self.values(outputs), action)


class Categorical(Goal):
    """Logits of atoms, against the distribution of the next state, projected (C51: Bellemare et al. 2017, 1707.06887).
    Its priority is the cross-entropy (Rainbow: Hessel et al. 2018, arXiv:1710.02298)."""

    output: Atoms

    def __init__(self, bins: Tensor) -> None:
        self.output, self.atoms = Atoms(bins), len(bins)

    def of(self, batch: Batch, following: Tensor, judge: Tensor) -> Tensor:
        return bootstrap_atoms(batch.reward, batch.discount, following, judge, self.output.support)

    def errors(self, outputs: Tensor, action: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        loss = cross_entropy(rows(outputs, action), goal)
        return loss, loss


class Quantile(Goal):
    """Quantiles of the return (QR-DQN: Dabney et al. 2018, arXiv:1710.10044); their priority is the loss (Dopamine)."""

    def __init__(self, quantiles: int) -> None:
        self.output, self.atoms = Quantiles(), quantiles

    def of(self, batch: Batch, following: Tensor, judge: Tensor) -> Tensor:
        return bootstrap_quantiles(batch.reward, batch.discount, following, judge)

    def errors(self, outputs: Tensor, action: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        loss = quantile_huber(rows(outputs, action), goal)
        return loss, loss


def goal_of(kind: Kind, bins: int, value_range: tuple[float, float], sigma: float, device: torch.device) -> Goal:
    """bins: how many, of values in `value_range`; or how many quantiles. sigma: of hl_gauss."""
    if kind == "quantile":
        return Quantile(bins)
    if kind not in BINNED:
        return Regressed(kind)
    places = support(*value_range, bins, kind).to(device)
    return Categorical(places) if kind == "c51" else Classified(kind, places, sigma)
