"""What a network is asked to fit, so that its trainability is measured: sine, random-net, noise, labels, next-task.

sine (Lyle et al. 2023, arXiv:2303.01486): y = a + sin(1e5 f(x; w0)), f a fresh draw of the same network, a the fitted
network's own mean prediction, so that there is no offset to learn. A phase of 1e5 f is far beyond float32, so f is
computed in float64. random-net (Lyle et al. 2022, arXiv:2204.09560): y = f(x; w0). noise: y = a + a normal number of
variance 1/2, which is that of a sine (ours). labels (Zhang et al. 2017, arXiv:1611.03530): one of ten classes.
next-task: the true labels of a stream's next task, which come with the states.
A state counts once: states that the replay holds twice would ask for two answers.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nets.anatomy import record
from nets.output import Output
from nets.part import Weights
from nets.subject import Subject
from replay.batch import Batch
from runs.rng import draw_seed

PHASE = 1e5  # of the sine (Lyle et al. 2023)
NOISE = 0.5  # variance
CLASSES = 10
CHUNK = 256  # states in one forward pass that is not a minibatch
HEAD = ("fresh.weight", "fresh.bias")  # [E, K/E, D], [E, K/E]: a fresh last layer in place of the part's own


class Pool(NamedTuple):
    """States to fit and states held out, which share none."""

    fit: Batch
    held: Batch


class Goal(NamedTuple):
    """What one repeat asks for: numbers [N, K], or labels [N] of `classes`. const: the loss of the best constant.
    centred: numbers are relative to a, the fitted network's own mean prediction."""

    fit: Tensor
    held: Tensor | None  # the same on held-out states; None where there is nothing to generalise
    const: float
    centred: bool = False
    classes: int = 0


def pool(batch: Batch, size: int) -> Pool:
    """The first `size` distinct states of a batch and the `size` after them; half of them each if there are fewer."""
    flat = batch.obs.reshape(len(batch.obs), -1).contiguous().numpy()
    seen: dict[bytes, int] = {}
    for i, row in enumerate(flat):
        seen.setdefault(row.tobytes(), i)
    rows = torch.tensor(list(seen.values())[: 2 * size])
    half = (len(rows) + 1) // 2
    batch = batch._replace(future=None)
    return Pool(*(batch.pick(part) for part in (rows[:half], rows[half:])))


def parts_to_fit(subject: Subject) -> list[str]:
    """Those that have an output layer; a temperature has none."""
    return [name for name, part in subject.parts.items() if part.net.outputs()]


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """A copy of parameters and buffers, by name."""
    return {name: x.detach().clone() for name, x in (*net.named_parameters(), *net.named_buffers())}


def scalars(output: Output | None, shown: Tensor) -> Tensor:
    """Outputs [B, ...] as the numbers that are fitted, [B, K]: mean values where they are distributions."""
    if output is not None and output.valued:
        shown = output.values(shown)
    return shown.flatten(1)


def shown(subject: Subject, name: str, batch: Batch, weights: Weights) -> Tensor:
    """The numbers [B, K] that a part with these weights shows, through its own last layer or a fresh one."""
    part = subject.parts[name]
    if HEAD[0] not in weights:
        return scalars(part.output, subject.run(name, batch, weights))
    body = {key: x for key, x in weights.items() if key not in HEAD}
    with record(part.net) as tape:
        subject.run(name, batch, body)
    last = torch.einsum("ebd,ekd->bek", tape.features, weights[HEAD[0]])
    return (last + weights[HEAD[1]]).flatten(1)


@torch.no_grad()
def predicted(call: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """call(batch), [.., B, K], in chunks of it."""
    rows = range(0, len(batch.obs), CHUNK)
    return torch.cat([call(batch.pick(slice(i, i + CHUNK))) for i in rows], -2)


def drawn(subject: Subject, name: str, states: Pool, seed: int) -> tuple[Tensor, Tensor]:
    """f(x; w0) in float64 on the states to fit and on those held out, [N, K] each."""
    weights = weights_of(subject.parts[name].fresh(seed).double())
    call = lambda batch: shown(subject, name, doubled(batch), weights)
    return predicted(call, states.fit), predicted(call, states.held)


def doubled(batch: Batch) -> Batch:
    """States and actions in float64; bytes of an image as networks scale them."""
    obs = batch.obs.double() / (255 if batch.obs.dtype == torch.uint8 else 1)
    action = batch.action.double() if batch.action.is_floating_point() else batch.action
    return batch._replace(obs=obs, action=action)


def spread(goal: Tensor) -> float:
    """The variance of [N, K], mean over outputs: the loss of each output's mean."""
    return float(goal.double().var(0, correction=0).mean())


def sine(subject: Subject, name: str, states: Pool, rng: np.random.Generator) -> Goal:
    fit, held = ((PHASE * f).sin().float() for f in drawn(subject, name, states, draw_seed(rng)))
    return Goal(fit, held, spread(fit), centred=True)


def random_net(subject: Subject, name: str, states: Pool, rng: np.random.Generator) -> Goal:
    fit, held = (f.float() for f in drawn(subject, name, states, draw_seed(rng)))
    return Goal(fit, held, spread(fit))


def noise(subject: Subject, name: str, states: Pool, rng: np.random.Generator) -> Goal:
    one = states.fit.pick(slice(1))
    with torch.no_grad():
        width = scalars(subject.parts[name].output, subject.run(name, one)).shape[1]
    fit, held = (
        torch.from_numpy(rng.normal(0, NOISE**0.5, (len(b.obs), width)).astype(np.float32)).to(b.obs.device)
        for b in states
    )
    return Goal(fit, held, spread(fit), centred=True)


def labels(subject: Subject, name: str, states: Pool, rng: np.random.Generator) -> Goal:
    fit = torch.from_numpy(rng.integers(CLASSES, size=len(states.fit.obs))).to(states.fit.obs.device)
    return Goal(fit, None, entropy(fit), classes=CLASSES)


def next_task(subject: Subject, name: str, states: Pool, rng: np.random.Generator) -> Goal:
    """The labels that the states bear."""
    held = states.held.action if len(states.held.obs) else None
    one = states.fit.pick(slice(1))
    with torch.no_grad():
        classes = subject.run(name, one).shape[-1]
    return Goal(states.fit.action, held, entropy(states.fit.action), classes=classes)


def entropy(label: Tensor) -> float:
    """Of the labels [N]: the cross-entropy of the best constant prediction."""
    share = label.bincount().double() / len(label)
    return float(-torch.special.xlogy(share, share).sum())


Draw = Callable[[Subject, str, Pool, np.random.Generator], Goal]
TARGETS: dict[str, Draw] = {
    "sine": sine,
    "random-net": random_net,
    "noise": noise,
    "labels": labels,
    "next-task": next_task,
}
