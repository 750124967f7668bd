"""The gain of an activation: what its units' incoming weights are scaled by (He et al. 2015, arXiv:1502.01852)."""

from torch import nn
from torch.nn.init import calculate_gain


def gain(act: nn.Module) -> float:
    """torch's: 5/3 of tanh, sqrt(2 / (1 + slope^2)) of leaky ReLU, of PReLU at birth too. Two copies of a unit, CReLU's
    or sin and cos, halve the mean square as ReLU does: sqrt(2)."""
    match act:
        case nn.Tanh():
            return float(calculate_gain("tanh"))
        case nn.LeakyReLU():
            return float(calculate_gain("leaky_relu", act.negative_slope))
        case nn.PReLU():
            return float(calculate_gain("leaky_relu", act.init))
        case _:
            return float(calculate_gain("relu"))
