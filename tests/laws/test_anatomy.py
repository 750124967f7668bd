"""Law 4. Anatomy tells the truth: nudging unit u changes exactly the columns its edges name, at their readers."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from replay.batch import labelled
from tests.laws.members import AGENTS, combinations, homes, taken

VARIANTS = [(a, e, n) for a in AGENTS for e in homes(a) for n in combinations(a)]


def heads(name):
    return [["--head=linear"], ["--head=dueling"]] if name == "dqn" else [[]]


def readings(agent, part, layer, batch, unit):
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
    agent.run(part, batch)
    for hook in hooks:
        hook.remove()
    return seen


def some(world, agent):
    """A batch of what the agent meets first."""
    world.begin()
    if world.now is None:
        return agent.view(np.random.default_rng(0)).batch(2)
    obs, space = torch.as_tensor(world.now.observation), agent.spec.action
    action = np.stack([np.asarray(space.sample(), np.int64 if isinstance(space, Discrete) else np.float32)] * len(obs))
    return labelled(obs, torch.as_tensor(action))


@pytest.mark.parametrize(("name", "env", "flags"), VARIANTS)
def test_a_unit_reaches_exactly_the_columns_its_edges_name(name, env, flags):
    for head in heads(name):
        made = taken(name, env, *flags, *head)
        if made is None:
            continue
        batch = some(*made)
        agent = made[1]
        for which, part in agent.parts.items():
            for layer in part.net.layers():
                plain = readings(agent, which, layer, batch, None)
                units = layer.writer.matrices[0].shape[0]
                assert all(p.shape[0] == units for p in layer.writer.parameters())
                for unit in {0, units // 2, units - 1}:
                    for reader, x in readings(agent, which, layer, batch, unit).items():
                        assert reader.matrices[0].shape[1] == x.shape[1]
                        moved = (x != plain[reader]).transpose(0, 1).flatten(1).any(1)
                        edges = [e for e in layer.edges if e.reader is reader]
                        named = torch.cat([e.columns(torch.tensor([unit])) for e in edges])
                        assert sorted(moved.nonzero()[:, 0].tolist()) == sorted(named.tolist())


@pytest.mark.parametrize(("name", "env", "flags"), VARIANTS)
def test_every_matrix_writes_private_units_or_a_shared_stream_or_the_output(name, env, flags):
    if made := taken(name, env, *flags):
        agent = made[1]
        for part in agent.parts.values():
            layers = part.net.layers()
            private = {id(x.writer) for x in layers}
            readers = {id(e.reader) for x in layers for e in x.edges}
            shared = {id(writer) for writer in part.net.shared()}
            assert not private & shared
            assert {id(m) for m in part.net.modules() if hasattr(m, "matrices")} == private | readers | shared
