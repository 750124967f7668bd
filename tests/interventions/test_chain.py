"""The chain: conditions with hysteresis, hooks around a reset, one summed row for what happens at every update."""

from dataclasses import dataclass

import pytest
import torch

from agents.build import build
from agents.dqn import DQN
from interventions import base
from interventions.base import Reach
from interventions.catchup import CatchUp
from interventions.chain import Chain, Unheard, nearest
from interventions.optreset import OptReset
from interventions.redo import ReDo
from interventions.reset import Reset
from runs.units import Period, when
from tests.agents.tiny import agent as tiny
from tests.agents.tiny import walked
from tests.laws.members import parsed


def started(*methods, **options):
    world, learner = tiny(methods=methods, **options)
    return walked(world, learner, 40)


def fired(learner, name):
    return [row for row in learner.chain.drain() if f"event/{name}" in row]


def told(learner, *values, tag="probe/dormant"):
    """How often the first method has fired after each value that was recorded."""
    counts = []
    for value in values:
        learner.chain.observe({tag: value})
        learner.chain.tick()
        learner.chain.tick()
        counts.append(len(fired(learner, learner.chain.links[0].name)))
    return counts


def test_a_condition_fires_once_until_the_number_is_back():
    learner = started(ReDo(redo_when=when("dormant > 0.3")))
    assert told(learner, 0.2, 0.4, 0.5, 0.3, 0.4) == [0, 1, 0, 0, 1]


def test_a_condition_is_armed_again_only_behind_its_rearm_level():
    learner = started(ReDo(redo_when=when("dormant > 0.3 rearm 0.1")))
    assert told(learner, 0.4, 0.2, 0.4, 0.1, 0.4) == [1, 0, 0, 0, 1]


def test_a_condition_may_wait_for_a_number_that_falls():
    learner = started(Reset(reset_when=when("return/train < 5 rearm 6")))
    assert told(learner, 7, 4, 5.5, 4, 6, 4, tag="return/train") == [0, 1, 0, 0, 0, 1]


def test_a_number_that_is_not_a_number_fires_nothing():
    learner = started(ReDo(redo_when=when("dormant > 0.3")))
    assert told(learner, float("nan"), 0.4) == [0, 1]


def test_a_period_and_a_condition_of_one_method_both_fire():
    learner = started(ReDo(redo_every=Period(10), redo_when=when("dormant > 0.3")))
    assert [row["step"] for row in fired(learner, "redo")] == [10, 20, 30, 40]
    assert told(learner, 0.4) == [1]


def test_a_number_that_its_probe_does_not_have_is_refused_with_the_nearest_name():
    learner = started(ReDo(redo_when=when("dormant/torso.fc9 > 0.3")))
    row = {"probe/dormant": 0.1, "probe/dormant/torso.fc1": 0.2}
    learner.chain.observe(row)  # what compares with the last time is undefined at first
    with pytest.raises(
        Unheard, match=r"redo_when: no number 'dormant/torso.fc9' is .*; did you mean dormant/torso.fc1"
    ):
        learner.chain.observe(row)


def test_rows_before_the_first_update_may_lack_a_number():
    world, learner = tiny(methods=[ReDo(redo_when=when("curvature/edge > 1"))])
    row = {"probe/curvature/top": 0.1}
    for _ in range(3):
        learner.chain.observe(row)
    walked(world, learner, 40)
    learner.chain.observe(row)
    with pytest.raises(Unheard, match="no number 'curvature/edge' is recorded"):
        learner.chain.observe(row)


def test_a_hint_is_a_name_that_is_near_or_none():
    assert nearest("step", ["probe/scale", "probe/entk"]) == ""
    assert nearest("scal", ["probe/scale", "probe/entk"]) == "; did you mean scale?"


def test_a_number_is_awaited_while_others_are_recorded():
    learner = started(ReDo(redo_when=when("rank/srank < 3")))
    for _ in range(5):
        learner.chain.observe({"probe/dormant": 0.1, "return/train": 1.0, "loss/q": 0.5})
    assert told(learner, 2, tag="probe/rank/srank") == [1]


