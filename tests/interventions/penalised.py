"""A method's penalty alone, on a small agent."""

import torch

from nets.subject import Loss
from tests.laws.members import learn, taken


def born(name, env, *flags):
    """An agent before its first step."""
    return taken(name, env, *flags)[1]


def grown(name, env, *flags, updates=3):
    """An agent a few updates old."""
    world, agent = taken(name, env, *flags)
    learn(agent, world, updates)
    return agent


def link(agent, method):
    return next(x for x in agent.chain.links if x.name == method)


def on_weights(agent, method, part="q"):
    """The penalty of a method that reads weights only, []."""
    mine = link(agent, method)
    return mine.method.on_loss(mine.state, mine.subject, Loss(part, torch.zeros(())), None)


def on_batch(agent, method, part="q", batch=None):
    """The penalty of a method at the first loss of a part, [], on a batch of the replay."""
    mine = link(agent, method)
    batch = mine.subject.batch() if batch is None else batch
    with agent.chain.watching(agent.parts):
        for loss in agent.losses(batch, agent.generator(0)):
            if loss.part == part:
                value = mine.method.on_loss(mine.state, mine.subject, loss._replace(value=torch.zeros(())), batch)
                return value if isinstance(value, torch.Tensor) else None
    raise AssertionError(f"no loss of {part}")


def gradients(agent, value, part="q"):
    """{parameter: d value / d parameter}, zeros where it does not reach."""
    names = dict(agent.parts[part].net.named_parameters())
    if not value.requires_grad:
        return {name: torch.zeros_like(p) for name, p in names.items()}
    grads = torch.autograd.grad(value, list(names.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(names, grads, strict=True))


def weights(agent, part="q"):
    return agent.parts[part].weights()


@torch.no_grad()
def shift(agent, part="q", seed=0):
    """Every parameter moves by d; {parameter: d}."""
    rng, moved = torch.Generator().manual_seed(seed), {}
    for name, p in agent.parts[part].net.named_parameters():
        moved[name] = 0.1 * torch.randn(p.shape, generator=rng)
        p.add_(moved[name])
    return moved
