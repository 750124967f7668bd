"""Law 2. Off is nothing: default flags equal an update without hooks, bit for bit; each method on does something."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from tests.laws.members import AGENTS, METHODS, beside, case, homes, same, switched_on, taken, trained


def bare_update(agent):
    """The update of agents/learner.py with every hook left out."""
    if not agent.clock["updates"]:
        agent.targets.begin(agent.clock)
    batch = agent.sample()
    for loss in agent.losses(batch, agent.loss_rng):
        part = agent.parts[loss.part]
        part.opt.zero_grad()
        loss.value.backward(inputs=part.trainable)
        part.opt.step()
        part.age += 1
        if loss.td is not None:
            agent.replay.reprioritize(batch.index, loss.td.detach())
    agent.clock["updates"] += 1
    agent.follow()


@pytest.mark.parametrize(("name", "env"), [(a, e) for a in AGENTS for e in homes(a)])
def test_default_flags_equal_the_bare_loop(name, env):
    ends = []
    for bare in (False, True):
        world, agent = taken(name, env)
        world.begin()
        for _ in world.loop(agent):
            while agent.owed() > 0:
                bare_update(agent) if bare else agent.update()
            if agent.clock["updates"] >= 30:
                break
        ends.append({n: part.state_dict() for n, part in agent.parts.items()} | {"clock": agent.clock})
    assert same(*ends)


@pytest.mark.parametrize(("name", "method"), [case(a, m) for a in AGENTS for m in METHODS])
def test_a_method_switched_on_changes_the_agent_and_no_foreign_stream(name, method, tmp_path):
    changed = []
    for env in homes(name):
        flags = switched_on(method, name, env)
        if not taken(name, env, *flags):
            continue
        off = without(name, env, *beside(method))
        on, _ = trained(name, tmp_path / env / "on", env, 100, *flags)
        changed.append(not same(off["agent"]["parts"], on["agent"]["parts"]))
        assert same(off["agent"]["rng"]["act"], on["agent"]["rng"]["act"])
        assert same(off["agent"]["rng"]["init"], on["agent"]["rng"]["init"])
        if off["agent"]["clock"]["updates"] == on["agent"]["clock"]["updates"]:
            assert torch.equal(off["agent"]["loss_rng"], on["agent"]["loss_rng"])
    assert any(changed) or not changed


@cache
def without(name, env, *needs):
    """The state of the same run without the method; with the flags that it needs."""
    return trained(name, Path(mkdtemp(prefix="off-")) / "run", env, 100, *needs)[0]
