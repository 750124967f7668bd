"""Law 6: catching up after a reset (Schwarzer et al. 2023)."""

import pytest
import torch

from agents.build import build
from agents.tally import NotFinite
from interventions.catchup import CatchUp
from interventions.reset import Reset
from runs.units import period
from tests.agents.tiny import agent as tiny
from tests.agents.tiny import walked
from tests.interventions.small import VECTORS
from tests.laws.members import AGENTS, parsed, small, trained


def started(count, steps=50, every="60", **options):
    methods = [Reset(reset_every=period(every)), CatchUp(catchup_updates=count)]
    world, learner = tiny(methods=methods, **options)
    return walked(world, learner, steps)


def test_the_updates_follow_each_reset_and_move_no_step_and_no_row():
    learner = started(5)
    rows, before = len(learner.replay), dict(learner.clock)
    learner.clock["steps"] = 60
    learner.chain.tick()
    assert learner.clock == before | {"steps": 60, "extra": 5, "resets": 1}
    assert len(learner.replay) == rows
    learner.chain.tick()
    assert learner.clock["extra"] == 5


def test_the_fresh_network_has_learned_before_the_next_step():
    learned = started(40)
    plain = started(0)
    for learner in (learned, plain):
        learner.clock["steps"] = 60
        learner.chain.tick()
    assert plain.parts["q"].age == 0
    assert learned.parts["q"].age == 40
    batch = plain.replay.peek(64, plain.rng["replay"])
    losses = [next(learner.losses(batch, learner.loss_rng)).value.item() for learner in (learned, plain)]
    assert losses[0] < losses[1]


def test_nothing_is_caught_up_with_before_the_first_update():
    learner = started(5, steps=15, every="10")
    assert learner.clock["resets"] == 1
    assert learner.clock["extra"] == 0


def test_it_is_refused_where_nothing_is_reset():
    settings = parsed("dqn", f"--env={VECTORS}", "--preset=none", *small("dqn"), "--catchup-updates=5")
    with pytest.raises(ValueError, match="no network is drawn anew"):
        build(AGENTS["dqn"][0], settings)


def test_extra_updates_are_in_the_record(tmp_path):
    flags = ["--reset-every=50", "--catchup-updates=5"]
    _, rows = trained("dqn", tmp_path / "run", VECTORS, 120, *flags)
    shown = [row.get("clock/extra", 0) for row in rows if "clock/updates" in row]
    assert shown[0] == 0
    assert shown[-1] == 10 - 5 * (shown[-1] == 5)


def test_a_number_that_is_not_finite_stops_the_run():
    learner = started(5)
    learner.replay.ring.reward[:] = float("nan")
    learner.clock["steps"] = 60
    with pytest.raises(NotFinite, match="q"):
        learner.chain.tick()
    assert all(bool(torch.isfinite(p).all()) for p in learner.parts["q"].net.parameters())
