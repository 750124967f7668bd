"""Law 6: the promises of optimizer resets (Asadi et al. 2023, Ellis et al. 2024)."""

import math

import pytest
import torch
from torch import nn

from agents.build import build
from agents.dqn import DQN
from interventions.optreset import OptReset
from nets.optim import OptimConfig
from tests.interventions.small import VECTORS, agent, fire, moments, named
from tests.laws.members import learn, parsed, taken


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_after_a_moment_reset_the_next_update_is_a_new_optimizers(optimizer):
    learner = agent(VECTORS, f"--optimizer={optimizer}")
    part = learner.parts["q"]
    before = named(part)
    fire(OptReset(), learner)
    assert all(torch.equal(p, before[n]) for n, p in named(part).items())
    twin = [nn.Parameter(p.detach().clone()) for p in part.trainable]
    new = learner.learn.optim.make(twin)
    for p, q in zip(part.trainable, twin, strict=True):
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
        q.grad = p.grad.clone()
    part.opt.step()
    new.step()
    assert all(torch.equal(p, q) for p, q in zip(part.trainable, twin, strict=True))


def test_adam_rel_restarts_the_step_count_alone():
    learner = agent(VECTORS)
    before = moments(learner.parts["q"])
    fire(OptReset(optreset_what="step"), learner)
    for n, row in moments(learner.parts["q"]).items():
        assert not row["step"].any()
        assert torch.equal(row["exp_avg"], before[n]["exp_avg"])
        assert torch.equal(row["exp_avg_sq"], before[n]["exp_avg_sq"])


def first_step(jump, what):
    """Adam's first step after a long constant gradient of 1, a reset, and a gradient of `jump`; in units of lr."""
    p = nn.Parameter(torch.zeros(1, 1))
    opt = OptimConfig(lr=1e-3, eps=1e-8).make([p])
    for _ in range(20_000):
        p.grad = torch.ones_like(p)
        opt.step()
    for slot, x in opt.state[p].items():
        if what == "moments" or slot == "step":
            x.zero_()
    start = p.item()
    p.grad = torch.full_like(p, jump)
    opt.step()
    return (start - p.item()) / 1e-3


@pytest.mark.parametrize(
    ("jump", "what", "expected"),
    [(1.0, "step", math.sqrt(1 - 0.999) / (1 - 0.9)), (1e6, "step", 1.0), (1.0, "moments", 1.0)],
)
def test_the_first_step_has_the_length_of_the_papers(jump, what, expected):
    # Adam-Rel: .316 lr on an unchanged gradient, 1 lr in the limit of a jump.
    assert first_step(jump, what) == pytest.approx(expected, rel=2e-2)


def test_it_fires_at_every_hard_target_copy():
    game, learner = taken("dqn", VECTORS, "--optreset-every=1:targets", "--target-every=20")
    learn(learner, game, 60)
    assert learner.clock["targets"] > 3
    assert len([e for e in learner.chain.drain() if "event/optreset" in e]) == learner.clock["targets"]


def test_at_hard_copies_of_critics_the_critics_optimizer_forgets_and_the_actors_does_not():
    flags = ["--optreset-every=1:targets", "--target-every=7:updates", "--target-tau=1"]
    world, learner = taken("sac", "toy:reach", *flags)
    learn(learner, world, 14)
    assert learner.clock["targets"] == 2
    assert count(learner, "optreset") == 2
    zero = {
        name: all(not x.any() for row in moments(p).values() for x in row.values()) for name, p in learner.parts.items()
    }
    assert zero == {"critic": True, "actor": False, "alpha": False}


