"""The law of anatomy for one network: nudge a unit and see which columns move; recycle a unit that is 0 everywhere."""

from functools import partial

import torch
from torch import nn

from interventions.surgery import redraw, silence
from nets.anatomy import Network
from nets.heads import LinearHead
from nets.optim import OptimConfig
from nets.part import Part


class Headed(Network):
    """A torso of vectors under a linear head: x [B, D] -> [B, 3]."""

    def __init__(self, torso, features):
        super().__init__()
        self.torso, self.head = torso, LinearHead(features, 3, "torch")

    def forward(self, x):
        return self.head(self.torso(x))

    def layers(self):
        return self.torso.layers("torso", self.head.readers())

    def outputs(self):
        return [self.head.value]

    def shared(self):
        return [*self.torso.shared(), self.head.value]


def part(make, seed=0):
    return Part(make, OptimConfig().make, seed)


def readings(call, layer, unit=None):
    """What each reader of a layer receives, with the unit nudged where one is named: {reader: [B, columns, ...]}."""
    seen, units = {}, layer.writer.matrices[0].shape[0]

    def nudge(module, args, out):
        out = out.clone()
        if unit is not None:
            out[:, unit::units] += 1.0
        return out

    hooks = [layer.act.register_forward_hook(nudge)]
    for reader in {e.reader for e in layer.edges}:
        hooks.append(reader.register_forward_pre_hook(lambda m, args: seen.__setitem__(m, args[0].detach().clone())))
    call()
    for hook in hooks:
        hook.remove()
    return seen


def edges_tell_the_truth(net, *inputs, call=None):
    """Each of three units of each layer moves exactly the columns that its edges name. call: one forward pass, of the
    net on `inputs` if none is given."""
    call = call or partial(net, *inputs)
    for layer in net.layers():
        plain, units = readings(call, layer), layer.writer.matrices[0].shape[0]
        assert all(p.shape[0] == units for p in layer.writer.parameters())
        for unit in {0, units // 2, units - 1}:
            for reader, seen in readings(call, layer, unit).items():
                assert reader.matrices[0].shape[1] == seen.shape[1]
                moved = (seen != plain[reader]).transpose(0, 1).flatten(1).any(1).nonzero()[:, 0]
                edges = [e for e in layer.edges if e.reader is reader]
                named = torch.cat([e.columns(torch.tensor([unit])) for e in edges])
                assert sorted(moved.tolist()) == sorted(named.tolist())


def every_matrix_is_listed_once(net):
    """As writer or reader of a layer, or else as shared."""
    layers, shared = net.layers(), [id(m) for m in net.shared()]
    listed = {id(x.writer) for x in layers} | {id(e.reader) for x in layers for e in x.edges}
    assert not listed & set(shared)
    assert len(shared) == len(set(shared))
    assert {id(m) for m in net.modules() if hasattr(m, "matrices")} == listed | set(shared)


@torch.no_grad()
def change_by_recycling(make, x):
    """The largest change of an output when one unit of each layer, silent on every input, is redrawn and unread."""
    mine = part(make)
    fresh = {layer.name: layer for layer in mine.fresh(1).layers()}
    for layer in mine.net.layers():
        for p in layer.writer.parameters():
            p[1] = 0
    before, units = mine.net(x), torch.tensor([1])
    for layer in mine.net.layers():
        redraw(mine, layer, fresh[layer.name], units)
        assert layer.writer.weight[1].any()
    assert not torch.allclose(mine.net(x), before)
    for layer in mine.net.layers():
        silence(mine, layer, units)
    return (mine.net(x) - before).abs().max().item()


def the_group_norm_is_every_norm(make):
    """What shrink skips by the group "norm": the parameters of all norms and no other."""
    mine = part(make)
    norms = [m for m in mine.net.modules() if isinstance(m, nn.LayerNorm | nn.GroupNorm)]
    assert {id(p) for p in mine.select("norm").values()} == {id(p) for m in norms for p in m.parameters()}
    return len(norms)


def is_a_pure_function_of_the_seed(make):
    """Part.fresh twice from one seed and once from another."""
    mine = part(make)
    a, b, c = (dict(mine.fresh(seed).named_parameters()) for seed in (5, 5, 6))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert all(not torch.equal(a[n], c[n]) for n in a if n.endswith("weight") and "norm" not in n.split("."))
