"""Imitation of frozen weights: what distillation, kickstarting and QDagger share (Agarwal et al. 2022, 2206.01626)."""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from interventions.base import State
from nets.part import Weights
from nets.subject import Subject, Teacher, TeacherChanged
from replay.batch import Batch

Lesson = Mapping[str, Weights]  # the teacher's weights of each part
What = Literal["outputs", "policy"]  # all that parts say, or policies alone


def fading(weight: float, past: int, length: int) -> float:
    """weight * max(1 - past / length, 0): exactly 0 from `length` on, and always where it is 0."""
    return weight * max(1 - past / length, 0.0) if length else 0.0


def distance(subject: Subject, name: str, batch: Batch, lesson: Lesson) -> Tensor:
    """Mean distance [] of a part's outputs from the teacher's: squares of values, KL of distributions, teacher first.

    Where outputs depend on the action, those of the batch and those that the teacher's policy takes count alike.
    """
    mine = subject.parts[name].output
    assert mine is not None
    answered = batch if mine.policy else subject.answer(batch, lesson)
    batches = [batch] if answered is batch else [batch, answered]
    rows = [mine.distance(subject.run(name, b), frozen(subject, name, b, lesson)) for b in batches]
    return torch.cat(rows).mean()


def policy_gap(subject: Subject, name: str, batch: Batch, lesson: Lesson, temperature: float) -> Tensor:
    """Mean KL(teacher's policy || student's policy), []."""
    mine = subject.parts[name].output
    assert mine is not None
    return mine.imitation(subject.run(name, batch), frozen(subject, name, batch, lesson), temperature).mean()


@torch.no_grad()
def frozen(subject: Subject, name: str, batch: Batch, lesson: Lesson) -> Tensor:
    """The teacher's output on a batch, without a graph."""
    return subject.run(name, batch, lesson[name])


def pupils(subject: Subject) -> list[str]:
    """The parts whose outputs are a policy."""
    return [name for name, part in subject.parts.items() if part.output is not None and part.output.policy]


def taught(subject: Subject, what: What) -> list[str]:
    """The parts that imitate."""
    every = [name for name, part in subject.parts.items() if part.output is not None]
    return every if what == "outputs" else pupils(subject)


def gap(subject: Subject, name: str, batch: Batch, lesson: Lesson, what: What) -> Tensor:
    """Mean distance [] of a part's outputs, or of its policy, from the teacher's."""
    if what == "policy":
        return policy_gap(subject, name, batch, lesson, 1.0)
    return distance(subject, name, batch, lesson)


def unlike(subject: Subject, flag: str, what: What) -> Iterator[str]:
    """Sentences that say why a network cannot imitate this of the one that it follows."""
    if what == "outputs" and subject.cycles:
        yield (
            f"{flag} outputs: n and gamma begin anew with the new network, so the teacher's values are of another "
            f"return; use --{flag.replace('_', '-')} policy, or --n-step-start 0 --gamma-start 0"
        )
    if not taught(subject, what):
        yield f"{flag} policy: no part of this agent has a policy; use outputs"


def examined(subject: Subject, flag: str, path: str) -> Iterator[str]:
    """Sentences that say why a run cannot be this agent's teacher."""
    if not pupils(subject):
        yield f"{flag}: no part of this agent has a policy to imitate; leave it out"
        return
    try:
        subject.teacher(path)
    except ValueError as error:
        yield f"{flag}: {error}"


def called(state: State, subject: Subject, path: str) -> Teacher:
    """The teacher whose digest is in the state, compared when it is first asked after a start or a resume."""
    teacher = subject.teacher(path)
    if teacher.digest != state["digest"]:
        raise TeacherChanged(f"the teacher {path} has other weights than when this run began; put its checkpoint back")
    return teacher
