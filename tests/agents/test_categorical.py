"""DQN that classifies its values: hl_gauss and two_hot (Farebrother et al. 2024; algorithms A.0.4 and B.16)."""

import math

import numpy as np
import pytest
import torch

from agents.dqn import DQNConfig
from agents.flags import parse
from interventions.imitation import distance
from runs.rng import stream
from tests.agents.tiny import agent, batch, timestep
from tests.interventions import small

KINDS = ("hl_gauss", "two_hot", "two_hot_symlog")
CELLS = np.eye(5, dtype=np.float32)


def prefer(learner, logits):
    """Make the network and its slow copy answer these logits [A, M] everywhere."""
    for net in (learner.parts["q"].net, learner.parts["q"].target):
        with torch.no_grad():
            net.head.value.weight.zero_()
            net.head.value.bias.copy_(torch.tensor(logits).flatten())
    return learner


def thirds(loss="two_hot", **options):
    """Three bins at -1, 0, 1; the first action is worth 0 (1/3 each), the second .5 (1/8, 1/4, 5/8)."""
    logits = [[0.0, 0.0, 0.0], [math.log(1 / 8), math.log(1 / 4), math.log(5 / 8)]]
    return prefer(agent(loss=loss, bins=3, value_range=(-1.0, 1.0), **options)[1], logits)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_the_network_answers_logits_of_every_bin_for_every_action(kind, head):
    learner = agent(loss=kind, bins=7, head=head)[1]
    assert learner.parts["q"].net(torch.eye(5)).shape == (5, 2, 7)
    subject = learner.view(stream(0, "x"))
    example = batch(torch.eye(5), torch.zeros(5, dtype=torch.long), [0.0] * 5, [0.0] * 5, torch.eye(5))
    assert subject.run("q", example).shape == (5, 2, 7)
    assert torch.equal(
        learner.parts["q"].output.values(subject.run("q", example)), learner.goal.values(subject.run("q", example))
    )


def test_q_is_the_mean_of_the_bins_and_the_best_is_taken():
    learner = thirds(epsilon_eval=0.0)
    q = learner.goal.values(learner.parts["q"].net(torch.eye(5)))
    torch.testing.assert_close(q, torch.tensor([[0.0, 0.5]]).expand(5, 2))
    assert learner.act(timestep(CELLS), stream(0, "x"), greedy=True).tolist() == [1] * 5


def test_the_loss_is_the_cross_entropy_of_the_action_taken_by_hand():
    """Goals .25 + .5 * .5 = .5 and -1: two_hot puts (0, .5, .5) on action 0, where q is 1/3, and (1, 0, 0) on 1."""
    learner = thirds()
    example = batch(torch.eye(5)[:2], torch.tensor([0, 1]), [0.25, -1.0], [0.5, 0.0], torch.eye(5)[2:4])
    (loss,) = learner.losses(example, learner.loss_rng)
    assert loss.value.item() == pytest.approx((math.log(3) + math.log(8)) / 2)
    assert loss.td.tolist() == pytest.approx([0.5 - 0.0, -1 - 0.5])
    assert loss.metrics["q/mean"].item() == pytest.approx(0.25)


def test_there_is_no_error_to_rescale():
    (loss,) = thirds().losses(
        batch(torch.eye(5)[:1], torch.tensor([0]), [0.0], [0.0], torch.eye(5)[:1]), torch.Generator()
    )
    assert loss.of is None
    assert loss.goal is None


def test_importance_weights_weigh_the_cross_entropies():
    learner = thirds()
    example = batch(torch.eye(5)[:2], torch.tensor([0, 1]), [0.0, -1.0], [0.0, 0.0], torch.eye(5)[2:4])
    (loss,) = learner.losses(example._replace(weight=torch.tensor([2.0, 0.0])), learner.loss_rng)
    assert loss.value.item() == pytest.approx(2 * math.log(3) / 2)


def test_double_lets_the_network_choose_by_its_values_and_the_target_pay():
    """The network prefers action 0, the slow one still says 0 for it."""
    for double, goal in ((False, 0.5), (True, 0.0)):
        learner = thirds(double=double)
        with torch.no_grad():
            learner.parts["q"].net.head.value.bias.copy_(torch.tensor([0.0, 0.0, 9.0, 9.0, 0.0, 0.0]))
        example = batch(torch.eye(5)[:1], torch.tensor([1]), [0.0], [1.0], torch.eye(5)[:1])
        (loss,) = learner.losses(example, learner.loss_rng)
        value = learner.goal.values(learner.parts["q"].net(torch.eye(5)[:1]))[0, 1]
        assert loss.td.item() == pytest.approx(goal - value.item(), abs=1e-6)


