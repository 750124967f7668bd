"""Law 6: ITER, a student that takes over (Igl et al. 2021)."""

import math

import pytest
import torch

from agents.build import build
from agents.tally import NotFinite
from interventions.base import Intervention, Reach
from runs.units import period
from tests.interventions.small import IMAGES, VECTORS, named
from tests.laws.members import AGENTS, METHODS, learn, parsed, same, small, taken

BESIDE = [
    ["--cbp-rate=0.2", "--cbp-maturity=8", "--adam-step=elements"],
    ["--snr-eta=0.5", "--snr-tau-max=5", "--snr-adapt=3:updates"],
]
ENVS = {"dqn": IMAGES, "sac": "toy:reach", "classifier": "labels:generated"}
ON = ["--generations-every=20:updates", "--generations-updates=6"]


def parts(learner):
    return {n: part.state_dict() for n, part in learner.parts.items()}


def state(learner):
    return next(link.state for link in learner.chain.links if link.name == "generations")


def others(learner):
    """What all other methods keep."""
    return {link.name: link.state_dict() for link in learner.chain.links if link.name != "generations"}


def untouched(name, *beside):
    """(the agent's and its other methods' state without ITER, with ITER) one update before the hand-over."""
    ends = []
    for flags in ([], ON):
        world, learner = taken(name, ENVS[name], *flags, *beside)
        learn(learner, world, 19)
        ends.append({"parts": parts(learner), "methods": others(learner)})
    assert learner.clock["extra"] == 5
    assert learner.clock["resets"] == 0
    return ends


@pytest.mark.parametrize("name", ENVS)
def test_the_teacher_is_untouched_until_the_student_takes_over(name):
    assert same(*untouched(name))


@pytest.mark.parametrize("beside", [*BESIDE, ["--augment-on"]])
def test_what_acts_on_the_teacher_does_not_count_the_student_s_minibatches(beside):
    assert same(*untouched("dqn", *beside))


@pytest.mark.parametrize("name", ENVS)
def test_weights_slow_copy_and_optimizer_are_then_the_students(name):
    world, learner = taken(name, ENVS[name], *ON)
    learn(learner, world, 19)
    strides = {n: [p.stride() for p in part.trainable] for n, part in learner.parts.items()}
    seen = {}
    apply = type(learner.chain.links[0].method).apply

    def watched(self, mine, subject):
        seen.update({n: clone(stored) for n, stored in mine["students"].items()})
        apply(self, mine, subject)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(learner.chain.links[0].method), "apply", watched)
        learner.update()
    assert same(parts(learner), seen)
    assert learner.clock["resets"] == 1
    assert learner.clock["extra"] == 6
    assert state(learner) == {}
    assert {n: part.age for n, part in learner.parts.items()} == {n: x["age"] for n, x in seen.items()}
    assert strides == {n: [p.stride() for p in part.trainable] for n, part in learner.parts.items()}


def clone(node):
    if isinstance(node, dict):
        return {k: clone(x) for k, x in node.items()}
    return node.clone() if isinstance(node, torch.Tensor) else node


def test_the_student_is_a_fresh_network_that_learns_by_its_own_loss_and_by_imitation():
    values = {}
    for weight in (0.0, 100.0):
        world, learner = taken("dqn", IMAGES, *ON, f"--generations-weight={weight}", "--lr=1e-3")
        learn(learner, world, 19)
        student = state(learner)["students"]["q"]
        assert not torch.equal(student["net"]["head.value.weight"], learner.parts["q"].net.head.value.weight)
        assert student["opt"]["head.value.weight"]["step"] == 5
        batch = learner.view(learner.chain.links[0].rng).batch(64)
        with torch.no_grad():
            gap = learner.run("q", batch) - learner.run("q", batch, student["net"])
        values[weight] = gap.square().mean().item()
    assert values[100.0] < values[0.0]


def test_a_student_begins_so_that_its_updates_fit_before_the_hand_over():
    for every, count, first in (("20:updates", 6, 15), ("20,40", 4, 0)):
        world, learner = taken("dqn", VECTORS, f"--generations-every={every}", f"--generations-updates={count}")
        begun, taught = [], {}
        world.begin()
        for _ in world.loop(learner):
            learner.chain.tick()
            while learner.owed() > 0 and learner.clock["updates"] < 20:
                learner.update()
                if learner.clock["extra"] == 1 and not begun:
                    begun.append(learner.clock["updates"])
            if learner.clock["updates"] >= 20:
                break
        taught[every] = learner.clock["extra"]
        assert begun == ([first] if first else [])  # the second's hand-overs lie in the warm-up
        assert taught[every] == (count if first else 0)


