"""Extra updates, the pace of learning, and a replay that is thinned: what an intervention may ask of an agent."""

import pytest
import torch

from nets.subject import Loss
from runs.rng import stream
from tests.agents.tiny import agent, along, walked


def learner(**learn):
    world, made = agent(learn={"replay_ratio": 0.5, **learn})
    return world, walked(world, made, 40)


def subject(made):
    return made.view(stream(0, "test"))


def test_an_extra_update_is_billed_and_moves_no_other_clock():
    _, made = learner()
    before = dict(made.clock)
    subject(made).extra_update()
    assert made.clock == before | {"extra": 1}


def test_an_extra_update_learns_and_leaves_the_agents_own_generators():
    _, made = learner()
    weights, rng = made.parts["q"].weights(), (made.rng["replay"].bit_generator.state, made.loss_rng.get_state())
    subject(made).extra_update()
    assert any(not torch.equal(p, weights[n]) for n, p in made.parts["q"].net.named_parameters())
    assert made.rng["replay"].bit_generator.state == rng[0]
    assert torch.equal(made.loss_rng.get_state(), rng[1])


def test_an_extra_update_may_have_losses_of_its_own():
    _, made = learner()
    view = subject(made)

    def shrink(batch):
        yield Loss("q", sum(p.square().sum() for p in made.parts["q"].net.parameters()))

    before = {n: p.abs().sum() for n, p in made.parts["q"].weights().items()}
    for _ in range(5):
        view.extra_update(shrink)
    assert all(p.abs().sum() < before[n] for n, p in made.parts["q"].weights().items())
    assert made.clock["extra"] == 5


@pytest.mark.parametrize(("every", "copies"), [({"target_every": "4:updates"}, 3), ({"target_every": "8"}, 3)])
def test_targets_follow_extra_updates_as_if_steps_had_passed(every, copies):
    """12 extra updates are 24 steps at a ratio of a half: three periods of 4 updates or of 8 steps."""
    from runs.units import period

    _, made = learner(**{k: period(v) for k, v in every.items()})
    before, view = made.clock["targets"], subject(made)
    for _ in range(12):
        view.extra_update()
    assert made.clock["targets"] - before == copies


def until(steps, made, count):
    while made.clock["steps"] < count:
        next(steps)


def test_the_pace_changes_from_here_on_without_a_burst():
    world, made = agent(learn={"replay_ratio": 0.5})
    steps = along(world, made, 80)
    until(steps, made, 40)
    assert made.clock["updates"] == 10
    subject(made).pace(2.0)
    assert made.owed() == 0
    until(steps, made, 50)
    assert made.clock["updates"] == 30
    subject(made).pace(0.1)
    until(steps, made, 59)
    assert made.clock["updates"] == 30
    until(steps, made, 60)
    assert made.clock["updates"] == 31


def test_a_change_of_pace_in_the_warm_up_waits_for_its_end():
    world, made = agent(learn={"replay_ratio": 0.5})
    steps = along(world, made, 25)
    until(steps, made, 10)
    subject(made).pace(1.0)
    until(steps, made, 25)
    assert made.clock["updates"] == 5


def test_a_thinned_replay_keeps_the_newest_rows():
    _, made = learner()
    rows = len(made.replay)
    subject(made).thin(0.25)
    assert len(made.replay) == rows // 4
    newest = made.replay.ring.present
    assert (made.replay.peek(200, made.rng["replay"]).index >= newest - rows // 4).all()
    assert made.pace.steps == 0


def test_an_emptied_replay_begins_the_warm_up_again():
    _, made = learner()
    subject(made).thin(0.0)
    assert len(made.replay) == 0
    assert (made.pace.steps, made.pace.updates) == (40, made.clock["updates"])


def test_another_networks_weights_can_be_worn_for_a_call():
    _, made = learner()
    view, batch = subject(made), made.replay.peek(8, made.rng["replay"])
    old = made.parts["q"].weights()
    values = made.run("q", batch).detach()
    made.parts["q"].redraw(view.seed)
    assert not torch.equal(made.run("q", batch), values)
    assert torch.equal(view.run("q", batch, old), values)
