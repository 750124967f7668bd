"""Law 1. In place: no method on any agent replaces a Parameter, and the optimizer owns exactly what is trained."""

import pytest
import torch

from nets.optim import SHARED
from nets.part import Part
from tests.laws.members import AGENTS, METHODS, case, home, homes, learn, taken, turns, variants

CASES = [
    case(a, e, m, i)
    for a in AGENTS
    for e in homes(a)
    for m in METHODS
    for i in range(max(1, len(turns(m)) if e == home(a) else 1))
]


def identities(part: Part) -> list[int]:
    return [id(p) for net in (part.net, part.target) if net is not None for p in net.parameters()]


def assert_same_layout(part: Part) -> None:
    """Fused Adam pairs parameter, gradient and moments by memory order (docs/design.md, Layout)."""
    for name, p in part.net.named_parameters():
        slots = {s: x for s, x in part.opt.state[p].items() if s not in SHARED}
        grads = {} if p.grad is None else {"grad": p.grad}
        for slot, x in {**slots, **grads}.items():
            assert x.stride() == p.stride(), f"{name}: {slot} has strides {x.stride()}, the parameter {p.stride()}"


@pytest.mark.parametrize(("name", "env", "method", "variant"), CASES)
def test_parameters_stay_the_same_objects_and_keep_learning(name, env, method, variant):
    made = taken(name, env, *variants(method, name, env)[variant])
    if made is None:
        return
    world, agent = made
    before = {n: identities(part) for n, part in agent.parts.items()}
    learn(agent, world, 15)
    for n, part in agent.parts.items():
        assert identities(part) == before[n]
        owned = [p for group in part.opt.param_groups for p in group["params"]]
        assert {id(p) for p in owned} == {id(p) for p in part.net.parameters() if p.requires_grad}
        assert len(owned) == len(set(map(id, owned)))
        assert_same_layout(part)
    weights = [p.clone() for part in agent.parts.values() for p in part.trainable]
    agent.update()
    after = [p for part in agent.parts.values() for p in part.trainable]
    assert any(not torch.equal(a, b) for a, b in zip(weights, after, strict=True))


def test_a_contiguous_moment_is_noticed():
    world, agent = taken("dqn", "toy:catch")
    learn(agent, world, 2)
    part = agent.parts["q"]
    p = part.net.encoder.conv2.writer.weight
    part.opt.state[p]["exp_avg"] = part.opt.state[p]["exp_avg"].contiguous()
    with pytest.raises(AssertionError, match="exp_avg"):
        assert_same_layout(part)
