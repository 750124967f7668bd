"""Another run as a teacher: its weights, its score, its replay; and what cannot be one."""

import json
import shutil
from dataclasses import replace
from math import isnan
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from agents.teacher import read, scored
from runs.checkpoint import load
from runs.rng import stream
from tests.laws.members import past, taken, trained

ENV = "CartPole-v1"


def learner(*flags, name="dqn", env=ENV):
    return taken(name, env, *flags)[1]


def copied(name="dqn", env=ENV):
    """The directory of a run that a test may spoil."""
    return Path(shutil.copytree(past(name, env), Path(mkdtemp(prefix="past-")) / "run"))


def test_its_weights_are_those_of_the_last_checkpoint():
    made, state = learner(), load(past("dqn", ENV)).state["agent"]["parts"]["q"]["net"]
    teacher = read(str(past("dqn", ENV)), made)
    assert teacher.weights["q"].keys() == dict(made.parts["q"].net.state_dict()).keys()
    assert all(torch.equal(x, state[n]) for n, x in teacher.weights["q"].items())


def test_its_score_is_the_last_evaluation_and_human_normalised_where_it_has_that(tmp_path):
    lines = [{"step": 1, "return/eval": 3.0}, {"step": 2, "loss/q": 1.0}, {"step": 3, "return/eval": 5.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    assert scored(tmp_path) == ("return/eval", 5.0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4, "return/eval": 7.0, "hns/eval": 0.25}) + "\n")
    assert scored(tmp_path) == ("hns/eval", 0.25)


def test_a_run_without_an_evaluation_has_no_score(tmp_path):
    tag, score = scored(tmp_path)
    assert tag == "return/eval"
    assert isnan(score)


def test_a_batch_is_of_its_replay_with_our_n_and_lies_in_no_replay_of_ours(tmp_path):
    trained("dqn", tmp_path / "run", ENV, 60)
    made = learner("--n-step=1", "--gamma=0.5")
    teacher = read(str(tmp_path / "run"), made)
    batch = teacher.batch(200, made.view(stream(0, "test")))
    ring = teacher.replay.ring
    rows = {tuple(x) for x in ring.frame[: ring.stop * ring.num_envs].tolist()}
    assert {tuple(x) for x in batch.obs.tolist()} <= rows
    assert len({tuple(x) for x in batch.obs.tolist()}) > 20
    assert set(batch.discount.tolist()) <= {0.0, 0.5}
    assert len(batch.obs) == 200
    assert len(batch.index) == 0
    assert len(made.replay) == 0


def test_it_is_read_once_and_its_replay_only_when_asked():
    made = learner()
    view = made.view(stream(0, "test"))
    teacher = view.teacher(str(past("dqn", ENV)))
    assert made.view(stream(1, "test")).teacher(str(past("dqn", ENV))) is teacher
    assert teacher.replay is None
    assert len(teacher.batch(0, view).obs) == made.learn.batch_size
    first = teacher.replay
    teacher.batch(0, view)
    assert teacher.replay is first


def test_a_directory_without_a_checkpoint_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="holds no checkpoint; name the directory"):
            read(str(path), learner())


def test_another_network_is_refused_by_the_first_tensor_that_differs():
    with pytest.raises(ValueError, match=r"another network: q\.head\.value\.weight is \[2, 24\] in it, \[2, 8\] here"):
        read(str(past("dqn", ENV)), learner("--hidden=32"))
    with pytest.raises(ValueError, match=r"q\.head\.advantage\.bias is not there in it"):
        read(str(past("dqn", ENV)), learner("--head=dueling"))


@pytest.mark.parametrize(
    "method",
    ["--popart-rate=3e-4", "--infer-weight=0.1", "--specnorm-scale=1", "--injection-every=9", "--parseval-weight=1e-3"],
)
def test_a_network_with_something_added_names_the_methods_that_add(method):
    flags = [method, *(["--parseval-diagonal"] if "parseval" in method else [])]
    mend = "the same of infer, injection, parseval, popart, specnorm, which add to a network, or leave these out"
    with pytest.raises(ValueError, match=rf"is not there in it, .* here; .*{mend} of both"):
        read(str(past("dqn", ENV)), learner(*flags))


def test_a_width_is_no_matter_of_methods():
    with pytest.raises(ValueError, match=r"\[2, 8\] here; train the teacher with the same network flags$"):
        read(str(past("dqn", ENV)), learner("--hidden=32"))


def test_another_agent_is_refused():
    with pytest.raises(ValueError, match="is a run of dqn, this is sac"):
        read(str(past("dqn", ENV)), learner(name="sac", env="toy:reach"))


def of(env):
    """The directory of a run that says it was on this environment."""
    run = copied()
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"env": env}))
    return str(run)


@pytest.mark.parametrize("env", ["Acrobot-v1", "toy:chain,toy:chain@reward=0.5"])
def test_a_run_of_another_game_is_refused_though_its_network_is_the_same(env):
    with pytest.raises(ValueError, match=f"is a run on {env}, this is on CartPole-v1; name .* on the same game"):
        read(of(env), learner())


@pytest.mark.parametrize("env", ["CartPole-v1@reward=0.5", "Acrobot-v1,CartPole-v1"])
def test_a_run_of_the_same_game_in_a_variant_or_in_a_sequence_is_a_teacher(env):
    assert read(of(env), learner()).weights


def test_a_student_of_several_games_needs_a_teacher_who_played_them_all():
    made = learner("--task-every=30", env="CartPole-v1,CartPole-v1@reward=0.5")
    assert read(of("CartPole-v1"), made).weights
    made.spec = replace(made.spec, name="CartPole-v1,Acrobot-v1")
    with pytest.raises(ValueError, match="this is on CartPole-v1,Acrobot-v1"):
        read(of("CartPole-v1"), made)


def test_statistics_of_observations_are_refused():
    with pytest.raises(ValueError, match="leave --norm-obs out"):
        read(str(past("dqn", ENV)), learner("--norm-obs"))


def test_other_weights_have_another_digest():
    digests = {read(str(past("dqn", ENV)), learner()).digest for _ in range(2)}
    assert len(digests) == 1
    assert read(str(past("dqn", "toy:chain")), learner(env="toy:chain")).digest not in digests


def test_a_missing_config_is_refused():
    run = copied()
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match="holds no checkpoint"):
        read(str(run), learner())
