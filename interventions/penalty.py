"""What the penalties have in common (Kumar et al. 2023, arXiv:2308.11958, and others): a gradient that is written down
instead of derived, the parts that have features, and weights that are kept."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nets.anatomy import Network
from nets.subject import Subject

LEAST = 1e-12  # norm that is divided by
WARM = 20  # power iterations for a matrix that is new; torch's own spectral_norm takes 15
Slopes = Callable[[Tensor], Sequence[Tensor]]


class Known(torch.autograd.Function):
    """A number whose derivatives are written down."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, slopes: Slopes, *inputs: Tensor) -> Tensor:
        ctx.slopes = slopes
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        slopes, ctx.slopes = ctx.slopes, None  # its memory may be used up: as elsewhere, a graph goes backward once
        if slopes is None:
            raise RuntimeError("a penalty's graph goes backward once; do without retain_graph")
        return None, None, *slopes(grads[0])


def known(value: Tensor, slopes: Slopes, inputs: Sequence[Tensor]) -> Tensor:
    """value: [], and g -> g * d value / d input for each input: fewer passes over the parameters than autograd's."""
    return Known.apply(value, slopes, *inputs)  # type: ignore[no-any-return, no-untyped-call]


def scaled(tensors: Sequence[Tensor], factor: float) -> Slopes:
    """Slopes that are factor times these tensors, whose memory they take."""

    def slopes(grad: Tensor) -> Sequence[Tensor]:
        torch._foreach_mul_(list(tensors), factor * grad)
        return tensors

    return slopes


def square(tensors: list[Tensor]) -> Tensor:
    """The sum of all squares, []."""
    return torch.stack(torch._foreach_norm(tensors)).square().sum()


def iterate(w: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration; u: [out], in place unless the matrix is all zeros -> sigma [] and v [rest]."""
    flat = w.detach().flatten(1)
    v = flat.T @ u
    v = v / v.norm().clamp_min(LEAST)
    image = flat @ v
    sigma = image.norm()
    u.copy_(torch.where(sigma > 0, image / sigma.clamp_min(LEAST), u))
    return sigma, v


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
def renew(kept: Mapping[str, Tensor], net: Network, redrawn: Collection[str]) -> None:
    """Of what was drawn anew the kept weights become those of the net, with the buffers of its modules."""
    live, parameters = net.state_dict(), dict(net.named_parameters())

    def near(buffer: str) -> bool:
        """Whether something that was drawn anew is in the module that its lens belongs to."""
        home = ".".join(buffer.split(".")[:-2])
        return any(name.startswith(home) for name in redrawn)

    for name, x in kept.items():
        gone = name in redrawn if name in parameters else near(name)
        if gone:
            x.copy_(live[name])
