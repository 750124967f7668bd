"""Law 6: kickstarting (Schmitt et al. 2018)."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from agents.build import build
from agents.main import run
from interventions.imitation import policy_gap
from nets.subject import TeacherChanged
from runs.checkpoint import load
from runs.rng import stream
from tests.laws.members import AGENTS, learn, parsed, past, same, small, taken, trained

ENVS = {"dqn": "CartPole-v1", "sac": "toy:reach", "classifier": "labels:generated"}


def kickstarted(name, *flags):
    return taken(name, ENVS[name], "--seed=5", f"--kickstart-from={past(name, ENVS[name])}", *flags)


def gap(learner, name):
    subject = learner.view(stream(3, "gap"))
    teacher = subject.teacher(str(past(name, ENVS[name])))
    part = {"dqn": "q", "sac": "actor", "classifier": "net"}[name]
    with torch.no_grad():
        return policy_gap(subject, part, subject.batch(128), teacher.weights, 1.0).item()


@pytest.mark.parametrize("name", ENVS)
def test_the_student_comes_nearer_to_the_teachers_policy_than_without(name):
    gaps = []
    for weight in (0.0, 30.0):
        world, learner = kickstarted(name, f"--kickstart-weight={weight}", "--lr=3e-3")
        learn(learner, world, 60)
        gaps.append(gap(learner, name))
    assert gaps[1] < 0.5 * gaps[0], gaps


@pytest.mark.parametrize("policy", ["ddpg", "sac"])
def test_both_policies_of_drq_can_be_taught(policy):
    flags, gaps = (f"--policy={policy}", "--lr=3e-3"), []
    lesson = past("drq", "toy:look", *flags)
    for weight in (0.0, 30.0):
        teaching = (f"--kickstart-from={lesson}", f"--kickstart-weight={weight}", "--seed=5")
        world, learner = taken("drq", "toy:look", *flags, *teaching)
        learn(learner, world, 100)
        subject = learner.view(stream(3, "gap"))
        with torch.no_grad():
            weights = subject.teacher(str(lesson)).weights
            gaps.append(policy_gap(subject, "actor", subject.batch(64), weights, 1.0).item())
    assert gaps[1] < 0.7 * gaps[0], gaps


@pytest.mark.parametrize("name", ENVS)
def test_after_the_last_step_of_the_anneal_training_is_plain_bit_for_bit(name):
    world, learner = kickstarted(name, "--kickstart-until=50")
    learn(learner, world, 12 if name != "classifier" else 50)
    learner.clock["steps"] = max(learner.clock["steps"], 50)
    _, plain = taken(name, ENVS[name], "--seed=5")
    held = learner.state_dict()
    plain.load_state_dict({**held, "chain": {"links": {}, "metrics": []}})
    for mine, log in zip(plain.replay.logs().values(), learner.replay.logs().values(), strict=True):
        mine.put_rows(log.start, log.rows(log.start, log.stop))
    for _ in range(3):
        learner.update()
        plain.update()
    assert same(*({n: part.state_dict() for n, part in x.parts.items()} for x in (learner, plain)))


def test_the_factor_falls_with_the_agents_steps():
    world, learner = kickstarted("dqn", "--kickstart-until=200", "--kickstart-weight=2")
    learn(learner, world, 3)
    batch = learner.view(stream(0, "test")).batch()
    added = {}
    for steps in (0, 100, 150, 200):
        learner.clock["steps"] = steps
        loss = next(learner.losses(batch, learner.loss_rng))
        added[steps] = (learner.chain.on_loss(loss, batch) - loss.value).item()
    assert added[0] > 1e-4
    assert added[100] == pytest.approx(added[0] / 2, rel=1e-2)
    assert added[150] == pytest.approx(added[0] / 4, rel=1e-2)
    assert added[200] == 0.0


def test_the_gradient_is_that_of_the_cross_entropy():
    world, learner = kickstarted("dqn")
    learn(learner, world, 3)
    subject = learner.view(stream(0, "test"))
    teacher, batch = subject.teacher(str(past("dqn", ENVS["dqn"]))).weights, subject.batch(16)
    part = learner.parts["q"]
    kl = policy_gap(subject, "q", batch, teacher, 0.5)
    goal = (subject.run("q", batch, teacher["q"]) / 0.5).softmax(1)
    cross = -(goal * (subject.run("q", batch) / 0.5).log_softmax(1)).sum(1).mean()
    for a, b in zip(*(torch.autograd.grad(x, part.trainable) for x in (kl, cross)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_teacher_is_not_in_the_checkpoint_but_its_digest_is(tmp_path):
    teacher = past("dqn", ENVS["dqn"])
    state, _ = trained("dqn", tmp_path / "run", ENVS["dqn"], 60, f"--kickstart-from={teacher}")
    assert state["agent"]["chain"]["links"]["kickstart"]["state"].keys() == {"digest"}


def test_a_changed_teacher_stops_a_resumed_run_with_a_sentence(tmp_path, capsys):
    teacher = Path(mkdtemp(prefix="teacher-")) / "run"
    shutil.copytree(past("dqn", ENVS["dqn"]), teacher)
    line = [f"--env={ENVS['dqn']}", "--preset=none", *small("dqn"), f"--kickstart-from={teacher}"]
    line += [f"--out={tmp_path / 'run'}"]
    assert run(*AGENTS["dqn"], [*line, "--steps=60"]) == 0
    before = load(tmp_path / "run").clock
    shutil.rmtree(teacher)
    trained("dqn", teacher, ENVS["dqn"], 70, "--seed=3")
    assert run(*AGENTS["dqn"], [*line, "--steps=90"]) == TeacherChanged.code == 2
    assert "has other weights than when this run began" in capsys.readouterr().err
    assert load(tmp_path / "run").clock == before


@pytest.mark.parametrize(
    ("name", "flags", "word"),
    [
        ("dqn", ["--kickstart-from=nowhere"], "nowhere holds no checkpoint"),
        ("dqn", ["--kickstart-temperature=0"], "above 0"),
        ("classifier", ["--loss=mse"], "no part of this agent has a policy"),
    ],
)
def test_what_has_no_meaning_is_refused_with_a_sentence(name, flags, word):
    flags = [f"--kickstart-from={past(name, ENVS[name])}", *flags]
    with pytest.raises(ValueError, match=word):
        build(AGENTS[name][0], parsed(name, f"--env={ENVS[name]}", "--preset=none", *small(name), *flags))


def test_a_run_that_is_no_teacher_ends_the_line_with_exit_2(tmp_path, capsys):
    line = [f"--env={ENVS['dqn']}", "--preset=none", *small("dqn"), "--kickstart-from=nowhere", "--steps=50"]
    assert run(*AGENTS["dqn"], [*line, f"--out={tmp_path / 'run'}"]) == 2
    assert "kickstart_from: nowhere holds no checkpoint" in capsys.readouterr().err
