"""Law 5. Probes only read. Law 8. Diagnostics hit known values (tests/probes holds the constructed networks)."""

import math

import pytest
import torch

from probes import measurements
from runs.rng import stream
from tests.laws.members import AGENTS, case, homes, learn, same, taken, trained

PROBES = measurements()


@pytest.mark.parametrize(("name", "env"), [(a, e) for a in AGENTS for e in homes(a)])
def test_a_run_with_probes_equals_the_run_without(name, env, tmp_path):
    without, plain = trained(name, tmp_path / "without", env, 120)
    deep = ("--probe-every=10", "--probes=mid", "--deep-every=40", "--deep-probes=all", "--snapshot-every=30")
    with_all, rows = trained(name, tmp_path / "with", env, 120, *deep)
    assert sum(any(k.startswith("probe/") for k in row) for row in rows) == 12 + 3
    assert [r for r in rows if not any(k.startswith("probe/") for k in r)] == plain
    for state in (without, with_all):
        state.pop("table")
        state.pop("probes")
    assert same(without, with_all)


@pytest.mark.parametrize(("name", "env", "probe"), [case(a, e, p) for a in AGENTS for e in homes(a) for p in PROBES])
def test_a_probe_leaves_everything_alone_and_repeats_itself(name, env, probe):
    game, agent = taken(name, env)
    learn(agent, game, 5)
    before = agent.state_dict()
    torch_state = torch.get_rng_state()
    hooks = sum(len(m._forward_hooks) for part in agent.parts.values() for m in part.net.modules())
    reads = []
    for _ in range(2):
        subject = agent.view(stream(0, "probe", 1))
        reads.append(PROBES[probe].measure(subject, subject.batch(64), {}))
    assert reads[0] == reads[1]
    assert all(isinstance(x, float) and not math.isnan(x) for x in reads[0].values())
    assert same(before, agent.state_dict())
    assert torch.equal(torch_state, torch.get_rng_state())
    assert hooks == sum(len(m._forward_hooks) for part in agent.parts.values() for m in part.net.modules())


@pytest.mark.parametrize(("name", "probe"), [case(a, p) for a in AGENTS for p in PROBES])
def test_a_poisoned_network_never_reads_healthy(name, probe):
    game, agent = taken(name, homes(name)[0])
    learn(agent, game, 2)
    for part in agent.parts.values():
        for p in part.trainable:
            p.data.fill_(math.nan)
    subject = agent.view(stream(0, "probe", 1))
    assert all(math.isnan(x) for x in PROBES[probe].measure(subject, subject.batch(16), {}).values())
