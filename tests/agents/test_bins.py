"""Bins of the classifier and of DQN: their edges, and values that lie evenly in symlog (algorithms B.16)."""

import math

import pytest
import torch

from agents.build import build
from agents.classifier import Classifier, ClassifierConfig
from agents.flags import parse
from agents.losses import hl_gauss, spread, support, symexp, symlog, two_hot
from tests.agents.tiny import agent, batch
from tests.interventions import small

LINE = "--env=labels:generated --preset=none --hidden 16 --batch-size=10 --images=40 --task-every=12 --lr=1e-2"


def classifier(*flags):
    return build(Classifier, parse("classifier", ClassifierConfig, [*LINE.split(), *flags]))[1]


def test_symlog_by_hand_and_symexp_is_its_inverse():
    e = math.e
    x = torch.tensor([-(e**2) + 1, 1 - e, 0.0, e - 1, 1e6], dtype=torch.float64)
    assert symlog(x).tolist() == pytest.approx([-2, -1, 0, 1, math.log(1e6 + 1)], abs=1e-12)
    torch.testing.assert_close(symexp(symlog(x)), x)
    torch.testing.assert_close(symlog(symexp(x[:4])), x[:4])


def test_bins_of_symlog_lie_evenly_there_from_end_to_end():
    bins = support(1 - math.e, math.e**3 - 1, 5, "two_hot_symlog")
    assert bins.tolist() == pytest.approx([-1, 0, 1, 2, 3], abs=1e-6)


def test_two_hot_of_symlog_has_its_symlog_as_its_mean_and_at_most_two_bins():
    bins = support(-1000, 1000, 51, "two_hot_symlog")
    value = torch.tensor([-1e6, -1000.0, -3.0, 0.0, 0.2, 12.0, 999.0, 1e6])
    p = spread(value, bins, "two_hot_symlog", 0.75)
    torch.testing.assert_close(p @ bins, symlog(value.clamp(-1000, 1000)), rtol=1e-4, atol=1e-4)
    assert ((p > 1e-6).sum(1) <= 2).all()


def test_a_spread_is_that_of_its_kind():
    value, bins = torch.tensor([0.3, -0.6]), support(-1, 1, 5, "hl_gauss")
    assert torch.equal(spread(value, bins, "hl_gauss", 0.5), hl_gauss(value, bins, 0.5))
    assert torch.equal(spread(value, bins, "two_hot", 0.5), two_hot(value, bins))


def test_the_outer_edges_of_the_classifiers_bins_are_the_range_of_its_numbers():
    """Four bins on [-3, 3]: of hl_gauss they are 1.5 wide and end there; those of two_hot stand on the ends."""
    flags = ("--target-scale", "1", "3", "--bins=4")
    assert classifier("--loss=hl_gauss", *flags).bins.tolist() == pytest.approx([-2.25, -0.75, 0.75, 2.25])
    assert classifier("--loss=two_hot", *flags).bins.tolist() == pytest.approx([-3, -1, 1, 3])
    assert classifier("--loss=two_hot_symlog", *flags, "--bins=5").bins.tolist() == pytest.approx(
        [-math.log(4), -math.log(2), 0, math.log(2), math.log(4)]
    )


def test_the_classifier_learns_from_the_mass_between_its_edges():
    learner = classifier("--loss=hl_gauss", "--bins=4")
    outputs = torch.tensor([[0.3, -0.2, 0.7, 0.1]])
    goal = hl_gauss(torch.tensor([1.0]), torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    expected = -(goal * outputs.log_softmax(1)).sum()
    torch.testing.assert_close(learner.error(outputs, torch.tensor([9])), expected)


@pytest.mark.parametrize("loss", ["hl_gauss", "two_hot", "two_hot_symlog"])
def test_a_network_that_shows_the_goals_predicts_the_classes(loss):
    learner, label = classifier(f"--loss={loss}", "--target-scale=5"), torch.arange(10)
    outputs = (spread(learner.number(label), learner.bins, loss, 0.75) + 1e-12).log()
    assert torch.equal(learner.predicted(outputs), label)


def test_q_over_symlog_is_the_symexp_of_the_mean_and_the_goal_a_value():
    """Three bins at -log 4, 0 and log 4 of symlog; even logits are worth 0, (0, 1/2, 1/2) symexp(log 2) = 1."""
    learner = agent(loss="two_hot_symlog", bins=3, value_range=(-3.0, 3.0))[1]
    assert learner.goal.output.support.tolist() == pytest.approx([-math.log(4), 0, math.log(4)])
    outputs = torch.tensor([[[0.0, 0.0, 0.0], [-50.0, 0.0, 0.0]]])
    torch.testing.assert_close(learner.goal.values(outputs), torch.tensor([[0.0, 1.0]]))
    loss, td = learner.goal.errors(outputs, torch.tensor([1]), torch.tensor([3.0]))
    assert td.item() == pytest.approx(3 - 1)
    assert loss.item() == pytest.approx(math.log(2))
    following = torch.tensor([[[0.0, 0.0, 0.0], [-50.0, -50.0, 0.0]]])  # the second action is worth 3
    example = batch(torch.eye(5)[:1], torch.tensor([0]), [0.5], [0.5], torch.eye(5)[:1])
    assert learner.goal.of(example, following, learner.goal.values(following)).item() == pytest.approx(0.5 + 0.5 * 3)


def test_dqn_learns_values_of_four_decades_over_symlog():
    learner = agent(loss="two_hot_symlog", bins=41, value_range=(-1e4, 1e4), optim={"lr": 3e-2})[1]
    goal = [-5000.0, -10.0, 0.5, 70.0, 3000.0]
    example = batch(torch.eye(5), torch.tensor([0, 1, 0, 1, 0]), goal, [0.0] * 5, torch.eye(5))
    for _ in range(100):
        (loss,) = learner.losses(example, learner.loss_rng)
        learner.step(loss, loss.value, example)
    q = learner.goal.values(learner.parts["q"].net(torch.eye(5))).gather(1, example.action[:, None])[:, 0]
    torch.testing.assert_close(q, torch.tensor(goal), rtol=0.1, atol=0.1)


def test_the_policy_over_symlog_is_that_of_its_values():
    output = agent(loss="two_hot_symlog", bins=3, value_range=(-3.0, 3.0))[1].goal.output
    student, teacher = torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    p, q = (symexp(x.softmax(2) @ output.support).softmax(1) for x in (teacher, student))
    torch.testing.assert_close(output.imitation(student, teacher), (p * (p / q).log()).sum(1))


def test_an_agent_over_symlog_runs_and_answers_numbers():
    learner = small.agent(small.VECTORS, "--loss=two_hot_symlog", "--double", "--head=dueling", updates=5)
    subject = small.states(learner)
    assert learner.goal.values(small.outputs(learner, subject)).isfinite().all()
