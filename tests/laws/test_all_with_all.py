"""Law 7. All with all: every method on every agent and network makes a few updates, or is refused with a sentence."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.members import (
    AGENTS,
    METHODS,
    choices,
    combinations,
    homes,
    learn,
    net_config,
    nets,
    same,
    switched_on,
    taken,
    variants,
)

PAIRS = [(a, e, m) for a in AGENTS for e in homes(a) for m in METHODS]


def finite(agent):
    return all(bool(torch.isfinite(p).all()) for part in agent.parts.values() for p in part.net.parameters())


@pytest.mark.parametrize(("name", "env", "method"), PAIRS)
def test_every_method_runs_on_every_network(name, env, method):
    ran = 0
    for net in nets(name):
        made = taken(name, env, *net, *switched_on(method))
        if made is not None:
            world, agent = made
            learn(agent, world, 8)
            assert finite(agent)
            assert [e for e in agent.chain.drain() if f"event/{method}" in e]
            ran += 1
    assert ran


@pytest.mark.parametrize("name", AGENTS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_subset_of_methods_runs_together(name, data):
    chosen = data.draw(st.lists(st.sampled_from(sorted(METHODS)), max_size=5, unique=True))
    flags = [flag for m in chosen for flag in data.draw(st.sampled_from(variants(m)))]
    net, env = data.draw(st.sampled_from(combinations(name))), data.draw(st.sampled_from(homes(name)))
    made = taken(name, env, *net, *flags)
    if made is not None:
        world, agent = made
        learn(agent, world, 8)
        assert finite(agent)


@pytest.mark.parametrize(("name", "env"), [(a, e) for a in AGENTS for e in homes(a)])
def test_a_network_flag_that_is_set_changes_the_network_or_is_refused(name, env):
    plain = taken(name, env)[1]
    shown, drawn = pictured(plain), weights(plain)
    for flags in ([f"--{k.replace('_', '-')}={v}"] for k, values in choices(net_config(name)).items() for v in values):
        made = taken(name, env, *flags)
        same_value = str(getattr(AGENTS[name][1]().net, flags[0].partition("=")[0][2:].replace("-", "_"))) in flags[0]
        if made is not None and not same_value:
            assert pictured(made[1]) != shown or not same(weights(made[1]), drawn), flags
    assert not same(weights(taken(name, env, "--width=0.5")[1]), drawn)


def pictured(agent):
    return str({n: str(p.net) for n, p in agent.parts.items()})


def weights(agent):
    return {n: p.state_dict()["net"] for n, p in agent.parts.items()}
