"""Law 4. Anatomy tells the truth: nudging unit u changes exactly the columns its edges name, at their readers."""

import pytest
import torch

from tests.laws.members import AGENTS, combinations, homes, taken

VARIANTS = [(a, e, n) for a in AGENTS for e in homes(a) for n in combinations()]


def heads(name):
    return [["--head=linear"], ["--head=dueling"]] if name == "dqn" else [[]]


def readings(net, layer, obs, unit):
    """What each reader of a layer receives, with the unit nudged where one is named: {reader: [B, columns, ...]}."""
    seen = {}
    units = layer.writer.matrices[0].shape[0]

    def nudge(module, args, out):
        out = out.clone()
        if unit is not None:
            out[:, unit::units] += 1.0
        return out

    hooks = [layer.act.register_forward_hook(nudge)]
    for reader in {e.reader for e in layer.edges}:
        hooks.append(reader.register_forward_pre_hook(lambda m, args: seen.__setitem__(m, args[0].detach().clone())))
    net(obs)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("name", "env", "flags"), VARIANTS)
def test_a_unit_reaches_exactly_the_columns_its_edges_name(name, env, flags):
    for head in heads(name):
        made = taken(name, env, *flags, *head)
        if made is None:
            continue
        game, agent = made
        obs = torch.as_tensor(game.reset(0).observation)
        for part in agent.parts.values():
            for layer in part.net.layers():
                plain = readings(part.net, layer, obs, None)
                units = layer.writer.matrices[0].shape[0]
                assert all(p.shape[0] == units for p in layer.writer.parameters())
                for unit in {0, units // 2, units - 1}:
                    for reader, x in readings(part.net, layer, obs, unit).items():
                        assert reader.matrices[0].shape[1] == x.shape[1]
                        moved = (x != plain[reader]).transpose(0, 1).flatten(1).any(1)
                        edges = [e for e in layer.edges if e.reader is reader]
                        named = torch.cat([e.columns(torch.tensor([unit])) for e in edges])
                        assert sorted(moved.nonzero()[:, 0].tolist()) == sorted(named.tolist())


@pytest.mark.parametrize("name", AGENTS)
def test_every_hidden_matrix_is_a_layer_or_the_output(name):
    for env in homes(name):
        _, agent = taken(name, env)
        for part in agent.parts.values():
            layers = part.net.layers()
            writers = {id(x.writer) for x in layers}
            readers = {id(e.reader) for x in layers for e in x.edges}
            matrices = {id(m) for m in part.net.modules() if hasattr(m, "matrices")}
            assert matrices == writers | readers
