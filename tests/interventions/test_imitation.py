"""What distillation and ITER imitate: all outputs or policies alone, and no values of another return."""

import pytest
import torch

from agents.build import build
from interventions.generations import Generations
from runs.rng import stream
from tests.interventions.small import VECTORS
from tests.laws.members import AGENTS, learn, parsed, small, taken

CYCLE = ["--gamma-start=0.9", "--gamma=0.99"]
ON = {
    "distill": ["--reset-every=13:updates", "--distill-updates=2"],
    "generations": ["--generations-every=20:updates", "--generations-updates=6"],
}


def student(name, env):
    """(an agent, the state of ITER with a student that is two updates old, a minibatch)."""
    world, learner = taken(name, env, *ON["generations"])
    learn(learner, world, 16)
    return learner, learner.chain.links[0].state, states(learner).batch(16)


def states(learner):
    return learner.view(stream(1, "states"))


def test_the_policy_alone_may_be_imitated():
    learner, state, batch = student("sac", "toy:reach")
    raised = {}
    for what, weight in (("outputs", 0), ("outputs", 9), ("policy", 9)):
        method = Generations(generations_weight=weight, generations_what=what)
        rows = method.lesson(state, states(learner), batch)
        raised[what, weight] = {loss.part: loss.value.item() for loss in rows}
    plain = raised["outputs", 0]
    assert {part for part, x in raised["outputs", 9].items() if x > plain[part]} == {"critic", "actor"}
    assert {part for part, x in raised["policy", 9].items() if x != plain[part]} == {"actor"}


def test_the_policy_of_action_values_is_their_softmax():
    learner, state, batch = student("dqn", VECTORS)
    raised = []
    with torch.no_grad():
        mine, other = (learner.run("q", batch, w) for w in (None, state["students"]["q"]["net"]))
    for what in ("outputs", "policy"):
        losses = [Generations(generations_weight=w, generations_what=what) for w in (0, 6)]
        plain, more = (next(x.lesson(state, states(learner), batch)).value for x in losses)
        raised.append((more - plain).item())
    gap = (other.softmax(1) * (other.log_softmax(1) - mine.log_softmax(1))).sum(1)
    assert raised == pytest.approx([6 * (mine - other).square().mean().item(), 6 * gap.mean().item()], rel=0.001)


@pytest.mark.parametrize("method", ON)
@pytest.mark.parametrize("flags", [CYCLE, ["--n-step-start=5"]])
def test_values_of_another_return_are_not_imitated(method, flags):
    settings = parsed("dqn", f"--env={VECTORS}", "--preset=none", *small("dqn"), *ON[method], *flags)
    with pytest.raises(ValueError, match=f"use --{method}-what policy, or --n-step-start 0 --gamma-start 0"):
        build(AGENTS["dqn"][0], settings)


@pytest.mark.parametrize("method", ON)
@pytest.mark.parametrize("flags", [[*CYCLE, "policy"], ["--gamma-start=0.9", "--gamma=0.9"], ["--n-step-start=3"]])
def test_policies_are_imitated_in_every_schedule_and_values_where_it_stands_still(method, flags):
    line = [flag if flag != "policy" else f"--{method}-what=policy" for flag in flags]
    world, learner = taken("dqn", VECTORS, *ON[method], *line)
    learn(learner, world, 20)
    assert learner.clock["resets"] == 1
    assert learner.clock["extra"] in (2, 6)


@pytest.mark.parametrize("method", ON)
def test_a_policy_that_there_is_none_of_is_refused_with_a_sentence(method):
    flags = [*small("classifier"), "--loss=mse", *ON[method], f"--{method}-what=policy"]
    settings = parsed("classifier", "--env=labels:generated", "--preset=none", *flags)
    with pytest.raises(ValueError, match=f"{method}_what policy: no part of this agent has a policy; use outputs"):
        build(AGENTS["classifier"][0], settings)