def test_another_methods_reset_begins_the_student_again():
    world, learner = taken("dqn", VECTORS, *ON, "--reset-every=17:updates")
    learn(learner, world, 16)
    link = next(x for x in learner.chain.links if x.name == "generations")
    assert link.state["updates"] == 2
    learner.update()
    assert link.state == {}


def test_the_students_slow_network_follows_as_the_agents_does():
    world, learner = taken("dqn", VECTORS, *ON, "--target-every=1:updates", "--target-tau=0.5")
    learn(learner, world, 15)
    student = state(learner)["students"]["q"]
    name = "torso.fc1.writer.weight"
    assert not torch.equal(student["target"][name], student["net"][name])
    world, learner = taken("dqn", VECTORS, *ON, "--target-every=1:updates")
    learn(learner, world, 16)
    student = state(learner)["students"]["q"]
    assert torch.equal(student["target"][name], student["net"][name])


def test_where_a_number_is_not_finite_the_agent_is_what_stands():
    world, learner = taken("dqn", VECTORS, *ON)
    learn(learner, world, 16)
    before = named(learner.parts["q"])
    state(learner)["students"]["q"]["net"]["head.value.weight"].fill_(float("nan"))
    with pytest.raises(NotFinite):
        learner.chain.after_update()
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


@pytest.mark.parametrize(
    ("name", "flags"), [("dqn", ["--augment-on"]), ("sac", ["--amplitude-low=0.5", "--amplitude-high=0.6"])]
)
def test_the_student_sees_what_the_agent_sees(name, flags):
    shown = {}
    for beside in ([], flags):
        world, learner = taken(name, ENVS[name], *ON, *beside)
        learn(learner, world, 16)
        seen = shown[len(beside)] = []
        losses = learner.losses
        learner.losses = lambda batch, rng, losses=losses, seen=seen: (seen.append(batch), losses(batch, rng))[1]
        learner.update()
    agents, student = shown[len(flags)]
    assert agents.obs.dtype == student.obs.dtype == torch.float32
    for batch in (agents, student):
        assert not any(torch.equal(batch.obs, plain.obs) for plain in shown[0])
    if name == "sac":
        size = [
            batch.obs.abs().mean() / plain.obs.abs().mean() for batch, plain in zip(shown[2], shown[0], strict=True)
        ]
        assert all(0.5 < x < 0.6 for x in size[1:])


@pytest.mark.parametrize("kind", [m for m in METHODS.values() if m.before_update is not Intervention.before_update])
def test_what_changes_a_minibatch_and_nothing_else_keeps_no_state(kind):
    """As the student's minibatches pass it, too."""
    assert kind.reach is Reach.LEARNING or kind.init is Intervention.init


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--generations-every=3:episodes"], "in steps or updates"),
        (["--generations-every=20:updates", "--generations-updates=21"], "do not fit"),
        (["--generations-every=100,120", "--generations-updates=11", "--replay-ratio=0.5"], "do not fit"),
        (["--generations-every=20:updates", "--generations-updates=0"], "at least 1"),
    ],
)
def test_what_has_no_meaning_is_refused_with_a_sentence(flags, word):
    with pytest.raises(ValueError, match=word):
        build(AGENTS["dqn"][0], parsed("dqn", f"--env={VECTORS}", "--preset=none", *small("dqn"), *flags))


def test_no_student_begins_where_none_will_take_over():
    for every in ("20:updates..40", "10,20:updates"):
        _, learner = taken("dqn", VECTORS, f"--generations-every={every}", "--generations-updates=5")
        left = []
        for updates in (18, 20, 38):
            learner.clock["updates"] = updates
            left.append(learner.chain.links[0].method.left(learner.chain.links[0].subject))
        assert left == [3, math.inf, math.inf]


def test_a_period_in_steps_counts_by_the_replay_ratio():
    _, learner = taken("dqn", VECTORS, "--generations-every=100", "--generations-updates=10")
    method, subject = learner.chain.links[0].method, learner.chain.links[0].subject
    learner.clock["steps"] = 80
    assert method.left(subject) == 10.0  # 20 steps at a ratio of a half
    assert method.generations_every == period("100")
