"""Law 6: QDagger (Agarwal et al. 2022)."""

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from agents.build import build
from interventions import qdagger
from interventions.imitation import policy_gap
from interventions.qdagger import QDagger
from runs.rng import stream
from tests.laws.members import AGENTS, learn, parsed, past, same, small, taken, trained

ENVS = {"dqn": "CartPole-v1", "sac": "toy:reach", "drq": "toy:look"}


def teacher_of(name, score=20.0, *flags):
    """A run whose last evaluation was this good."""
    run = Path(shutil.copytree(past(name, ENVS[name], *flags), Path(mkdtemp(prefix="past-")) / "run"))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 60, "return/eval": score}) + "\n")
    return run


def dagger(name, *flags, score=20.0):
    on = (f"--qdagger-from={teacher_of(name, score)}", "--qdagger-updates=3", "--eval-every=50")
    return taken(name, ENVS[name], "--seed=5", *on, *flags)


def method(learner):
    return learner.chain.links[0]


@pytest.mark.parametrize(
    ("mine", "expected"), [(None, 1.0), (0.0, 1.0), (5.0, 0.75), (20.0, 0.0), (30.0, 0.0), (-5.0, 1.0)]
)
def test_lambda_is_one_minus_the_ratio_of_returns(mine, expected):
    _, learner = dagger("dqn")
    if mine is not None:
        learner.chain.observe({"return/eval": mine})
    link = method(learner)
    teacher = link.subject.teacher(link.method.qdagger_from)
    assert link.method.share(link.state, link.subject, teacher) == pytest.approx(expected)


def test_lambda_is_exactly_0_from_the_cut_off_on():
    _, learner = dagger("dqn", "--qdagger-until=100")
    link = method(learner)
    teacher = link.subject.teacher(link.method.qdagger_from)
    shares = {}
    for steps in (99, 100, 101):
        learner.clock["steps"] = steps
        shares[steps] = link.method.share(link.state, link.subject, teacher)
    assert shares == {99: 1.0, 100: 0.0, 101: 0.0}


def finished(learner, *returns, tag="return/train"):
    """Games that end, and the update behind each."""
    for x in returns:
        learner.clock["episodes"] += 1
        learner.chain.observe({tag: x})
        learner.update()


def share(learner):
    link = method(learner)
    return link.method.share(link.state, link.subject, link.subject.teacher(link.method.qdagger_from))


def test_by_train_lambda_is_that_of_the_mean_of_the_last_ten_games():
    world, learner = dagger("dqn", "--qdagger-score=train")
    learn(learner, world, 1)
    learner.chain.observe({"return/eval": 20.0})
    shares = []
    for x in (*[100.0] * 2, *[4.0] * 7, 6.0, *[16.0] * 2, 40.0):
        finished(learner, x)
        learner.update()
        shares.append(share(learner))
    assert shares[:9] == [1.0] * 9
    # means: (200 + 28 + 6) / 10; without a 100 and with a 16; without both; without a 4 and with a 40
    assert shares[9:] == pytest.approx([0.0, 1 - 15 / 20, 1 - 6.6 / 20, 1 - 10.2 / 20])


def test_by_train_two_games_of_one_return_are_two_games():
    world, learner = dagger("dqn", "--qdagger-score=train")
    learn(learner, world, 1)
    finished(learner, *[5.0] * 10)
    assert share(learner) == pytest.approx(0.75)


def test_by_train_returns_are_human_normalised_where_the_teachers_are():
    run = teacher_of("dqn")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 60, "return/eval": 20.0, "hns/eval": 0.5}) + "\n")
    flags = (f"--qdagger-from={run}", "--qdagger-updates=3", "--qdagger-score=train")
    world, learner = taken("dqn", ENVS["dqn"], "--seed=5", *flags)
    learn(learner, world, 1)
    finished(learner, *[0.1] * 10, tag="hns/train")
    assert share(learner) == pytest.approx(1 - 0.1 / 0.5)


def test_by_train_a_real_run_imitates_less_after_ten_games_and_resumes_with_them(tmp_path):
    flags = (f"--qdagger-from={teacher_of('dqn', 100.0)}", "--qdagger-updates=3", "--qdagger-score=train")
    state, rows = trained("dqn", tmp_path / "run", ENVS["dqn"], 600, *flags)
    returns = [row["return/train"] for row in rows if "return/train" in row]
    games = state["agent"]["chain"]["links"]["qdagger"]["state"]["games"]
    assert len(games) == 10
    assert set(games) <= set(returns)
    trained("dqn", tmp_path / "again", ENVS["dqn"], 400, *flags)
    again, _ = trained("dqn", tmp_path / "again", ENVS["dqn"], 600, *flags)
    assert again["agent"]["chain"]["links"]["qdagger"]["state"]["games"] == games