def test_moving_average_critics_have_no_hard_copies_to_fire_at():
    assert taken("sac", "toy:reach", "--optreset-every=1:targets") is None
    assert taken("sac", "toy:reach", "--optreset-every=1:targets", "--target-tau=1")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--optreset-every=1:targets", "--target-tau=0.01"], "part q has no hard target copies"),
        (["--optreset-every=50", "--optreset-what=step", "--optimizer=sgd"], "SGD counts no steps"),
        (["--optreset-every=50", "--optreset-what=step", "--optimizer=rmsprop"], "RMSprop counts no steps"),
        (["--optreset-every=50", "--optreset-what=first+step", "--optimizer=rmsprop"], "keeps no first moment"),
        (["--optreset-every=50", "--optreset-what=second", "--optimizer=sgd"], "keeps no second moment"),
        (["--optreset-every=50", "--optreset-what=first", "--optimizer=upgd"], "keeps no first moment"),
    ],
)
def test_what_has_no_meaning_is_refused_with_a_sentence(flags, word):
    with pytest.raises(ValueError, match=word):
        build(DQN, parsed("dqn", "--env=toy:chain", "--preset=none", *flags))


ADAM = {"first": {"exp_avg"}, "second": {"exp_avg_sq"}, "step": {"step"}}
ELEMENTS = ADAM | {"step": {"corrected1", "corrected2"}}


@pytest.mark.parametrize("what", ["step", "first", "second", "first+step", "second+step"])
@pytest.mark.parametrize(("flag", "slots"), [("--adam-step=tensor", ADAM), ("--adam-step=elements", ELEMENTS)])
def test_exactly_the_named_slots_are_zeroed(what, flag, slots):
    learner = agent(VECTORS, flag)
    part = learner.parts["q"]
    before, weights = moments(part), named(part)
    fire(OptReset(optreset_what=what), learner)
    gone = set().union(*(slots[word] for word in what.split("+")))
    for n, row in moments(part).items():
        assert gone <= row.keys()
        for slot, x in row.items():
            assert torch.equal(x, torch.zeros_like(x) if slot in gone else before[n][slot])
    assert all(torch.equal(p, weights[n]) for n, p in named(part).items())


@pytest.mark.parametrize("flag", ["rmsprop", "trac", "upgd", "adam_upgd"])
def test_every_optimizer_goes_on_with_finite_numbers(flag):
    for what in ("moments", "second") if flag != "upgd" else ("moments",):
        learner = agent(VECTORS, f"--optimizer={flag}")
        fire(OptReset(optreset_what=what), learner)
        for _ in range(3):
            learner.update()
        assert all(bool(torch.isfinite(p).all()) for p in learner.parts["q"].net.parameters())


def test_a_second_moment_without_its_count_makes_a_long_step_and_with_it_a_first_one():
    """Constant gradient of 1, then v = 0: lr / sqrt(1 - beta2) uncorrected; m / (1 - beta1) in the limit with t = 1."""
    lengths = {}
    for what, gone in (("second", ["exp_avg_sq"]), ("second+step", ["exp_avg_sq", "step"])):
        p = nn.Parameter(torch.zeros(1, 1))
        opt = OptimConfig(lr=1e-3, eps=1e-8).make([p])
        for step in range(6_001):
            if step == 6_000:
                start = p.item()
                for slot in gone:
                    opt.state[p][slot].zero_()
            p.grad = torch.ones_like(p)
            opt.step()
        lengths[what] = (start - p.item()) / 1e-3
    assert lengths["second"] == pytest.approx(1 / math.sqrt(1 - 0.999), rel=2e-2)
    assert lengths["second+step"] == pytest.approx(1 / (1 - 0.9), rel=2e-2)


def count(learner, name):
    return len([e for e in learner.chain.drain() if f"event/{name}" in e])


def test_it_fires_once_for_every_reset():
    world, learner = taken("dqn", VECTORS, "--reset-every=10:updates", "--optreset-every=1:resets")
    learn(learner, world, 49)
    assert learner.clock["resets"] == 4
    assert count(learner, "optreset") == 4


def test_it_fires_once_for_every_switch_of_tasks():
    world, learner = taken("classifier", "labels:generated", "--optreset-every=1:tasks")
    learn(learner, world, 70)
    assert learner.clock["tasks"] == 2
    assert count(learner, "optreset") == 2
