"""The supervised learner and its world: losses by hand, what a task's row says, and the switch from task to task."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.build import build
from agents.classifier import Classifier, ClassifierConfig
from agents.flags import parse
from agents.losses import cross_entropy, hl_gauss, two_hot
from agents.main import run
from runs.record import rows

LINE = "--env=labels:generated --preset=none --hidden 16 --batch-size=10 --images=40 --task-every=12 --lr=1e-2"
SHORT = "--save-every=never --eval-every=never --probe-every=never --record-every=6"


def made(*flags):
    return build(Classifier, parse("classifier", ClassifierConfig, [*LINE.split(), *flags]))


def along(steps, *flags):
    """(world, learner) after so many minibatches."""
    world, learner = made(*flags)
    world.begin()
    for _ in world.loop(learner):
        if learner.clock["steps"] >= steps:
            return world, learner
        while learner.owed() > 0:
            learner.update()


def recorded(path, *flags):
    assert run(Classifier, ClassifierConfig, [*LINE.split(), *SHORT.split(), f"--out={path}", *flags]) == 0
    return list(rows(path))


# ---- targets


def test_two_hot_puts_the_weight_on_the_two_bins_beside_a_number():
    bins = torch.tensor([-1.0, 0.0, 1.0])
    expected = [[0, 0.75, 0.25], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert two_hot(torch.tensor([0.25, -1.0, 0.0, 7.0]), bins).tolist() == expected


def test_hl_gauss_is_the_mass_of_a_gaussian_in_each_bin():
    """sigma = .75 bin widths around 0: the middle bin holds Phi(.5/.75) - Phi(-.5/.75) before it is normalised."""
    p = hl_gauss(torch.tensor([0.0]), torch.tensor([-1.0, 0.0, 1.0]))[0]
    phi = lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2)))
    middle, side = phi(0.5 / 0.75) - phi(-0.5 / 0.75), phi(1.5 / 0.75) - phi(0.5 / 0.75)
    assert p.tolist() == pytest.approx(
        [side / (middle + 2 * side), middle / (middle + 2 * side), side / (middle + 2 * side)]
    )
    assert p.sum() == pytest.approx(1)


def test_the_mean_of_a_distribution_over_fine_bins_is_the_number():
    bins, value = torch.linspace(-1, 1, 101), torch.tensor([-0.9, 0.013, 0.5])
    assert (two_hot(value, bins) @ bins).tolist() == pytest.approx(value.tolist(), abs=1e-5)
    assert (hl_gauss(value, bins) @ bins).tolist() == pytest.approx(value.tolist(), abs=1e-3)


def test_cross_entropy_with_a_distribution_is_minus_sum_p_log_q():
    logits, goal = torch.log(torch.tensor([[0.2, 0.3, 0.5]])), torch.tensor([[0.5, 0.5, 0.0]])
    assert cross_entropy(logits, goal).item() == pytest.approx(-0.5 * math.log(0.2) - 0.5 * math.log(0.3))


# ---- losses


def value_of(learner):
    batch = learner.sample()
    (loss,) = learner.losses(batch, learner.generator(0))
    return loss, batch, learner.parts["net"].net(batch.obs)


def test_cross_entropy_is_torchs():
    loss, batch, outputs = value_of(made()[1])
    assert loss.value.item() == pytest.approx(F.cross_entropy(outputs, batch.action).item())
    assert loss.metrics["accuracy"].item() == pytest.approx((outputs.argmax(1) == batch.action).float().mean().item())


def test_a_class_is_a_number_between_minus_and_plus_the_scale():
    learner = made("--loss=mse", "--target-scale=3")[1]
    assert learner.number(torch.arange(10)).tolist() == pytest.approx([3 * (2 * k / 9 - 1) for k in range(10)])
    loss, batch, outputs = value_of(learner)
    assert outputs.shape == (10, 1)
    assert loss.value.item() == pytest.approx((learner.number(batch.action) - outputs[:, 0]).pow(2).mean().item())


def test_a_ladder_of_scales_has_a_rung_for_each_task_and_the_last_one_stays():
    learner = made("--loss=mse", "--target-scale", "1", "10", "100")[1]
    tops = []
    for task in range(5):
        learner.clock["tasks"] = task
        tops.append(learner.number(torch.tensor([9])).item())
    assert tops == [1, 10, 100, 100, 100]


def test_a_ladder_climbs_at_the_switch_of_the_task_and_predictions_follow():
    _, learner = along(30, "--loss=mse", "--target-scale", "1", "10")
    assert (learner.clock["tasks"], learner.scale) == (2, 10)
    label = torch.arange(10)
    assert torch.equal(learner.predicted(learner.number(label)[:, None]), label)


def test_the_bins_of_a_ladder_cover_its_highest_rung_on_every_rung():
    learner = made("--loss=two_hot", "--target-scale", "1", "10", "--bins=21")[1]
    assert learner.bins.tolist() == pytest.approx(list(range(-10, 11)))
    assert two_hot(learner.number(torch.tensor([9])), learner.bins)[0].argmax() == 11  # the number 1


def test_a_ladder_of_one_rung_is_a_scale():
    ends = []
    for scale in (["--target-scale=3"], ["--target-scale", "3", "3"]):
        learner = along(30, "--loss=hl_gauss", *scale)[1]
        ends.append(torch.cat([p.detach().flatten() for p in learner.parts["net"].net.parameters()]))
    assert torch.equal(*ends)


@pytest.mark.parametrize("loss", ["mse", "hl_gauss", "two_hot"])
def test_the_class_nearest_to_the_number_is_predicted(loss):
    learner = made(f"--loss={loss}", "--target-scale=2")[1]
    label = torch.arange(10)
    number = learner.number(label)
    sharp = {
        "mse": number[:, None],
        "hl_gauss": hl_gauss(number, learner.bins),
        "two_hot": two_hot(number, learner.bins),
    }
    outputs = sharp[loss] if loss == "mse" else (sharp[loss] + 1e-9).log()
    assert torch.equal(learner.predicted(outputs), label)


def test_regression_to_numbers_has_no_accuracy():
    learner = made("--env=drift:bits", "--loss=mse", "--images=200")[1]
    loss, batch, outputs = value_of(learner)
    assert "accuracy" not in loss.metrics
    assert loss.value.item() == pytest.approx((batch.action - outputs[:, 0]).pow(2).mean().item())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--target-scale=2"], "target_scale does nothing with loss cross_entropy; it is for mse, hl_gauss, two_hot"),
        (["--loss=mse", "--target-scale", "1", "0"], "target_scale is (1.0, 0.0), but must be numbers above 0"),
        (["--loss=mse", "--bins=7"], "bins does nothing with loss mse; it is for hl_gauss, two_hot"),
        (["--loss=two_hot", "--sigma=1"], "sigma does nothing with loss two_hot; it is for hl_gauss"),
        (["--env=drift:bits"], "loss cross_entropy needs classes; drift:bits has numbers"),
        (["--env=CartPole-v1"], "no stream 'CartPole-v1'"),
        (["--num-envs=2"], "num_envs 2 is for environments"),
        (["--task-every=10,20"], "a stream of labelled data knows one task flag"),
        (["--task-replay=keep"], "a stream of labelled data knows one task flag"),
        (["--capacity=100"], "nrecognized"),
    ],
)
def test_what_does_nothing_is_refused_in_a_sentence(flags, sentence, capsys, tmp_path):
    assert run(Classifier, ClassifierConfig, [*LINE.split(), *flags, f"--out={tmp_path}/run"]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_an_agent_of_environments_refuses_a_stream(capsys, tmp_path):
    from agents.dqn import DQN, DQNConfig

    assert run(DQN, DQNConfig, ["--env=labels:mnist", f"--out={tmp_path}/run"]) == 2
    assert "agents.classifier" in capsys.readouterr().err


# ---- the world of tasks


def test_a_step_is_one_minibatch_and_every_one_is_trained_on():
    world, learner = along(30)
    assert learner.clock["updates"] == learner.clock["steps"] == 30
    assert (learner.clock["tasks"], world.data.task, world.data.step) == (2, 2, 6)


def test_a_task_switch_is_a_tick_of_the_clock_for_any_intervention():
    world, learner = made("--reset-every=1:tasks")
    world.begin()
    fired = []
    for _ in world.loop(learner):
        learner.chain.tick()
        fired += [e["step"] for e in learner.chain.drain()]
        if learner.clock["steps"] >= 30:
            break
        learner.update()
    assert fired == [12, 24]


def test_each_task_has_a_row_of_areas_and_an_examination_at_its_end(tmp_path):
    found = recorded(tmp_path, "--steps=36")
    tasks = [row for row in found if "task/number" in row]
    assert [(row["step"], row["task/number"]) for row in tasks] == [(12, 0), (24, 1), (36, 2)]
    pieces = [row for row in found if "accuracy" in row]
    for i, row in enumerate(tasks):
        halves = pieces[2 * i : 2 * i + 2]  # records of 6 updates each
        for tag in ("accuracy", "loss/net"):
            assert row[f"task/{tag}"] == pytest.approx(sum(half[tag] for half in halves) / 2)
        assert 0 <= row["task/final/accuracy/train"] <= 1


def test_the_examination_is_over_all_examples_of_the_task():
    world, learner = along(5)
    x, y = world.data.train
    outputs = learner.parts["net"].net(x)
    row = world.examine(learner)
    assert row["accuracy/train"] == pytest.approx((outputs.argmax(1) == y).float().mean().item())
    assert row["loss/net/train"] == pytest.approx(F.cross_entropy(outputs, y).item(), rel=1e-5)


def test_updates_to_95_percent_are_counted_in_epochs_of_the_task(tmp_path):
    found = recorded(tmp_path, "--steps=400", "--task-every=400", "--hidden", "64", "--lr=3e-3")
    (row,) = [row for row in found if "task/number" in row]
    assert row["task/to_95"] % 4 == 0  # 40 images, minibatches of 10
    assert 4 < row["task/to_95"] < 400
    assert row["task/final/accuracy/train"] == 1


def test_a_task_that_is_not_learned_says_so(tmp_path):
    found = recorded(tmp_path, "--steps=12", "--lr=1e-6")
    assert [math.isnan(row["task/to_95"]) for row in found if "task/number" in row] == [True]


def test_a_task_ends_early_where_its_accuracy_is_good_enough(tmp_path):
    flags = ("--steps=400", "--task-every=400", "--hidden", "64", "--lr=3e-3", "--task-until=0.95")
    ends = [row["step"] for row in recorded(tmp_path, *flags) if "task/number" in row]
    assert len(ends) > 1
    assert all(end % 4 == 0 for end in ends)


def test_a_test_set_is_examined_where_there_is_one(tmp_path):
    found = recorded(tmp_path, "--env=warm:generated", "--steps=12")
    (row,) = [row for row in found if "task/number" in row]
    assert {"task/final/accuracy/train", "task/final/accuracy/test"} <= row.keys()


def test_a_fresh_network_learns_each_random_labelling_alike():
    """Chance right after a switch is near 10 %."""
    world, learner = along(60, "--task-every=60", "--images=1000", "--hidden", "64")
    assert world.data.step == 0
    assert world.examine(learner)["accuracy/train"] == pytest.approx(0.1, abs=0.05)


def test_predictions_for_observations_are_what_it_acts():
    world, learner = along(3)
    x = world.data.train[0][:4].numpy()
    now = type("Now", (), {"observation": x})
    assert (
        learner.act(now, np.random.default_rng(0)).tolist()
        == learner.parts["net"].net(torch.tensor(x)).argmax(1).tolist()
    )
