"""What the penalties have in common (Kumar et al. 2023, arXiv:2308.11958, and others): a gradient that is written down
instead of derived, the parts that have features, and weights that are kept."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from nets.anatomy import Network
from nets.part import Part, Subject


class Known(torch.autograd.Function):
    """A number whose derivative by `inputs` is factor times slopes."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float, slopes: list[Tensor], *inputs: Tensor) -> Tensor:
        ctx.factor, ctx.slopes = factor, slopes
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, None, *torch._foreach_mul(ctx.slopes, ctx.factor * grads[0])


def known(value: Tensor, factor: float, slopes: list[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """value: [], with d value / d inputs[i] = factor * slopes[i]: fewer passes over the parameters than autograd's."""
    return Known.apply(value, factor, slopes, *inputs)  # type: ignore[no-any-return, no-untyped-call]


def square(tensors: list[Tensor]) -> Tensor:
    """The sum of all squares, []."""
    return torch.stack(torch._foreach_norm(tensors)).square().sum()


def featured(name: str, net: Network, parts: str) -> bool:
    """Whether a part's features are meant: one of the comma-separated parts; for "" all that have features and are no
    policy, as the sources have none."""
    return bool(net.outputs()) and (name in parts.split(",") if parts else not net.policy)


def featureless(subject: Subject, flag: str, parts: str) -> Iterator[str]:
    """A sentence for each part that is named and has no features."""
    for name in parts.split(",") if parts else ():
        if name in subject.parts and not subject.parts[name].net.outputs():
            yield f"{flag}: part {name!r} has no features; leave it out"


@torch.no_grad()
def settle(part: Part, kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """The kept weights in the memory order of the live ones: a checkpoint brings them back contiguous, and convolutions
    round by their order."""
    for name, p in part.net.named_parameters():
        if kept[name].stride() != p.stride():
            kept[name] = torch.empty_like(p).copy_(kept[name])
    return kept
