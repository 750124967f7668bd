"""Law 7. All with all: every method on every agent and network makes a few updates, or is refused with a sentence.

`make test` takes every method with every agent, environment and network variant, and 40 subsets of up to five methods;
`make laws` the whole product and 200 subsets. Resuming from such a subset is exact, too.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.members import (
    AGENTS,
    METHODS,
    case,
    choices,
    combinations,
    dressed,
    home,
    homes,
    learn,
    net_config,
    nets,
    parsed,
    same,
    small,
    switched_on,
    taken,
    trained,
    variants,
)

HOMES = [(a, e) for a in AGENTS for e in homes(a)]
CALM = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


def finite(agent):
    return all(bool(torch.isfinite(p).all()) for part in agent.parts.values() for p in part.net.parameters())


def runs(name, env, *flags, updates=8):
    """What it recorded of its interventions in a few updates; None if it was refused."""
    made = taken(name, env, *flags)
    if made is None:
        return None
    world, agent = made
    learn(agent, world, updates)
    assert finite(agent)
    return {tag for row in [*agent.chain.drain(), agent.metrics()] for tag in row}


def recorded(method, tags):
    """Whether a firing or the sum over the updates has its row; None was refused."""
    return tags is None or any(tag == f"event/{method}" or tag.startswith(f"event/{method}/") for tag in tags)


@pytest.mark.parametrize(("name", "env", "method"), [(a, e, m) for a, e in HOMES for m in METHODS])
def test_every_method_runs_on_every_agent_or_says_why_not(name, env, method):
    assert recorded(method, runs(name, env, *switched_on(method, name, env)))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_somewhere(method):
    assert any(taken(a, e, *switched_on(method, a, e)) for a, e in HOMES)


@pytest.mark.parametrize(("name", "method"), [case(a, m) for a in AGENTS for m in METHODS])
def test_every_method_runs_on_every_network(name, method):
    env = home(name)
    for net in nets(name):
        assert recorded(method, runs(name, env, *net, *switched_on(method, name, env))), net


@pytest.mark.parametrize("name", AGENTS)
def test_a_network_that_is_set_is_the_one_that_is_read(name):
    for flags in combinations(name)[:3]:
        assert dressed(name, *small(name), *flags).config == parsed(name, *small(name), *flags).config


@pytest.mark.slow
@pytest.mark.parametrize(("name", "env", "method"), [(a, e, m) for a, e in HOMES for m in METHODS])
def test_the_whole_product(name, env, method):
    for net in [*nets(name), *combinations(name)]:
        for flags in variants(method, name, env):
            assert recorded(method, runs(name, env, *net, *flags)), (net, flags)


def subset(name, data):
    """(environment, flags) of up to five methods, each in one of its variants, on some network."""
    env = data.draw(st.sampled_from(homes(name)))
    chosen = data.draw(st.lists(st.sampled_from(sorted(METHODS)), max_size=5, unique=True))
    flags = [flag for m in chosen for flag in data.draw(st.sampled_from(variants(m, name, env)))]
    return env, [*data.draw(st.sampled_from(combinations(name))), *flags]


@pytest.mark.parametrize("name", AGENTS)
@settings(max_examples=40, **CALM)
@given(data=st.data())
def test_any_subset_of_methods_runs_together(name, data):
    env, flags = subset(name, data)
    runs(name, env, *flags)


@pytest.mark.slow
@pytest.mark.parametrize("name", AGENTS)
@settings(max_examples=200, **CALM)
@given(data=st.data())
def test_any_of_many_subsets_resumes_exactly(name, data, tmp_path_factory):
    env, flags = subset(name, data)
    if runs(name, env, *flags) is not None:
        out = tmp_path_factory.mktemp("subset")
        straight = trained(name, out / "straight", env, 90, *flags)
        trained(name, out / "parts", env, 61, *flags)
        parts = trained(name, out / "parts", env, 90, *flags)
        assert parts[1] == straight[1]
        assert same(parts[0], straight[0])


@pytest.mark.parametrize(("name", "env"), HOMES)
def test_a_network_flag_that_is_set_changes_the_network_or_is_refused(name, env):
    plain = taken(name, env)[1]
    shown, drawn = pictured(plain), weights(plain)
    for flags in ([f"--{k.replace('_', '-')}={v}"] for k, values in choices(net_config(name)).items() for v in values):
        made = taken(name, env, *flags)
        field, _, value = flags[0][2:].partition("=")
        same_value = str(getattr(AGENTS[name][1]().net, field.replace("-", "_"))) == value
        if made is not None and not same_value:
            assert pictured(made[1]) != shown or not same(weights(made[1]), drawn), flags
    assert not same(weights(taken(name, env, "--width=0.5")[1]), drawn)


def pictured(agent):
    return str({n: str(p.net) for n, p in agent.parts.items()})


def weights(agent):
    return {n: p.state_dict()["net"] for n, p in agent.parts.items()}
