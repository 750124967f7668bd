"""Frozen tails beside a live one, for plasticity injection (Nikishin et al. 2023, arXiv:2305.15555).

A tail is the head of a network, or its torso and head. Of K slots each holds two copies of it that nobody trains:

    out = tail(z) + sum over the open slots of old_k(z) - new_k(z)

All slots exist from birth, so that no parameter is ever added; a closed one is not computed. The live tail keeps the
names and the Parameters that it always had. It is summed newest slot first, ((tail - new_2) + old_2 - new_1) + old_1:
at an injection the live tail equals the newest `new`, their difference is exactly 0 and the output keeps its bits.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nets.anatomy import Torso, Writer


class Frozen(nn.Module):
    """A copy of a tail without gradients; torso: None where the tail is the head alone."""

    def __init__(self, torso: Torso | None, head: nn.Module) -> None:
        super().__init__()
        self.torso, self.head = deepcopy(torso), deepcopy(head)
        self.requires_grad_(False)

    def pieces(self) -> list[nn.Module]:
        return [self.head] if self.torso is None else [self.torso, self.head]

    def entries(self) -> list[Writer]:
        """Who reads its input."""
        hidden = [] if self.torso is None else self.torso.layers("", [])
        return [hidden[0].writer] if hidden else writers(self.head)

    def forward(self, x: Tensor, phi: Tensor) -> Any:
        """x, phi: the input of the live torso and of the live head."""
        return self.head(phi if self.torso is None else self.torso(x))


class Slot(nn.Module):
    """old - new, and whether it counts."""

    open: Tensor  # [] bool

    def __init__(self, torso: Torso | None, head: nn.Module) -> None:
        super().__init__()
        self.old, self.new = Frozen(torso, head), Frozen(torso, head)
        self.register_buffer("open", torch.zeros((), dtype=torch.bool))


class Slots(nn.Module):
    """The slots of one tail. deep: the tail is the torso and the head."""

    def __init__(self, torso: Torso, head: nn.Module, slots: int, deep: bool) -> None:
        super().__init__()
        self.deep = deep
        self.slots = nn.ModuleList(Slot(torso if deep else None, head) for _ in range(slots))

    def rows(self) -> list[Slot]:
        return [slot for slot in self.slots if isinstance(slot, Slot)]

    def filled(self) -> int:
        return sum(bool(slot.open) for slot in self.rows())

    def entries(self) -> list[Writer]:
        """Every frozen reader of the tail's input."""
        return [writer for slot in self.rows() for tail in (slot.old, slot.new) for writer in tail.entries()]

    def forward(self, out: Any, x: Tensor, phi: Tensor) -> Any:
        for slot in reversed(self.rows()):
            if slot.open:  # read on the host: a closed slot costs nothing
                out = corrected(out, slot.old(x, phi), slot.new(x, phi))
        return out


class Tailed(nn.Module):
    """A module that ends in a torso and a head, beside which frozen ones may stand."""

    torso: Any  # a Torso
    head: Any

    def __init__(self) -> None:
        super().__init__()
        self.injected: Slots | None = None  # of the instance, as the lenses of nets/layers.py

    def end(self, x: Tensor) -> Any:
        """x: [B, D], the input of the torso -> the output."""
        phi = self.torso(x)
        out = self.head(phi)
        return out if self.injected is None else self.injected(out, x, phi)

    def tail(self) -> list[nn.Module]:
        """The live modules of which the slots hold copies."""
        assert self.injected is not None
        return [self.torso, self.head] if self.injected.deep else [self.head]

    def frozen(self) -> list[Writer]:
        """Every writer of the frozen tails."""
        return [] if self.injected is None else writers(self.injected)

    def frozen_readers(self, of: Literal["torso", "head"]) -> list[Writer]:
        """Those that read what the live torso reads, or what the live head reads."""
        slots = self.injected
        return slots.entries() if slots is not None and slots.deep == (of == "torso") else []


def writers(module: nn.Module) -> list[Writer]:
    return [m for m in module.modules() if isinstance(m, Writer)]


def tails(net: nn.Module) -> Iterator[Tailed]:
    """A network's endings, one for each member of an ensemble."""
    return (m for m in net.modules() if isinstance(m, Tailed))


def corrected(out: Any, old: Any, new: Any) -> Any:
    """out - new + old, of tensors or of tuples of them."""
    if isinstance(out, Tensor):
        return out - new + old
    return tuple(a - c + b for a, b, c in zip(out, old, new, strict=True))


def prepare(net: nn.Module, slots: int, deep: bool | None) -> None:
    """Closed slots beside every tail. deep: whether the torso belongs to it; None where there is an encoder before."""
    for tailed in tails(net):
        encoder = dict(tailed.named_children()).get("encoder")
        tailed.injected = Slots(tailed.torso, tailed.head, slots, encoder is not None if deep is None else deep)


@torch.no_grad()
def inject(tailed: Tailed, fresh: Tailed) -> None:
    """Freeze the live tail in the next slot and go on with a fresh draw: the output is unchanged."""
    assert tailed.injected is not None
    slot = tailed.injected.rows()[tailed.injected.filled()]
    rows = zip(tailed.tail(), fresh.tail(), slot.old.pieces(), slot.new.pieces(), strict=True)
    for live, draw, old, new in rows:
        old.load_state_dict(live.state_dict())
        live.load_state_dict(draw.state_dict())
        new.load_state_dict(draw.state_dict())
    slot.open.fill_(True)
