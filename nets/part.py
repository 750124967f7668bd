"""A Part: one network, its slow copy and the optimizer that owns its weights."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import EllipsisType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from nets.anatomy import Network, member
from nets.optim import SHARED
from nets.output import Output

Make = Callable[[], Network]
Net = Callable[..., Any]  # a network, or one that wears other weights
Weights = Mapping[str, Tensor]  # by parameter name
Copy = Literal["copy", "keep", "own"]
Index = EllipsisType | Tensor | tuple[slice | Tensor, ...]


class Part:
    """Weights are written in place: no Parameter, module or optimizer is ever replaced after construction.

    trainable: the parameters that the optimizer owns.
    birth: the seed of its first draw, fresh(birth); a reset does not change it.
    age: updates since the part was reborn; whoever redraws it sets it to 0.
    tau: the rule of the slow copy, 1 for a hard copy, less for an exponential moving average.
    output: what its outputs mean; None where nobody should imitate them (a temperature).
    """

    def __init__(
        self,
        make: Make,
        optimizer: Callable[[list[nn.Parameter]], Optimizer],
        seed: int,
        device: torch.device | str = "cpu",
        tau: float | None = None,
        output: Output | None = None,
    ) -> None:
        self.make, self.optimizer, self.device, self.tau = make, optimizer, torch.device(device), tau
        self.output, self.birth = output, seed
        self.net = self.fresh(seed)
        self.target = deepcopy(self.net).requires_grad_(False) if tau is not None else None
        self.trainable = [p for p in self.net.parameters() if p.requires_grad]
        self.twins = [list[Tensor](net.parameters()) for net in (self.target, self.net) if net is not None]
        slow = () if self.target is None else zip(self.target.buffers(), self.net.buffers(), strict=True)
        self.statistics = list(slow)
        self.opt = optimizer(self.trainable)
        self.age = 0

    def fresh(self, seed: int) -> Network:
        """Another draw of the same network, a pure function of the seed; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = self.make()
        return net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def wearing(self, weights: Weights) -> Net:
        """The network with these weights in place of its own, for a call; nothing is written."""
        mine = dict(self.net.named_parameters())
        worn = {name: laid(x, mine[name]) if name in mine else x for name, x in weights.items()}
        return lambda *inputs: functional_call(self.net, worn, inputs)

    def weights(self, slow: bool = False, buffers: bool = False) -> dict[str, Tensor]:
        """A copy of all parameters, by name; of the slow copy if asked for. buffers: these too, which whoever runs the
        network of an earlier time needs: its scales, its spectral norms, an actor's encoder."""
        net = self.target if slow and self.target is not None else self.net
        rows = net.state_dict() if buffers else dict(net.named_parameters())
        return {name: x.detach().clone() for name, x in rows.items()}

    def groups(self) -> list[str]:
        """Every component of a parameter's path, but its own name unless that is all there is (log_alpha)."""
        return sorted({g for name, _ in self.net.named_parameters() for g in name.split(".")[:-1] or [name]})

    def select(self, groups: str = "", skip: str = "") -> dict[str, nn.Parameter]:
        """Trainable ones by name whose path has one of the groups and none of `skip` as a component; {} if none."""
        names = {name: p for name, p in self.net.named_parameters() if p.requires_grad and member(name, groups)}
        return {name: p for name, p in names.items() if not (skip and member(name, skip))}

    @torch.no_grad()
    def redraw(
        self,
        seed: Callable[[], int],
        groups: str = "",
        skip: str = "",
        keep: float = 0.0,
        noise: float = 1.0,
        target: Copy = "copy",
        phi: Weights | None = None,
    ) -> None:
        """theta <- keep theta + noise phi on the groups, phi a fresh draw; the optimizer forgets them, age restarts.

        target: the slow copy of the same parameters becomes a `copy`, is kept (`keep`), or is redrawn with a draw of
        its `own` as in BBF. phi: these weights in place of every draw. A part without these groups is left alone.
        """
        live = self.select(groups, skip)
        if not live:
            return

        def draw() -> Weights:
            return dict(self.fresh(seed()).named_parameters()) if phi is None else phi

        blend(live, draw(), keep, noise)
        for p in live.values():
            self.forget(p)
        if self.target is not None and target != "keep":
            slow = {name: p for name, p in self.target.named_parameters() if name in live}
            if target == "own":
                blend(slow, draw(), keep, noise)
            else:
                torch._foreach_copy_(list[Tensor](slow.values()), list[Tensor](live.values()))
        self.age = 0

    @torch.no_grad()
    def forget(self, p: nn.Parameter, rows: Index = ..., slots: tuple[str, ...] = ()) -> None:
        """Zero the optimizer's memory of p, or of p[rows]; a shared step count restarts only with the whole tensor.

        slots: only these of the optimizer's slots ("step"), all by default.
        """
        for name, slot in self.opt.state.get(p, {}).items():
            if slots and name not in slots:
                continue
            if name not in SHARED:
                slot[rows] = 0
            elif rows is ...:
                slot.zero_()

    @torch.no_grad()
    def sync(self, tau: float = 1.0) -> None:
        """target <- target + tau (net - target); buffers (running statistics) are copied whole."""
        if self.target is None:
            return
        slow, live = self.twins
        if tau == 1.0:
            torch._foreach_copy_(slow, live)
        else:
            torch._foreach_lerp_(slow, live, tau)
        for copy, buffer in self.statistics:
            copy.copy_(buffer)

    def state_dict(self) -> dict[str, Any]:
        """{net, target, opt: {parameter: {slot: tensor}}, age}: live tensors, named by their paths."""
        opt = {name: dict(self.opt.state[p]) for name, p in self.net.named_parameters() if p in self.opt.state}
        target = {} if self.target is None else dict(self.target.state_dict())
        return {"net": dict(self.net.state_dict()), "target": target, "opt": opt, "age": self.age}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copies into what stands here, so that every tensor keeps its memory order; names and shapes must match."""
        mine = self.state_dict()
        for where in ("net", "target", "opt"):
            copy_into(mine[where], state[where], where)
        self.age = state["age"]

    def newborn(self, seed: int) -> dict[str, Any]:
        """The state_dict of another draw with a slow copy and an optimizer of its own, in memory of its own."""
        net, mine = self.fresh(seed).state_dict(), self.state_dict()
        opt = {name: {slot: torch.zeros_like(x) for slot, x in row.items()} for name, row in mine["opt"].items()}
        return {"net": dict(net), "target": {name: net[name].clone() for name in mine["target"]}, "opt": opt, "age": 0}

    @torch.no_grad()
    def exchange(self, other: dict[str, Any]) -> None:
        """Swap contents with such a state_dict, in place: every tensor keeps its memory order and its owner."""
        mine = self.state_dict()
        for where in ("net", "target", "opt"):
            swap(mine[where], other[where])
        self.age, other["age"] = other["age"], self.age


def laid(x: Tensor, p: Tensor) -> Tensor:
    """x in p's memory order and place, which a checkpoint does not keep and a convolution's last bits depend on."""
    return x if x.stride() == p.stride() and x.device == p.device else torch.empty_like(p).copy_(x)


def blend(live: Mapping[str, nn.Parameter], phi: Weights, keep: float, noise: float) -> None:
    """p <- keep p + noise phi in place; keep 0 forgets even a non-finite p."""
    for name, p in live.items():
        if keep == 0:
            p.zero_()
        p.mul_(keep).add_(phi[name], alpha=noise)


def copy_into(mine: Mapping[str, Any], saved: Mapping[str, Any], path: str) -> None:
    """mine[k].copy_(saved[k]) over a nested dict of tensors; ValueError where names or shapes differ."""
    if mine.keys() != saved.keys():
        odd = ", ".join(sorted(mine.keys() ^ saved.keys()))
        raise ValueError(f"the checkpoint holds another network: {path} differs in {odd}")
    for name, tensor in mine.items():
        if isinstance(tensor, Mapping):
            copy_into(tensor, saved[name], f"{path}/{name}")
        elif tensor.shape != saved[name].shape:
            raise ValueError(f"{path}/{name} is {list(saved[name].shape)} in the checkpoint, {list(tensor.shape)} here")
        else:
            tensor.copy_(saved[name])


def swap(mine: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """The contents of two nested dicts of tensors change places."""
    for name, tensor in mine.items():
        if isinstance(tensor, Mapping):
            swap(tensor, other[name])
        else:
            kept = tensor.clone()
            tensor.copy_(other[name])
            other[name].copy_(kept)