@pytest.mark.parametrize("name", ENVS)
def test_then_training_is_plain_bit_for_bit(name):
    world, learner = dagger(name, "--qdagger-until=50")
    learn(learner, world, 12)
    learner.clock["steps"] = max(learner.clock["steps"], 50)
    _, plain = taken(name, ENVS[name], "--seed=5")
    plain.load_state_dict({**learner.state_dict(), "chain": {"links": {}, "metrics": []}})
    for mine, log in zip(plain.replay.logs().values(), learner.replay.logs().values(), strict=True):
        mine.put_rows(log.start, log.rows(log.start, log.stop))
    for _ in range(3):
        learner.update()
        plain.update()
    assert same(*({n: part.state_dict() for n, part in x.parts.items()} for x in (learner, plain)))


@pytest.mark.parametrize("name", ENVS)
def test_the_offline_updates_come_once_before_the_first_online_one_on_the_teachers_replay(name, monkeypatch):
    world, learner = dagger(name)
    link, drawn = method(learner), []
    teacher = link.subject.teacher(link.method.qdagger_from)
    batch = teacher.batch
    monkeypatch.setattr(
        teacher, "batch", lambda n, subject: drawn.append(learner.clock["updates"]) or batch(n, subject)
    )
    learn(learner, world, 1)
    assert learner.clock["extra"] == 3
    assert drawn == [0, 0, 0]
    for _ in range(3):
        learner.update()
    assert learner.clock["extra"] == 3
    assert (link.state["made"], link.state["offline"]) == (3, False)


def test_in_the_offline_phase_lambda_is_1_whatever_our_return(monkeypatch):
    world, learner = dagger("dqn")
    learner.chain.observe({"return/eval": 20.0})  # lambda is 0 as soon as it is over
    asked = []
    monkeypatch.setattr(qdagger, "policy_gap", lambda *args: asked.append(learner.clock["extra"]) or policy_gap(*args))
    learn(learner, world, 3)
    assert asked == [1, 2, 3]


def test_the_loss_is_3_lambda_kl_at_a_temperature_of_a_tenth():
    world, learner = dagger("dqn")
    learn(learner, world, 3)
    learner.chain.observe({"return/eval": 10.0})  # lambda 1/2
    link = method(learner)
    batch = learner.view(stream(0, "test")).batch(16)
    loss = next(learner.losses(batch, learner.loss_rng))
    weights = link.subject.teacher(link.method.qdagger_from).weights["q"]
    p = (learner.run("q", batch, weights) / 0.1).softmax(1)
    q = (learner.run("q", batch) / 0.1).softmax(1)
    expected = 3 * 0.5 * (p * (p / q).log()).sum(1).mean()
    added = link.method.on_loss(link.state, link.subject, loss, batch) - loss.value
    torch.testing.assert_close(added, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("name", "flags"), [("sac", []), ("drq", []), ("drq", ["--policy=sac"])])
def test_only_an_actor_imitates(name, flags):
    lesson = teacher_of(name, 20.0, *flags)
    on = (f"--qdagger-from={lesson}", "--qdagger-updates=3", "--eval-every=50")
    world, learner = taken(name, ENVS[name], "--seed=5", *on, *flags)
    learn(learner, world, 3)
    link = method(learner)
    batch = learner.view(stream(0, "test")).batch(16)
    raised = {
        x.part
        for x in learner.losses(batch, learner.loss_rng)
        if link.method.on_loss(link.state, link.subject, x, batch) is not x.value
    }
    assert raised == {"actor"}


def test_targets_follow_in_the_offline_phase():
    world, learner = dagger("dqn", "--qdagger-updates=60", "--target-every=5:updates")
    learn(learner, world, 1)
    assert learner.clock["targets"] >= 12


@pytest.mark.parametrize(
    ("score", "flags", "word"),
    [
        (-3.0, [], "above 0 and it has return/eval -3"),
        (float("nan"), [], "was never evaluated"),
        (20.0, ["--qdagger-weight=-1"], "at least 0"),
        (20.0, ["--qdagger-from=nowhere"], "nowhere holds no checkpoint"),
    ],
)
def test_what_has_no_meaning_is_refused_with_a_sentence(score, flags, word):
    flags = [f"--qdagger-from={teacher_of('dqn', score)}", *flags]
    with pytest.raises(ValueError, match=word):
        build(AGENTS["dqn"][0], parsed("dqn", f"--env={ENVS['dqn']}", "--preset=none", *small("dqn"), *flags))


def test_labelled_data_are_refused():
    _, learner = taken("classifier", "labels:generated")
    (sentence,) = QDagger(qdagger_from="x").refuse(learner.view(stream(0, "test")))
    assert "neither a replay nor returns" in sentence
