"""Law 7. All with all: every method on every agent and network makes a few updates, or is refused with a sentence."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.members import AGENTS, METHODS, combinations, homes, learn, nets, same, switched_on, taken, variants

PAIRS = [(a, e, m) for a in AGENTS for e in homes(a) for m in METHODS]


def finite(agent):
    return all(bool(torch.isfinite(p).all()) for part in agent.parts.values() for p in part.net.parameters())


@pytest.mark.parametrize(("name", "env", "method"), PAIRS)
def test_every_method_runs_on_every_network(name, env, method):
    ran = 0
    for net in nets():
        made = taken(name, env, *net, *switched_on(method))
        if made is not None:
            game, agent = made
            learn(agent, game, 8)
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
    net, env = data.draw(st.sampled_from(combinations())), data.draw(st.sampled_from(homes(name)))
    made = taken(name, env, *net, *flags)
    if made is not None:
        game, agent = made
        learn(agent, game, 8)
        assert finite(agent)


@pytest.mark.parametrize(("name", "env"), [(a, e) for a in AGENTS for e in homes(a)])
def test_a_network_flag_that_is_set_changes_the_network_or_is_refused(name, env):
    plain = taken(name, env)[1]
    shown = str({n: str(p.net) for n, p in plain.parts.items()})
    weights = {n: p.state_dict()["net"] for n, p in plain.parts.items()}
    for flag in (
        "--norm=layer",
        "--activation=leaky_relu",
        "--activation=crelu",
        "--activation=tanh",
        "--padding=same",
    ):
        made = taken(name, env, flag)
        assert made is None or str({n: str(p.net) for n, p in made[1].parts.items()}) != shown, flag
    for flag in ("--init=xavier", "--width=0.5"):
        assert not same(weights, {n: p.state_dict()["net"] for n, p in taken(name, env, flag)[1].parts.items()}), flag
