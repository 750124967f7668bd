"""Law 6: distillation after a reset (after Igl et al. 2021)."""

import pytest
import torch

from agents.build import build
from interventions.distill import Distill
from interventions.imitation import distance, fading
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, named
from tests.laws.members import AGENTS, learn, parsed, same, small, taken

CBP = ["--cbp-rate=0.01", "--cbp-maturity=5", "--adam-step=elements"]
SNR = ["--snr-eta=0.5", "--snr-tau-max=5"]
ENVS = {"dqn": IMAGES, "sac": "toy:reach", "classifier": "labels:generated"}


def reset_once(name, *flags, updates=12, env=""):
    """An agent just before the tick of its only reset."""
    flags = ["--reset-every=13:updates", *flags]
    world, learner = taken(name, env or ENVS[name], *flags)
    learn(learner, world, updates)
    return world, learner


def tick(learner, updates=13):
    learner.clock["updates"] = updates
    learner.chain.tick()


def state(learner):
    return next(link.state for link in learner.chain.links if link.name == "distill")


@pytest.mark.parametrize("beside", [CBP, SNR])
def test_what_acts_on_the_agent_does_not_count_the_minibatches_of_the_burst(beside):
    ends = []
    for flags in ([], ["--distill-updates=60"]):
        world, learner = taken("dqn", IMAGES, "--reset-every=13:updates", *beside, *flags)
        learn(learner, world, 13)
        ends.append({link.name: link.state_dict() for link in learner.chain.links if link.name in ("cbp", "snr")})
    assert learner.clock["extra"] == 60
    assert len(ends[0]) == 1
    assert same(*ends)


def gaps(learner, teacher, size=64):
    subject = learner.view(stream(3, "gap"))
    batch = subject.batch(size)
    names = [n for n, part in learner.parts.items() if part.output is not None]
    return {n: distance(subject, n, batch, teacher).item() for n in names}


@pytest.mark.parametrize("name", ENVS)
def test_a_student_that_is_the_teacher_has_no_loss(name):
    world, learner = taken(name, ENVS[name])
    learn(learner, world, 5)
    teacher = {n: part.weights() for n, part in learner.parts.items()}
    assert gaps(learner, teacher) == pytest.approx(dict.fromkeys(gaps(learner, teacher), 0.0), abs=1e-6)


@pytest.mark.parametrize(("name", "updates"), [("dqn", 150), ("sac", 250), ("classifier", 150)])
def test_the_loss_falls_below_a_tenth_of_the_fresh_networks(name, updates):
    flags = ("--lr=2e-3", "--batch-size=32") if name != "sac" else ("--lr=3e-3", "--critic-lr=3e-3")
    _, learner = reset_once(name, "--distill-updates=1", *flags)
    teacher = {n: part.weights() for n, part in learner.parts.items()}
    method, subject = Distill(distill_updates=updates), learner.view(stream(0, "test"))
    mine = {}
    method.before_reset(mine, subject)
    learner.clock["updates"] = 13
    for part in learner.parts.values():
        part.redraw(subject.seed)
    fresh = gaps(learner, teacher)
    redrawn = {n: set(part.weights()) for n, part in learner.parts.items()}
    method.after_reset(mine, subject, redrawn)
    assert all(gap < 0.1 * fresh[n] for n, gap in gaps(learner, teacher).items()), (fresh, gaps(learner, teacher))
    assert learner.clock["extra"] == updates


def test_the_slow_network_is_the_student_at_the_hand_over():
    _, learner = reset_once("dqn", "--distill-updates=3", "--target-every=never", "--reset-target=own")
    tick(learner)
    part = learner.parts["q"]
    assert part.age == 3
    assert all(torch.equal(p, q) for p, q in zip(part.net.parameters(), part.target.parameters(), strict=True))


@pytest.mark.parametrize(("past", "expected"), [(0, 2.0), (5, 1.0), (9, 0.2), (10, 0.0), (11, 0.0)])
def test_the_factor_falls_linearly_to_exactly_0(past, expected):
    assert fading(2.0, past, 10) == pytest.approx(expected)
    assert past < 10 or fading(2.0, past, 10) == 0.0


