"""Law 6: the promises of the adaptive replay ratio (Ma et al. 2024)."""

import pytest
import torch

from interventions.adaptratio import AdaptRatio, active, judges
from runs.rng import stream
from runs.units import period, when
from tests.interventions.small import VECTORS, agent
from tests.laws.members import learn, taken

CHECKED = AdaptRatio(adaptratio_every=period("50:episodes"))


class Paced:
    """A subject that notes what ratio it is set to."""

    def __init__(self, ratio=0.5):
        self.ratio, self.metrics, self.set, self.clock = ratio, {}, [], {"updates": 1}

    def pace(self, ratio):
        self.ratio = ratio
        self.set.append(ratio)


def checks(monkeypatch, *fractions, method=CHECKED):
    """The ratio after each check that finds these fractions of active units."""
    subject, ratios, found = Paced(), [], iter(fractions)
    monkeypatch.setattr("interventions.adaptratio.active", lambda subject, states: next(found))
    state = method.init(subject)
    for _ in fractions:
        method.apply(state, subject)
        ratios.append(subject.ratio)
    return ratios


def test_the_ratio_rises_once_the_active_units_have_settled_and_stays(monkeypatch):
    assert checks(monkeypatch, 0.5, 0.4, 0.45, 0.4505, 0.3) == [0.5, 0.5, 0.5, 2.0, 2.0]


def test_before_the_first_update_nothing_is_measured_and_nothing_decided():
    """The units of an untrained network are as many at each check; of two checks after it the second may decide."""
    world, learner = taken("dqn", VECTORS, "--adaptratio-every=5", "--adaptratio-gap=0.5")
    learn(learner, world, 1)
    early = learner.chain.drain()
    assert len(early) > 2
    assert all(row["event/adaptratio/rose"] == 0 and row["event/adaptratio/ratio"] == 0.5 for row in early)
    assert not any("event/adaptratio/active" in row for row in early)
    ratios = []
    for _ in range(2):
        learner.clock["steps"] += 5
        learner.chain.tick()
        (row,) = learner.chain.drain()
        ratios.append(row["event/adaptratio/ratio"])
        assert 0 < row["event/adaptratio/active"] == learner.chain.links[0].state["last"] < 1
    assert ratios == [0.5, 2.0]


def test_a_row_says_what_was_measured_the_ratio_and_whether_it_rose(monkeypatch):
    subject, found = Paced(), iter((0.5, 0.5))
    monkeypatch.setattr("interventions.adaptratio.active", lambda subject, states: next(found))
    state = CHECKED.init(subject)
    assert CHECKED.apply(state, subject) == {"active": 0.5, "ratio": 0.5, "rose": 0.0}
    assert CHECKED.apply(state, subject) == {"active": 0.5, "ratio": 2.0, "rose": 1.0}
    assert CHECKED.apply(state, subject) == {"ratio": 2.0, "rose": 0.0}
    subject, method = Paced(), AdaptRatio(adaptratio_when=when("dormant < 0.05"))
    subject.metrics = {"probe/dormant": 0.01}
    assert method.apply(method.init(subject), subject) == {"signal": 0.01, "ratio": 2.0, "rose": 1.0}


def test_a_condition_that_came_true_before_the_first_update_is_looked_at_again_later():
    """At step 40 of 50 without an update: again from 40 steps after the first one on, by the number of then."""
    method, subject = AdaptRatio(adaptratio_when=when("dormant < 0.05")), Paced()
    subject.metrics, subject.clock = {"probe/dormant": 0.0}, {"steps": 40, "updates": 0}
    state = method.init(subject)
    assert method.apply(state, subject) == {"signal": 0.0, "ratio": 0.5, "rose": 0.0}
    ratios = {}
    for steps, dormant in ((51, 0.0), (90, 0.0), (91, 0.2), (95, 0.01), (96, 0.0)):
        subject.clock, subject.metrics = {"steps": steps, "updates": steps - 50}, {"probe/dormant": dormant}
        rose = method.after_update(state, subject)
        ratios[steps] = subject.ratio
        assert (rose == {"rose": 1.0}) == (steps == 95)
    assert ratios == {51: 0.5, 90: 0.5, 91: 0.5, 95: 2.0, 96: 2.0}
    assert state == method.init(Paced()) | {"high": 1}


