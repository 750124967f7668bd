"""What the outputs of a part mean, hence how two of them are compared: values, action values, classes, Gaussians."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor


class Output(ABC):
    """student, teacher: outputs of `Subject.run`, [B, ...] -> [B]. The teacher comes first in every KL.

    regresses: whether its losses regress these numbers to a goal, so that the error has a scale.
    valued: whether what they stand for are numbers of a scale: rewards to come.
    policy: whether they are a policy, so that they can be imitated; a policy does not depend on the batch's actions.
    """

    regresses: ClassVar[bool] = False
    valued: ClassVar[bool] = False
    policy: ClassVar[bool] = True

    @abstractmethod
    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """How far the outputs are apart: what plain distillation minimises."""

    def imitation(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """KL(teacher's policy || student's policy), of softmax(values / temperature); asked only of a policy."""
        return kl(self.values(teacher) / temperature, self.values(student) / temperature)

    def values(self, outputs: Tensor) -> Tensor:
        """The numbers that they stand for: the outputs themselves, unless they are those of a distribution."""
        return outputs


class Values(Output):
    """Numbers, [B, K] or [B, A, K]: compared one by one."""

    regresses, valued, policy = True, True, False

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).square().flatten(1).mean(1)


class ActionValues(Values):
    """Q of every action, [B, A]. Their policy is softmax(Q / temperature) (Agarwal et al. 2022, arXiv:2206.01626)."""

    policy = True


class Logits(Output):
    """Logits of classes or bins, [B, M]."""

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return kl(teacher, student).reshape(len(student), -1).mean(1)


class Atoms(Logits):
    """Logits over a support of values for every action, [B, A, M]; their policy is that of the mean values."""

    valued = True

    def __init__(self, support: Tensor) -> None:
        self.support = support

    def values(self, outputs: Tensor) -> Tensor:
        """[B, A, M] -> Q [B, A]."""
        return outputs.softmax(-1) @ self.support.to(outputs)


class Quantiles(Values):
    """N quantiles of the value of every action, [B, A, N]; their policy is that of the means."""

    regresses, policy = False, True

    def values(self, outputs: Tensor) -> Tensor:
        """[B, A, N] -> Q [B, A]."""
        return outputs.mean(-1)


class Gaussian(Output):
    """Mean and log-sigma of a diagonal Gaussian, [B, 2A]; a squashing behind it changes no KL."""

    def values(self, outputs: Tensor) -> Tensor:
        """Its mean, [B, A]."""
        return outputs.chunk(2, 1)[0]

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        (mean, log_std), (goal, goal_std) = student.chunk(2, 1), teacher.chunk(2, 1)
        ratio = (2 * (goal_std - log_std)).exp()
        shift = (goal - mean).square() * (-2 * log_std).exp()
        return 0.5 * (ratio + shift - 1 - 2 * (goal_std - log_std)).sum(1)

    def imitation(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """temperature: a factor on the teacher's and the student's variance, as it flattens a softmax."""
        if temperature == 1.0:
            return self.distance(student, teacher)
        wider = torch.cat([torch.zeros_like(student.chunk(2, 1)[0]), torch.full_like(student.chunk(2, 1)[1], 1.0)], 1)
        wider = wider * 0.5 * math.log(temperature)
        return self.distance(student + wider, teacher + wider)


def kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Logits [..., M] of both -> KL(teacher || student), [...]."""
    goal = teacher.log_softmax(-1)
    return F.kl_div(student.log_softmax(-1), goal, reduction="none", log_target=True).sum(-1)