@pytest.mark.parametrize("name", ENVS)
def test_from_the_cut_off_on_training_is_plain_bit_for_bit(name):
    world, learner = reset_once(name, "--distill-updates=2", "--distill-anneal=6", updates=12)
    steps = world.loop(learner, resumed=True)
    pulled = on_to(learner, steps, 18)
    assert state(learner)["students"]
    on_to(learner, steps, 19)
    assert state(learner) == {}
    assert pulled
    _, plain = taken(name, ENVS[name])
    held = learner.state_dict()
    plain.load_state_dict({**held, "chain": {"links": {}, "metrics": []}})
    for mine, log in zip(plain.replay.logs().values(), learner.replay.logs().values(), strict=True):
        mine.put_rows(log.start, log.rows(log.start, log.stop))
    for _ in range(4):
        learner.update()
        plain.update()
    ends = [{n: part.state_dict() for n, part in x.parts.items()} for x in (learner, plain)]
    assert same(*ends)


def on_to(learner, steps, updates):
    """Whether the loss was raised on the way."""
    learner.chain.summary()
    for _ in steps:
        learner.chain.tick()
        while learner.owed() > 0 and learner.clock["updates"] < updates:
            learner.update()
        if learner.clock["updates"] >= updates:
            break
    return any(tag.startswith("event/distill/loss") and x > 0 for tag, x in learner.chain.summary().items())


def test_the_teacher_may_be_the_slow_network():
    for which in ("online", "target"):
        _, learner = reset_once("dqn", "--distill-updates=1", f"--distill-teacher={which}", "--target-every=never")
        part = learner.parts["q"]
        expected = part.weights(slow=which == "target")
        assert any(not torch.equal(p, expected[n]) for n, p in part.weights(slow=which != "target").items())
        tick(learner)
        kept = state(learner)["teacher"]["q"]
        assert all(torch.equal(x, expected[n]) for n, x in kept.items())


def test_only_parts_that_were_redrawn_are_taught():
    _, learner = reset_once("sac", "--distill-updates=2", "--reset-parts=actor")
    critic = named(learner.parts["critic"])
    tick(learner)
    assert state(learner)["students"] == ["actor"]
    assert all(torch.equal(p, critic[n]) for n, p in named(learner.parts["critic"]).items())


def test_the_policy_alone_can_be_distilled():
    _, learner = reset_once("sac", "--distill-updates=2", "--distill-what=policy")
    tick(learner)
    assert state(learner)["students"] == ["actor"]


def test_the_critics_are_compared_on_actions_of_the_replay_and_of_the_teachers_policy():
    """Critics that differ by 2 everywhere but agree on the batch's actions are half as far apart: mean(0, 4) = 2."""
    world, learner = taken("sac", "toy:reach")
    learn(learner, world, 3)
    subject = learner.view(stream(0, "test"))
    batch = subject.batch(16)
    teacher = {n: part.weights() for n, part in learner.parts.items()}
    run = subject.run

    def apart(part, b, weights=None):
        out = run(part, b, weights)
        return out + 2 if part == "critic" and weights is not None and b.action is not batch.action else out

    subject.run = apart
    assert distance(subject, "critic", batch, teacher).item() == pytest.approx(2.0)


def test_nothing_is_distilled_before_the_first_update():
    world, learner = taken("dqn", VECTORS, "--reset-every=10", "--distill-updates=3")
    world.begin()
    for _ in world.loop(learner):
        learner.chain.tick()
        if learner.clock["steps"] >= 20:
            break
    assert learner.clock["resets"]
    assert learner.clock["extra"] == 0
    assert state(learner) == {}


@pytest.mark.parametrize(
    ("name", "flags", "word"),
    [
        ("dqn", [], "no network is drawn anew"),
        ("dqn", ["--reset-every=50", "--distill-weight=-1"], "at least 0"),
        ("classifier", ["--reset-every=50", "--distill-teacher=target"], "no part has a slow network"),
        ("classifier", ["--reset-every=50", "--loss=mse", "--distill-what=policy"], "has a policy"),
    ],
)
def test_what_has_no_meaning_is_refused_with_a_sentence(name, flags, word):
    settings = parsed(name, f"--env={ENVS[name]}", "--preset=none", *small(name), "--distill-updates=5", *flags)
    with pytest.raises(ValueError, match=word):
        build(AGENTS[name][0], settings)