def test_goals_beyond_the_range_are_cut_off():
    learner = thirds()
    example = batch(torch.eye(5)[:1], torch.tensor([0]), [7.0], [0.0], torch.eye(5)[:1])
    (loss,) = learner.losses(example, learner.loss_rng)
    assert loss.value.item() == pytest.approx(math.log(3))


@pytest.mark.parametrize(("kind", "bins"), [("two_hot", [-1, 0, 1]), ("hl_gauss", [-2 / 3, 0, 2 / 3])])
def test_the_bins_cover_the_range_and_not_more(kind, bins):
    assert agent(loss=kind, bins=3, value_range=(-1.0, 1.0))[1].goal.output.support.tolist() == pytest.approx(bins)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_logits_of_the_action_taken_have_a_gradient(kind):
    learner = agent(loss=kind, bins=5)[1]
    example = batch(torch.eye(5)[:2], torch.tensor([1, 1]), [1.0, 2.0], [0.0, 0.0], torch.eye(5)[:2])
    (loss,) = learner.losses(example, learner.loss_rng)
    head = learner.parts["q"].net.head.value
    (grad,) = torch.autograd.grad(loss.value, head.bias)
    assert not grad[:5].any()
    assert grad[5:].all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_the_value_of_a_state(kind):
    """60 updates onto a goal of 1.7 in every state."""
    learner = agent(loss=kind, bins=21, value_range=(-3.0, 3.0), optim={"lr": 3e-2})[1]
    example = batch(torch.eye(5), torch.tensor([0, 1, 0, 1, 0]), [1.7] * 5, [0.0] * 5, torch.eye(5))
    for _ in range(60):
        (loss,) = learner.losses(example, learner.loss_rng)
        learner.step(loss, loss.value, example)
    q = learner.goal.values(learner.parts["q"].net(torch.eye(5))).gather(1, example.action[:, None])
    assert q.flatten().tolist() == pytest.approx([1.7] * 5, abs=0.05)


LOGS = math.log(1 / 2), math.log(1 / 4), math.log(1 / 4)


@pytest.mark.parametrize(
    ("kind", "teacher", "student", "expected"),
    [
        # KL((1/2, 1/4, 1/4) || (1/3, 1/3, 1/3)) = 1/2 ln 3/2 + 1/2 ln 3/4 = 1/2 ln 9/8 of one action, 0 of the other
        ("c51", [LOGS, LOGS], [[0.0] * 3, LOGS], math.log(9 / 8) / 4),
        ("two_hot", [LOGS, LOGS], [[0.0] * 3, LOGS], math.log(9 / 8) / 4),
        ("quantile", [[0.0, 2.0, 2.0], [3.0, 0.0, 1.0]], [[1.0, 2.0, 2.0], [3.0, 4.0, 0.0]], (1 + 16 + 1) / 6),
    ],
)
def test_distillation_is_averaged_over_actions_and_states(kind, teacher, student, expected):
    learner = prefer(agent(loss=kind, bins=3)[1], teacher)
    lesson = {"q": learner.parts["q"].weights()}
    prefer(learner, student)
    example = batch(torch.eye(5), torch.zeros(5, dtype=torch.long), [0.0] * 5, [0.0] * 5, torch.eye(5))
    gap = distance(learner.view(stream(0, "x")), "q", example, lesson)
    assert gap.item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_on_images_and_vectors(kind):
    for env in (small.IMAGES, small.VECTORS):
        learner = small.agent(env, f"--loss={kind}", "--double", "--head=dueling", updates=5)
        assert all(bool(p.isfinite().all()) for p in learner.parts["q"].net.parameters())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--bins=7"], "bins does nothing with loss huber; it is for hl_gauss, two_hot"),
        (["--loss=mse", "--value-range", "-1", "1"], "value_range does nothing with loss mse"),
        (["--loss=two_hot", "--sigma=1"], "sigma does nothing with loss two_hot; it is for hl_gauss"),
        (["--loss=two_hot", "--bins=1"], "bins is 1, but must be at least 2"),
        (["--loss=two_hot", "--value-range", "1", "-1"], "value_range is (1.0, -1.0), but must be"),
        (["--loss=hl_gauss", "--sigma=0"], "sigma is 0.0, but must be above 0"),
    ],
)
def test_what_does_nothing_or_cannot_be_is_refused_in_a_sentence(flags, sentence):
    problems = parse("dqn", DQNConfig, ["--env=toy:chain", "--preset=none", *flags]).config.problems()
    assert any(sentence in problem for problem in problems), problems
