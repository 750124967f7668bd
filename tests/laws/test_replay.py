"""Law 11. The replay is the agent's: no hook and no firing of a method writes a row, a counter or a priority of it.

Three say otherwise: --reset-inherit below 1 thins it, --reset-priorities refresh makes its priorities anew, and
catching up makes updates of the agent's own, which renew the priorities of the minibatches that they learn from, as
every such update does, and nothing else.
"""

import numpy as np
import pytest

from tests.laws.members import AGENTS, METHODS, case, derived, home, learn, same, switched_on, taken

HOOKS = ("before_update", "on_loss", "after_backward", "after_update", "tick")
RENEW = ("catchup",)
ACTING = [a for a in AGENTS if AGENTS[a][0].acts and not derived(a)]


def by_priority(name, *flags):
    """(world, agent) with a replay by priority, if it has a replay; None if it is refused."""
    return taken(name, home(name), *flags, *(["--priority-exponent=0.5"] if AGENTS[name][0].acts else []))


def kept(replay):
    """All that it holds: rows, counters, priorities."""
    rows = {name: log.rows(log.start, log.stop) for name, log in replay.logs().items()}
    return {"rows": rows, "state": replay.state_dict()}


def writers(agent):
    """A list that will name every hook point within which the replay changes."""
    found = []

    def watched(name, call):
        def hook(*args):
            before = kept(agent.replay)
            out = call(*args)
            if not same(before, kept(agent.replay)):
                found.append(name)
            return out

        return hook

    for name in HOOKS:
        setattr(agent.chain, name, watched(name, getattr(agent.chain, name)))
    return found


@pytest.mark.parametrize(
    ("name", "method"), [case(a, m, slow=derived(a)) for a in AGENTS for m in METHODS if m not in RENEW]
)
def test_no_hook_and_no_firing_of_a_method_writes_into_the_replay(name, method):
    made = by_priority(name, *switched_on(method, name, home(name)))
    if made is None:
        return
    world, agent = made
    found = writers(agent)
    learn(agent, world, 15)
    assert not found
    assert any(tag.startswith(f"event/{method}") for row in [*agent.chain.drain(), agent.metrics()] for tag in row)


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("method", RENEW)
def test_updates_of_the_agents_own_renew_the_priorities_of_what_they_learn_from_alone(name, method):
    world, agent = by_priority(name, *switched_on(method, name, home(name)))
    learn(agent, world, 6)
    learned, renew = [], agent.replay.reprioritize

    def heard(index, td):
        learned.append(index.numpy().copy())
        renew(index, td)

    agent.replay.reprioritize = heard
    before = kept(agent.replay)
    agent.clock["updates"] = 7
    agent.chain.tick()
    after = kept(agent.replay)
    old, new = before["state"].pop("priorities"), after["state"].pop("priorities")
    moved = set((old != new).nonzero()[0])
    assert agent.clock["extra"] == len(learned) == 3
    assert moved
    assert moved <= set(agent.replay.ring.slots(np.concatenate(learned)))
    before["state"].pop("largest"), after["state"].pop("largest")
    assert same(before, after)


@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("flag", ["--reset-inherit=0.5", "--reset-priorities=refresh"])
def test_a_replay_that_changes_is_noticed(name, flag):
    world, agent = by_priority(name, "--reset-every=7:updates", flag)
    found = writers(agent)
    learn(agent, world, 7)
    assert found == ["tick"]
