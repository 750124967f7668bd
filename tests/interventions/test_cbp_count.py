"""What continual backprop owes: whole units by turns, or a coin at each update (lop/algos/gnt.py)."""

import pytest
import torch

from interventions.cbp import draw, due, grow, newborn
from nets.layers import Block, Linear
from tests.interventions.small import VECTORS, agent


def hidden(units):
    """A layer of so many units, read by one output."""
    return Block(Linear(1, units), "none", "relu").layer("fc", [Linear(units, 1)])


@torch.no_grad()
def test_a_bernoulli_draw_replaces_as_many_and_neither_waits_nor_saves():
    layer = hidden(8)
    row, replaced = newborn(layer), 0
    for update in range(20_000):
        grow(row, 1e-2, 10)
        draw({"fc": row}, seed=update)
        if row["owed"].item() >= 1:
            which = due(row, 10, 0.99)
            row["age"][which] = 0
            replaced += len(which)
        assert row["owed"] == 0
    mature = 8 / 1.1
    assert replaced == pytest.approx(1e-2 * mature * 20_000, rel=0.05)


@torch.no_grad()
def test_a_bernoulli_draw_keeps_whole_units_and_draws_the_fraction():
    layer = hidden(4)
    seen = []
    for seed in range(2000):
        row = newborn(layer)
        row["owed"] += 2.25
        draw({"fc": row}, seed)
        seen.append(row["owed"].item())
    assert set(seen) == {2.0, 3.0}
    assert sum(seen) / len(seen) == pytest.approx(2.25, abs=0.03)


def test_half_a_unit_is_owed_by_turns_or_by_a_coin():
    totals = {}
    for count in ("accumulate", "bernoulli"):
        for seed in range(3):  # 24 mature units at this rate owe half a unit at each of 24 updates
            flags = [f"--cbp-count={count}", f"--cbp-rate={0.5 / 24}", "--cbp-maturity=0", f"--seed={seed}"]
            learner = agent(VECTORS, "--adam-step=elements", *flags, updates=24)
            totals.setdefault(count, []).append(learner.chain.summary()["event/cbp/units/q"])
    assert totals["accumulate"] == [12, 12, 12]
    assert len(set(totals["bernoulli"])) > 1
    assert abs(sum(totals["bernoulli"]) - 36) < 3 * 4.25  # a standard deviation of 72 coins is 4.25
