"""Fitting a target from where a network stands (Lyle et al. 2023, arXiv:2303.01486): the one loop of every such probe.

A fit starts from copies of a part's weights, or from a fresh draw of the same network, and minimises the loss with the
agent's own optimizer in a fresh state. Nothing is augmented and no gradient is clipped. Minibatches are drawn with
replacement, in the same order for every network and repeat. The loss that counts is that on all states after the last
update. Narrow fully connected networks are fitted together, the repeats stacked in front of each weight
(torch.func.vmap): Adam, AdamW, RMSProp and SGD work on elements, so the numbers stay. On one core ten networks of two
layers of 64 are then 2.4 times as fast, of 128 1.2 times, of 256 no faster, convolutions 1.09 times: those are fitted
one by one, which parallel processes share better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap
from torch.optim import SGD, Adam, Optimizer, RMSprop

from nets.anatomy import record
from nets.part import Part
from nets.subject import Subject
from probes.targets import CLASSES, HEAD, TARGETS, Goal, Pool, predicted, scalars, shown, weights_of
from replay.batch import Batch
from runs.rng import stream

MARKS = (0, 10, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)  # updates at which a learning curve is read
LOOKS = 50  # updates between two looks at the accuracy
NARROW = 50_000  # parameters up to which repeats are fitted together
ELEMENTWISE = (Adam, RMSprop, SGD)  # AdamW is an Adam
SGD_RATE, ADAM_RATE = 1e-2, 1e-3  # of plain SGD (ours), and of Adam where labels are fitted
Record = dict[str, Any]  # {"const": b, "fit" | "held" | "accuracy": {update: number}} of one fit, as JSON
Call = Callable[[Batch], Tensor]  # states -> [R, B, K], R networks at once
Rule = Literal["agent", "carried", "sgd", "adam"]


@dataclass(frozen=True)
class Trial:
    """All that a fit depends on beside the network and the states: equal trials give equal numbers."""

    part: str
    target: str = "sine"
    updates: int = 2_000
    batch: int = 256
    optimizer: Rule = "agent"  # carried: with the state that it had in the run
    rate: float = 1.0  # factor on the learning rate
    head: Literal["own", "fresh"] = "own"
    seed: int = 0

    def stream(self, *name: str | int) -> np.random.Generator:
        return stream(self.seed, "fit", self.part, self.target, *name)

    def goal(self, subject: Subject, states: Pool, repeat: int) -> Goal:
        """What all networks are asked for in a repeat."""
        return TARGETS[self.target](subject, self.part, states, self.stream("goal", repeat))

    def run(
        self,
        subject: Subject,
        states: Pool,
        repeats: Sequence[int],
        draw: int | None = None,
        goals: Sequence[Goal] = (),
    ) -> list[Record]:
        """A record for each repeat: of the subject's network, or of its fresh draw of this number. goals: the repeats'
        own, where they are known already."""
        goals = goals or [self.goal(subject, states, r) for r in repeats]
        rows = [(self.start(subject, states, r, draw), goal, r) for r, goal in zip(repeats, goals, strict=True)]
        if self.stacks(subject.parts[self.part]):
            return self.fit(subject, states, rows)
        return [self.fit(subject, states, [row])[0] for row in rows]

    def stacks(self, part: Part) -> bool:
        """Whether repeats are fitted together."""
        alike = self.optimizer in ("sgd", "adam") or (self.optimizer == "agent" and isinstance(part.opt, ELEMENTWISE))
        sizes = [p.numel() for p in part.net.parameters() if p.ndim <= 2]
        narrow = len(sizes) == len(list(part.net.parameters())) and sum(sizes) <= NARROW
        return alike and narrow and self.target != "next-task"

    def start(self, subject: Subject, states: Pool, repeat: int, draw: int | None) -> dict[str, Tensor]:
        """Where a fit begins: weights, buffers, and a fresh last layer if asked for."""
        part = subject.parts[self.part]
        seed = int(self.stream("fresh", repeat, draw or 0).integers(2**63))
        weights = weights_of(part.net if draw is None else part.fresh(seed))
        if self.head == "own":
            return weights
        classes = CLASSES if self.target == "labels" else 0
        return weights | last_layer(subject, self.part, states, classes, self.stream("head", repeat))

    def fit(self, subject: Subject, states: Pool, rows: Sequence[tuple[dict[str, Tensor], Goal, int]]) -> list[Record]:
        """R networks at once, all on the same minibatches."""
        part, (starts, goals, repeats) = subject.parts[self.part], zip(*rows, strict=True)
        weights, leaves = self.leaves(part, starts)
        call = together(subject, self.part, weights, len(rows))
        fit = aims(goals, [goal.fit for goal in goals], call, states)
        held = None if goals[0].held is None else aims(goals, [goal.held for goal in goals], call, states)
        opt, curves = self.optim(part, leaves, len(rows)), [Record(const=goal.const) for goal in goals]
        order = self.stream("order", repeats[0] if self.target == "next-task" else 0)
        for update in range(self.updates + 1):
            if update in MARKS or update == self.updates or (goals[0].classes and update % LOOKS == 0):
                note(curves, "fit", update, call, states.fit, fit, goals[0].classes)
                if held is not None:
                    note(curves, "held", update, call, states.held, held, goals[0].classes)
            if update < self.updates:
                index = torch.from_numpy(order.integers(fit.shape[1], size=self.batch)).to(fit.device)
                out = call(taken(states.fit, index))
                step(opt, leaves, error(out, fit[:, index], goals[0].classes).sum())
        return curves

    def leaves(
        self, part: Part, starts: Sequence[dict[str, Tensor]]
    ) -> tuple[dict[str, Tensor], dict[str, nn.Parameter]]:
        """All weights, stacked if there are several networks, and those of them that are trained."""
        merge = (lambda xs: xs[0]) if len(starts) == 1 else torch.stack
        weights = {name: merge([start[name] for start in starts]) for name in starts[0]}
        ends = (
            {id(p) for w in part.net.reading(part.net.outputs()) for p in w.parameters()} if HEAD[0] in weights else ()
        )
        live = [name for name, p in part.net.named_parameters() if p.requires_grad and id(p) not in ends]
        leaves = {name: nn.Parameter(weights[name]) for name in [*live, *HEAD] if name in weights}
        return {**weights, **leaves}, leaves

    def optim(self, part: Part, leaves: dict[str, nn.Parameter], networks: int) -> Optimizer:
        opt: Optimizer
        match self.optimizer:
            case "sgd":
                opt = SGD(leaves.values(), lr=SGD_RATE)
            case "adam":
                opt = Adam(leaves.values(), lr=ADAM_RATE)
            case _:
                opt = own(part, list(leaves.values()), networks)
        for group in opt.param_groups:
            group["lr"] *= self.rate
        if self.optimizer == "carried":
            carry(part, opt, leaves)
        return opt


def together(subject: Subject, name: str, weights: dict[str, Tensor], networks: int) -> Call:
    """How R networks answer."""
    if networks == 1:
        return lambda batch: shown(subject, name, batch, weights)[None]
    return lambda batch: vmap(lambda worn: shown(subject, name, batch, worn))(weights)


def aims(goals: Sequence[Goal], numbers: Sequence[Tensor | None], call: Call, states: Pool) -> Tensor:
    """[R, N, K] with each network's own mean prediction a added where goals are centred; labels [R, N]."""
    goal = torch.stack([x for x in numbers if x is not None])
    return goal + predicted(call, states.fit).mean(1, keepdim=True) if goals[0].centred else goal