def test_a_loss_that_no_part_has_is_refused():
    learner = started(ReDo(redo_when=when("loss/p > 3")))
    learner.chain.observe({"loss/q": 1.0})
    with pytest.raises(Unheard, match="did you mean loss/q"):
        learner.chain.observe({"loss/q": 1.0})


def test_wall_time_is_no_condition():
    learner = started(ReDo(redo_when=when("speed/steps > 3")))
    with pytest.raises(Unheard, match="speed/steps"):
        learner.chain.observe({"speed/steps": 4.0})


def test_armed_and_the_last_numbers_are_saved():
    a = started(ReDo(redo_when=when("dormant > 0.3")))
    told(a, 0.4)
    b = started(ReDo(redo_when=when("dormant > 0.3")))
    b.chain.load_state_dict(a.chain.state_dict())
    assert told(b, 0.5, 0.1, 0.5) == [0, 0, 1]
    assert b.chain.metrics == a.chain.metrics | {"probe/dormant": 0.5}


@dataclass(frozen=True)
class Listener(base.Intervention):
    """Keeps what it hears of resets and pays 1 more of every loss."""

    reach = Reach.NORM
    listen: bool = True

    @classmethod
    def name(cls):
        return "listener"

    def init(self, subject):
        return {"heard": [], "before": None}

    def before_reset(self, state, subject):
        state["before"] = subject.parts["q"].weights()

    def after_reset(self, state, subject, redrawn):
        new = dict(subject.parts["q"].net.named_parameters())
        state["heard"].append({n: sorted(names) for n, names in redrawn.items()})
        assert all(torch.equal(new[n], w) != (n in redrawn["q"]) for n, w in state["before"].items())

    def on_loss(self, state, subject, loss, batch):
        return loss.value + 1

    def after_update(self, state, subject):
        return {"units": torch.tensor(2)}


def test_methods_hear_of_a_reset_before_it_and_after_all_of_its_tick():
    learner = started(Reset(reset_every=Period(30), reset_groups="head"), Listener())
    (state,) = [link.state for link in learner.chain.links if link.name == "listener"]
    assert state["heard"] == [{"q": ["head.value.bias", "head.value.weight"]}]
    assert learner.clock["resets"] == 1


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--redo-every=1:resets"], "redo_every does nothing where no network is drawn anew; add e.g. --reset-every"),
        (["--shrink-every=1:resets", "--reset-every=1500"], "shrink_every: each firing is itself a reset; take"),
        (["--redo-every=1:targets", "--target-tau=0.5"], "redo_every 1:targets: part q has no hard target copies"),
    ],
)
def test_a_period_that_never_comes_round_or_never_ends_is_refused(flags, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(DQN, parsed("dqn", "--env=toy:chain", *flags))


def test_resets_are_a_unit_of_periods():
    learner = started(Reset(reset_every=Period(10)), OptReset(optreset_every=Period(2, "resets")))
    assert learner.clock["resets"] == 4
    assert [row["step"] for row in fired(learner, "optreset")] == [20, 40]


def test_what_happens_at_every_update_is_one_summed_row():
    learner = started(Listener(), learn={"replay_ratio": 0.5})
    row = learner.metrics()
    updates = learner.clock["updates"]
    assert row["event/listener/updates"] == updates
    assert row["event/listener/units"] == 2 * updates
    assert row["event/listener/loss/q"] == pytest.approx(updates)
    assert row["speed/listener"] > 0
    assert not learner.chain.summary()


def test_what_a_method_does_after_a_reset_has_a_row_of_its_own():
    learner = started(Reset(reset_every=Period(30)), CatchUp(catchup_updates=4))
    (row,) = fired(learner, "catchup")
    assert (row["step"], row["event/catchup/extra"]) == (30, 4)
    assert row["speed/catchup"] > 0


def test_an_empty_chain_records_nothing():
    assert not Chain().summary()
