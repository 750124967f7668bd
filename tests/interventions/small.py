"""A small agent on a toy, some updates old, and a way to fire one method on it."""

import torch

from interventions.base import Intervention
from runs.rng import stream
from tests.laws.members import learn, taken

IMAGES, VECTORS = "toy:catch", "toy:chain"


def agent(env=IMAGES, *flags, updates=12):
    game, made = taken("dqn", env, *flags)
    learn(made, game, updates)
    return made


def fire(method: Intervention, learner, seed=0):
    """apply() with a generator of its own, as the chain does."""
    subject = learner.view(stream(seed, method.name()))
    method.apply(method.init(subject), subject)
    return subject


def named(part):
    return {n: p.detach().clone() for n, p in part.net.named_parameters()}


def moments(part):
    return {n: {s: x.clone() for s, x in part.opt.state[p].items()} for n, p in part.net.named_parameters()}


def states(learner, size=64):
    return learner.view(stream(1, "states")).batch(size)


def outputs(learner, batch):
    with torch.no_grad():
        return learner.run("q", batch)