def error(out: Tensor, goal: Tensor, classes: int) -> Tensor:
    """[R, B, K] -> [R]: squared error, or cross-entropy of labels, mean over states and outputs or heads."""
    if not classes:
        return (out - goal).square().mean((1, 2))
    logits = by_class(out, classes)
    label = goal[:, :, None].expand(logits.shape[:3])
    return F.cross_entropy(logits.flatten(0, 2), label.flatten(), reduction="none").view(len(out), -1).mean(1)


def by_class(out: Tensor, classes: int) -> Tensor:
    """[R, B, E*C] -> [R, B, E, C]."""
    return out.view(*out.shape[:2], -1, classes)


def note(curves: list[Record], kind: str, update: int, call: Call, batch: Batch, goal: Tensor, classes: int) -> None:
    """Loss, and accuracy of labels, over all states."""
    out = predicted(call, batch)
    for curve, loss in zip(curves, error(out, goal, classes).tolist(), strict=True):
        curve.setdefault(kind, {})[str(update)] = loss
    if classes:
        right = by_class(out, classes).argmax(3) == goal[:, :, None]
        word = "accuracy" if kind == "fit" else f"{kind}/accuracy"
        for curve, share in zip(curves, right.float().mean((1, 2)).tolist(), strict=True):
            curve.setdefault(word, {})[str(update)] = share


