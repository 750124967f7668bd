"""Churn: what one update changes on states it did not see (Schaul et al. 2022, arXiv:2206.00730, policy churn).

A copy of the agent steps once by its own losses, without the penalties of methods, and is thrown away; before and
after, it is asked on 256 replay states drawn anew (that the minibatch holds one of them is left to chance).
  policy: share of states whose greedy action, or predicted class, changes; of a Gaussian policy mean |change of the
    mean action| before the squashing, and policy/kl, KL(before || after); policy/target: the share of the slow network,
    where it is a moving average;
  value: mean |change| of the numbers that the outputs stand for;
  agreement: share of states on which the slow network's greedy action is that of the network itself;
  stored: share of states on which the greedy action is the one that was taken there.
A part that does not step at this update (SAC's actor under --actor-every) has no churn.
"""

import torch
from torch import Tensor

from nets.output import Gaussian, Output
from nets.subject import Subject
from probes.base import Memory, Probe
from probes.dormant import sound
from probes.optimizer import after
from replay.batch import Batch

STATES = 256


class Churn(Probe):
    """policy, value, agreement and stored, of each part where there are several."""

    cost = "mid"  # .3 s on Nature-DQN: with it the cheap probes would take more than 1 % of training

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        states = subject.batch(STATES)
        with torch.enable_grad():
            twin, stepped = after(subject)
        for name, part in subject.parts.items():
            if part.output is None or not part.net.outputs():
                continue
            now, slow = asked(subject, name, states)
            found = standing(part.output, now, slow, states) if subject.acts else {}
            if name in stepped:
                found |= moved(subject, twin, name, states)
            fine, tail = sound(part) and stepped.get(name, True), f"/{name}" if len(subject.parts) > 1 else ""
            row |= {kind + tail: x if fine else torch.nan for kind, x in found.items()}
        return row


def asked(subject: Subject, name: str, states: Batch) -> tuple[Tensor, Tensor | None]:
    """The outputs of a part and of its slow network."""
    part = subject.parts[name]
    slow = None if part.target is None else subject.run(name, states, part.weights(slow=True))
    return subject.run(name, states), slow


def standing(output: Output, now: Tensor, slow: Tensor | None, states: Batch) -> dict[str, float]:
    """agreement and stored; {} without a greedy action."""
    mine = greedy(output, now)
    if mine is None:
        return {}
    row = {"stored": share(mine == states.action)}
    return row if slow is None else {**row, "agreement": share(mine == greedy(output, slow))}


def moved(subject: Subject, twin: Subject, name: str, states: Batch) -> dict[str, float]:
    """policy and value: from the agent to its copy one update later, whose slow network then follows."""
    part, output = twin.parts[name], twin.parts[name].output
    assert output is not None
    average = part.tau is not None and part.tau < 1
    if average:
        part.sync(part.tau or 1.0)
    (now, slow), (then, slower) = asked(subject, name, states), asked(twin, name, states)
    row = policy(output, now, then)
    if average and slow is not None and slower is not None and greedy(output, slow) is not None:
        row["policy/target"] = policy(output, slow, slower)["policy"]
    if output.valued:
        row["value"] = float((output.values(then) - output.values(now)).abs().mean())
    return row


def policy(output: Output, now: Tensor, then: Tensor) -> dict[str, float]:
    """policy, and policy/kl of a Gaussian; {} of what is no policy."""
    if isinstance(output, Gaussian):
        mean = (output.values(then) - output.values(now)).abs().mean()
        return {"policy": float(mean), "policy/kl": float(output.distance(then, now).mean())}
    chosen = greedy(output, now)
    return {} if chosen is None else {"policy": share(chosen != greedy(output, then))}


def greedy(output: Output, outputs: Tensor) -> Tensor | None:
    """The action of highest value or the likeliest class, [B]; None of what is no policy, or a continuous one."""
    return None if isinstance(output, Gaussian) or not output.policy else output.values(outputs).argmax(1)


def share(mask: Tensor | bool) -> float:
    """Of True in [B]."""
    return float(torch.as_tensor(mask).float().mean())
