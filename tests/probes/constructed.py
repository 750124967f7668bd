"""Networks whose numbers are known, behind the one thing a probe sees: a Subject."""

from types import SimpleNamespace

import torch

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.optim import OptimConfig
from nets.part import Part
from replay.batch import Batch


def part(shape=(5,), head="linear", **net):
    return Part(lambda: QNetwork(shape, 2, NetConfig(**net), head), OptimConfig().make, 0)


def subject(**parts):
    """What a probe may know of an agent with these parts."""
    run = lambda name, batch: parts[name].net(batch.obs)
    return SimpleNamespace(parts=parts, run=run)


def states(obs):
    n, none = len(obs), torch.empty(0)
    return Batch(obs, torch.zeros(n, dtype=torch.int64), none, none, obs, torch.ones(n), torch.arange(n))


@torch.no_grad()
def write(module, weight, bias=None):
    module.weight.copy_(torch.as_tensor(weight, dtype=torch.float32).expand_as(module.weight))
    module.bias.copy_(torch.as_tensor(0.0 if bias is None else bias).expand_as(module.bias))