def taken(batch: Batch, index: Tensor) -> Batch:
    """Rows of the states; nothing follows them."""
    obs = batch.obs[index]
    return batch._replace(obs=obs, action=batch.action[index], next_obs=obs)


def step(opt: Optimizer, leaves: dict[str, nn.Parameter], value: Tensor) -> None:
    """backward() and not autograd.grad: it lays a gradient out in memory as its weight, which fused Adam relies on."""
    for p in leaves.values():
        p.grad = None
    value.backward(inputs=list(leaves.values()))  # type: ignore[no-untyped-call]
    opt.step()


def own(part: Part, leaves: list[nn.Parameter], networks: int) -> Optimizer:
    """The agent's optimizer in a fresh state. It is made for one network, whose biases it knows by their one dimension,
    and then given the stacked weights."""
    if networks == 1:
        return part.optimizer(leaves)
    single = [nn.Parameter(torch.zeros_like(p[0])) for p in leaves]
    opt, stacked = part.optimizer(single), dict(zip(single, leaves, strict=True))
    for group in opt.param_groups:
        group["params"] = [stacked[p] for p in group["params"]]
    opt.state.clear()
    return opt


@torch.no_grad()
def carry(part: Part, opt: Optimizer, leaves: dict[str, nn.Parameter]) -> None:
    """What the agent's optimizer remembers, into this one."""
    for name, p in part.net.named_parameters():
        if name in leaves:
            for slot, x in part.opt.state[p].items():
                opt.state[leaves[name]][slot].copy_(x)


@torch.no_grad()
def last_layer(subject: Subject, name: str, states: Pool, classes: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """A linear layer of this many outputs for each member of an ensemble, by default as many as the part has."""
    part = subject.parts[name]
    with record(part.net) as tape:
        out = subject.run(name, taken(states.fit, torch.zeros(1, dtype=torch.int64)))
    members, _, width = tape.features.shape
    rows = classes or scalars(part.output, out).shape[1] // members
    draws = [rng.uniform(-1, 1, shape) / width**0.5 for shape in ((members, rows, width), (members, rows))]
    return {key: torch.tensor(x, dtype=torch.float32, device=part.device) for key, x in zip(HEAD, draws, strict=True)}


def score(row: Record) -> float:
    """(L_const - L_T) / L_const: 1 when all is learned, 0 when nothing is, negative when it diverged; NaN where the
    targets do not vary."""
    const, last = row["const"], list(row["fit"].values())[-1]
    return float(1 - last / const) if const > 0 else nan


def interval(values: Sequence[float], draws: int = 10_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    x = np.asarray(values)
    means = x[np.random.default_rng(0).integers(len(x), size=(draws, len(x)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
