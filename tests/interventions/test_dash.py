"""Law 6: the promises of DASH (Shin et al. 2024)."""

import pytest
import torch

from interventions.dash import DASH, agreement
from nets.subject import Loss
from replay.batch import labelled
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, fire, moments, named
from tests.laws.members import learn, taken

EXAMPLES = 4  # in a minibatch of Fixed
W = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])


class Fixed:
    """A subject whose minibatches are one reward each and whose loss is the reward times the sum of w * direction."""

    def __init__(self, learner, direction, numbers):
        self.parts, self.direction, self.numbers = learner.parts, direction, iter(numbers)

    def batch(self, size=0):
        assert size == 0  # a minibatch's own size: what the learner has memory for
        zero = torch.zeros(EXAMPLES)
        return labelled(zero[:, None], zero)._replace(reward=zero + next(self.numbers))

    def losses(self, batch):
        ps = self.parts["q"].net.named_parameters()
        yield Loss("q", batch.reward.mean() * sum((p * self.direction[n]).sum() for n, p in ps))


def test_a_row_along_the_negative_gradient_stays_and_one_along_the_gradient_shrinks_to_the_floor():
    gradient = torch.stack([-2 * W[0], 5 * W[1], torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])])
    factor = agreement(gradient, W, 0.3)
    torch.testing.assert_close(factor, torch.tensor([[1.0], [0.3], [0.3], [0.5**0.5]]))
    assert torch.equal(W[1] * factor[1], W[1] * torch.tensor(0.3))
    assert factor.max() <= 1


def test_each_kernel_of_a_convolution_counts_alone_and_biases_count_together():
    w = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # [1, 2, 1, 2]
    factor = agreement(torch.tensor([[[[-1.0, 0.0]], [[0.0, 1.0]]]]), w, 0.25)
    assert torch.equal(factor, torch.tensor([[[[1.0]], [[0.25]]]]))
    biases = agreement(torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 0.0]), 0.25)
    torch.testing.assert_close(biases, torch.tensor([0.5**0.5]))


def test_the_gradient_is_a_running_mean_at_the_old_weights():
    learner = agent(VECTORS)
    gen = torch.Generator().manual_seed(0)
    direction = {n: torch.randn(p.shape, generator=gen) for n, p in named(learner.parts["q"]).items()}
    subject = Fixed(learner, direction, [1.0, 10.0, 100.0])
    means = DASH(dash_rate=0.5, dash_batches=3, dash_size=1).gradients(subject)["q"]
    for p, mean in zip(named(learner.parts["q"]), means, strict=True):
        torch.testing.assert_close(mean, (0.125 * 1 + 0.25 * 10 + 0.5 * 100) * direction[p])


@pytest.mark.parametrize(("size", "minibatches"), [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_a_gradient_is_the_mean_over_the_minibatches_that_hold_its_examples(size, minibatches):
    learner = agent(VECTORS)
    ones = {n: torch.ones_like(p) for n, p in named(learner.parts["q"]).items()}
    rewards = [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0]
    subject = Fixed(learner, ones, rewards)
    means = DASH(dash_rate=0.5, dash_batches=2, dash_size=size).gradients(subject)["q"]
    first, second = (rewards[k * minibatches : (k + 1) * minibatches] for k in range(2))
    for mean in means:
        torch.testing.assert_close(mean, torch.full_like(mean, (sum(first) / 4 + sum(second) / 2) / minibatches))


def test_by_default_a_gradient_is_of_as_many_examples_as_a_chunk_of_the_authors():
    learner = agent(VECTORS, updates=1)
    subject = Fixed(learner, named(learner.parts["q"]), [1.0] * 1000)
    DASH(dash_batches=2).gradients(subject)
    assert len(list(subject.numbers)) == 1000 - 2 * 1000 / EXAMPLES


@pytest.mark.parametrize("what", ["reset", "keep"])
def test_the_optimizer_forgets_all_or_keeps_all(what):
    learner = agent(VECTORS)
    before = moments(learner.parts["q"])
    fire(DASH(dash_size=1, dash_optimizer=what), learner)
    for n, row in moments(learner.parts["q"]).items():
        assert any(x.any() for x in before[n].values())
        for slot, x in row.items():
            assert torch.equal(x, before[n][slot] if what == "keep" else torch.zeros_like(x))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_weights_that_the_loss_wants_grown_stay_and_others_shrink(sign):
    learner = agent(VECTORS)
    before = named(learner.parts["q"])
    subject = Fixed(learner, before, [sign])
    DASH(dash_batches=1, dash_size=1, dash_floor=0.25).apply({}, subject)
    for n, p in named(learner.parts["q"]).items():
        torch.testing.assert_close(p, before[n] if sign < 0 else 0.25 * before[n])


def test_the_loss_is_that_of_the_agent_and_nothing_else_moves():
    learner = agent(IMAGES, "--norm=layer")
    part = learner.parts["q"]
    before, rng = named(part), learner.loss_rng.get_state()
    subject = fire(DASH(dash_size=8), learner)
    assert torch.equal(rng, learner.loss_rng.get_state())
    assert all(p.grad is None or p.grad.isfinite().all() for p in part.trainable)
    for n, p in named(part).items():
        if "norm" in n.split("."):
            assert torch.equal(p, before[n])
            continue
        assert (p.abs() <= before[n].abs()).all()
        assert (p.abs() >= 0.3 * before[n].abs() - 1e-7).all()
        assert torch.equal(part.target.get_parameter(n), p)
    assert all(not x.any() for row in moments(part).values() for x in row.values())
    assert subject.clock["extra"] == 0


def test_every_part_with_units_shrinks_by_its_own_loss():
    world, learner = taken("sac", "toy:reach")
    learn(learner, world, 5)
    before = {n: named(part) for n, part in learner.parts.items()}
    report = DASH(dash_batches=2, dash_size=8).apply({}, learner.view(stream(0, "dash")))
    assert set(report) == {"factor/critic", "factor/actor"}
    assert torch.equal(learner.parts["alpha"].net.log_alpha, before["alpha"]["log_alpha"])
    for name in ("critic", "actor"):
        path = next(n for n in before[name] if n.endswith(("head.value.weight", "head.mean.weight")))
        assert not torch.equal(learner.parts[name].net.get_parameter(path), before[name][path])


def test_it_fires_when_new_data_arrive():
    world, learner = taken("classifier", "labels:generated", "--dash-every=1:tasks", "--dash-size=8")
    learn(learner, world, 65)
    assert len([row for row in learner.chain.drain() if "event/dash" in row]) == 2


def test_numbers_out_of_range_are_refused():
    method = DASH(dash_floor=1.5, dash_rate=0.0, dash_batches=0, dash_size=0)
    assert len(list(method.refuse(agent(VECTORS, updates=1).view(None)))) == 4
