"""Law 6: learning-rate schedules (normalise and project, Lyle et al. 2024)."""

import pytest
import torch

from interventions.lrschedule import LRSchedule
from tests.interventions.small import VECTORS, named
from tests.laws.members import learn, taken

ON = "--lrschedule-updates=10"


def rates(learner, part="q"):
    return [group["lr"] for group in learner.parts[part].opt.param_groups]


def test_a_linear_schedule_by_hand():
    """Two updates of warm-up, eight of fall, then the end."""
    schedule = LRSchedule(lrschedule_updates=10, lrschedule_warmup=2, lrschedule_end=0.2)
    expected = [0.5, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.2]
    assert [schedule.factor(u) for u in range(12)] == pytest.approx(expected)


def test_a_cosine_by_hand():
    schedule = LRSchedule(lrschedule_updates=4, lrschedule_shape="cosine", lrschedule_end=0.0)
    assert [schedule.factor(u) for u in range(6)] == pytest.approx(
        [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0, 0]
    )


@pytest.mark.parametrize("flags", [(), ("--optimizer=adamw", "--weight-decay=0.1"), ("--optimizer=sgd",)])
def test_the_last_update_was_made_at_its_rate_in_every_group(flags):
    world, learner = taken("dqn", VECTORS, ON, "--lr=0.01", *flags)
    learn(learner, world, 4)
    factor = learner.chain.links[0].method.factor(3)
    assert 0.7 < factor < 0.71
    assert rates(learner) == pytest.approx([0.01 * factor] * len(rates(learner)))


def test_a_rate_of_0_moves_nothing():
    world, learner = taken("dqn", VECTORS, "--lrschedule-updates=3", "--lrschedule-end=0")
    learn(learner, world, 3)
    before = named(learner.parts["q"])
    learner.update()
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


def test_the_parts_keep_their_own_peaks():
    world, learner = taken("sac", "toy:reach", ON, "--critic-lr=0.01", "--alpha-lr=0.1")
    learn(learner, world, 2)
    assert rates(learner, "alpha")[0] == pytest.approx(10 * rates(learner, "critic")[0])


@pytest.mark.parametrize("kind", ["tasks", "resets", "never"])
def test_what_begins_it_anew(kind):
    flags = (f"--lrschedule-restart={kind}", "--lrschedule-warmup=4", "--task-every=5", "--reset-every=7:updates")
    world, learner = taken("classifier", "labels:generated", "--lrschedule-updates=40", *flags)
    (link,) = [x for x in learner.chain.links if x.name == "lrschedule"]
    learn(learner, world, 8)
    begun = {"tasks": 5, "resets": 7, "never": 0}[kind]
    assert link.state["begun"] == begun
    assert rates(learner, "net")[0] == pytest.approx(learner.learn.optim.lr * link.method.factor(7 - begun))


def test_a_warm_up_without_an_end_is_refused():
    assert taken("dqn", VECTORS, ON, "--lrschedule-warmup=10") is None
    assert taken("dqn", VECTORS, ON, "--lrschedule-warmup=9") is not None


def test_a_checkpoint_brings_the_rate_back():
    """Extra updates and probes may come before the next update sets it."""
    world, learner = taken("dqn", VECTORS, ON)
    learn(learner, world, 6)
    _, resumed = taken("dqn", VECTORS, ON)
    resumed.load_state_dict(learner.state_dict())
    assert rates(resumed) == rates(learner) != rates(taken("dqn", VECTORS, ON)[1])


def test_a_restart_with_resets_is_refused_where_nothing_resets():
    assert taken("dqn", VECTORS, ON, "--lrschedule-restart=resets") is None
    assert taken("dqn", VECTORS, ON, "--lrschedule-restart=resets", "--reset-every=5:updates")
