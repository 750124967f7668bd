"""The row of a firing, by hand: share of parameters changed, norm of the change, change of the outputs, seconds."""

import time

import pytest
import torch

from runs.rng import stream
from tests.laws.members import learn, taken


def fired(method, name, env, *flags):
    """(row, seconds of the tick, part, weights and outputs before and after) of a method's only firing at update 13."""
    world, learner = taken(name, env, f"--{method}-every=13:updates", *flags)
    learn(learner, world, 12)
    learner.clock["updates"] = 13
    clock = learner.clock["steps"], learner.clock["updates"]
    states = learner.view(stream(0, "witness", method, *clock)).batch(256)  # of a stream that no method draws from
    before, start = seen(learner, states), time.perf_counter()
    learner.chain.tick()
    seconds = time.perf_counter() - start
    (row,) = learner.chain.drain()
    return row, seconds, before, seen(learner, states)


@torch.no_grad()
def seen(learner, states):
    weights = [p.clone() for part in learner.parts.values() for p in part.net.parameters()]
    return torch.cat([p.flatten() for p in weights]), {n: learner.run(n, states).clone() for n in learner.parts}


CASES = [
    ("reset", "dqn", "toy:catch"),
    ("reset", "dqn", "toy:catch", "--reset-groups=head"),
    ("reset", "sac", "toy:reach"),
    ("reset", "classifier", "labels:generated"),
    ("redo", "dqn", "toy:catch", "--redo-tau=0.5"),
    ("redo", "sac", "toy:reach", "--redo-tau=0.5"),
]


@pytest.mark.parametrize("line", CASES, ids=" ".join)
def test_an_event_says_what_changed_by_how_much_what_it_did_to_the_outputs_and_how_long_it_took(line):
    method = line[0]
    row, seconds, (old, was), (new, now) = fired(*line)
    tag = f"event/{method}"
    assert row[tag] == 1
    assert row[f"{tag}/changed"] == int((old != new).sum()) / len(old)
    assert row[f"{tag}/norm"] == pytest.approx(float((new.double() - old.double()).square().sum() ** 0.5), rel=1e-5)
    for part, values in was.items():
        change = float((now[part].double() - values.double()).square().mean() ** 0.5)
        assert row[f"{tag}/output/{part}"] == pytest.approx(change, rel=1e-5)
    assert max(row[f"{tag}/output/{part}"] for part in was) > 0
    assert 0 < row[f"speed/{method}"] < seconds


def test_a_full_reset_changes_every_parameter_and_one_of_the_head_those_of_the_head():
    assert fired("reset", "dqn", "toy:chain")[0]["event/reset/changed"] == 1
    row = fired("reset", "dqn", "toy:chain", "--reset-groups=head")[0]  # 5 inputs, 24 units, 2 actions
    assert row["event/reset/changed"] == (24 * 2 + 2) / (5 * 24 + 24 + 24 * 2 + 2)


def test_a_recycled_unit_changes_its_row_its_bias_and_its_columns():
    row = fired("redo", "dqn", "toy:chain", "--redo-tau=0.5")[0]
    units = row["event/redo/units/q"]
    assert 0 < units < 24
    assert row["event/redo/changed"] == units * (5 + 1 + 2) / (5 * 24 + 24 + 24 * 2 + 2)
