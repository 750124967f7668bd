"""Sequences of tasks in a run: visits are recorded, the replay is emptied or kept, and resume crosses the switch."""

import numpy as np
import pytest

from agents.build import build
from agents.dqn import DQN, DQNConfig
from agents.flags import parse
from agents.main import run
from runs import pack
from runs.checkpoint import load
from runs.record import rows

LINE = "--env=toy:chain,toy:chain@reward=10 --task-every=100 --preset=none --hidden 8 --batch-size=8 --capacity=500"
MORE = (
    "--warmup=30 --record-every=20 --eval-every=never --probe-every=never --save-every=never --lr=1e-3 --target-every=7"
)
FLAGS = [*LINE.split(), *MORE.split()]


def followed(steps, *flags):
    """(step, tasks, updates, transitions kept) along the loop."""
    world, learner = build(DQN, parse("dqn", DQNConfig, [*FLAGS, *flags]))
    world.begin()
    found = []
    for _ in world.loop(learner):
        learner.chain.tick()
        while learner.owed() > 0:
            learner.update()
        found.append((learner.clock["steps"], learner.clock["tasks"], learner.clock["updates"], len(learner.replay)))
        if learner.clock["steps"] >= steps:
            return found, learner


def test_a_switch_is_counted_and_empties_the_replay():
    found, _ = followed(250)
    first = {tasks: step for step, tasks, _, _ in reversed(found)}
    assert first == {0: 1, 1: 100, 2: 200}
    assert [kept for _, tasks, _, kept in found if tasks == 1][1] == 1


def test_the_warmup_begins_again_where_the_replay_was_emptied():
    found, _ = followed(200)
    updates = {step: n for step, _, n, _ in found}
    assert updates[100] == (100 - 30) // 4
    assert updates[130] == updates[100]
    assert updates[134] == updates[100] + 1


def test_a_replay_that_is_kept_goes_on_as_if_nothing_had_happened():
    found, _ = followed(200, "--task-replay=keep")
    updates = {step: n for step, _, n, _ in found}
    assert updates[200] == (200 - 30) // 4
    kept = [n for *_, n in found]
    assert kept == sorted(kept)


def test_rewards_are_scaled_and_scores_are_not(tmp_path):
    assert run(DQN, DQNConfig, [*FLAGS, "--steps=400", "--epsilon-final=1", f"--out={tmp_path}"]) == 0
    scores = {row["return/train"] for row in rows(tmp_path) if "return/train" in row}
    assert scores == {0.0, 1.0}
    _, learner = followed(190, "--epsilon-final=1")
    ring = learner.replay.ring
    assert set(np.unique(ring.reward[ring.slots(learner.replay.ring.transitions() + 1)])) == {0.0, 10.0}


def test_a_visit_leaves_a_row_of_its_mean_score_and_the_last_one_is_closed_by_the_end(tmp_path):
    assert run(DQN, DQNConfig, [*FLAGS, "--steps=250", f"--out={tmp_path}"]) == 0
    found = list(rows(tmp_path))
    visits = [row for row in found if "visit/number" in row]
    assert [(row["step"], row["visit/number"]) for row in visits] == [(100, 0), (200, 1), (250, 2)]
    for row, low in zip(visits, (0, 100, 200), strict=True):
        scores = [r["return/train"] for r in found if "return/train" in r and low < r["step"] <= row["step"]]
        name = ("toy:chain", "toy:chain@reward=10.0", "toy:chain")[int(row["visit/number"])]
        tag = next(tag for tag in row if tag.startswith("return/visit/"))
        assert tag.startswith(f"return/visit/{name.partition('@')[0]}")
        assert row["visit/games"] == len(scores)
        assert row[tag] == pytest.approx(np.mean(scores))


def test_a_single_task_has_no_visits(tmp_path):
    line = [flag for flag in FLAGS if not flag.startswith(("--env", "--task-every"))]
    assert run(DQN, DQNConfig, [*line, "--env=toy:chain", "--steps=60", f"--out={tmp_path}"]) == 0
    assert not [row for row in rows(tmp_path) if "visit/number" in row]


@pytest.mark.parametrize("num_envs", [1, 3])
def test_resume_is_exact_across_a_switch(tmp_path, num_envs):
    flags = [*FLAGS, f"--num-envs={num_envs}", "--optreset-every=1:tasks", "--eval-every=90", "--eval-episodes=2"]
    for out, stops in (("straight", [330]), ("parts", [95, 101, 199, 201, 330])):
        for stop in stops:
            assert run(DQN, DQNConfig, [*flags, f"--steps={stop}", f"--out={tmp_path / out}"]) == 0
    ends = [load(tmp_path / out) for out in ("straight", "parts")]
    assert ends[0].digest == ends[1].digest
    found = [
        [{k: v for k, v in r.items() if "speed" not in k} for r in rows(tmp_path / out)]
        for out in ("straight", "parts")
    ]
    assert found[0] == found[1]
    assert sum("event/optreset" in row for row in found[0]) == 3
    assert pack.digest({"x": ends[0].state["world"]}) == pack.digest({"x": ends[1].state["world"]})


class Asked(Exception):
    pass


def test_an_evaluation_plays_the_task_that_is_visited(monkeypatch):
    def examination(*args):
        raise Asked(args)

    monkeypatch.setattr("agents.arena.examination", examination)
    world, learner = build(DQN, parse("dqn", DQNConfig, FLAGS))
    world.begin()
    for _ in world.loop(learner):
        if learner.clock["tasks"] == 1:
            break
    with pytest.raises(Asked) as asked:
        world.evaluate(learner, bool)
    assert asked.value.args[0][:3] == (world.run.env, 1, 10)