def test_a_first_check_has_nothing_to_be_compared_with(monkeypatch):
    assert checks(monkeypatch, 0.0) == [0.5]


def test_the_gap_and_the_high_ratio_are_flags(monkeypatch):
    method = AdaptRatio(adaptratio_every=period("50:episodes"), adaptratio_gap=0.1, adaptratio_to=4.0)
    assert checks(monkeypatch, 0.5, 0.41, method=method) == [0.5, 4.0]


def test_the_fraction_of_active_units_by_hand():
    """One layer of 96 * .25 = 24 units, half of them off for every state."""
    learner = agent(VECTORS, updates=1)
    (layer,) = learner.parts["q"].net.layers()
    with torch.no_grad():
        layer.writer.bias.fill_(1e3)
        layer.writer.bias[:12].fill_(-1e3)
    for states in (8, 300):
        assert active(learner.view(stream(0, "adaptratio")), states) == 0.5


def test_only_networks_with_a_slow_copy_are_counted():
    world, learner = taken("sac", "toy:reach", "--adaptratio-every=7:updates")
    learn(learner, world, 1)
    subject = learner.view(stream(0, "adaptratio"))
    assert judges(subject) == ["critic"]
    with torch.no_grad():
        for layer in learner.parts["critic"].net.layers():
            layer.writer.bias.fill_(-1e3)
    assert active(subject, 8) == 0


def test_a_recorded_number_raises_the_ratio_and_lowers_it_again_if_asked():
    for back in (True, False):
        flags = ["--adaptratio-when=return/train < 0.05 rearm 0.1", "--adaptratio-to=1.5"]
        learner = agent(VECTORS, *flags, *(["--adaptratio-back"] if back else []), updates=1)
        seen = []
        for value in (0.3, 0.04, 0.08, 0.2, 0.01):
            learner.chain.observe({"return/train": value})
            learner.chain.tick()
            learner.chain.after_update()
            seen.append(float(learner.view(stream(0, "test")).ratio))
        assert seen == [0.5, 1.5, 1.5, 0.5 if back else 1.5, 1.5]


def test_more_updates_are_owed_from_then_on_and_none_of_the_past():
    learner = agent(VECTORS, "--adaptratio-when=return/train < 0.05", updates=3)
    learner.chain.observe({"return/train": 0.0})
    learner.chain.tick()
    before = learner.clock["updates"]
    assert learner.owed() <= 0
    learner.clock["steps"] += 10
    assert learner.owed() == 20
    assert learner.clock["updates"] == before


@pytest.mark.parametrize(
    ("name", "env", "flags"),
    [
        ("classifier", "labels:generated", ("--adaptratio-every=7:updates",)),
        ("dqn", "toy:chain", ("--adaptratio-every=7:updates", "--adaptratio-to=0.5")),
        ("dqn", "toy:chain", ("--adaptratio-every=7:updates", "--adaptratio-to=0.25")),
        ("dqn", "toy:chain", ("--adaptratio-every=7:updates", "--adaptratio-when=return/train < 0.05")),
        ("dqn", "toy:chain", ("--adaptratio-every=7:updates", "--adaptratio-back")),
        ("dqn", "toy:chain", ("--adaptratio-every=7:updates", "--hidden")),
    ],
)
def test_what_cannot_be_is_refused(name, env, flags):
    assert taken(name, env, *flags) is None


def test_a_condition_is_no_period():
    assert AdaptRatio(adaptratio_when=when("dormant < 0.05")).on
    assert not AdaptRatio().on
