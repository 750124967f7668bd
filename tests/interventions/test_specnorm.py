"""Law 6: the promises of spectral normalisation (Gogianu et al. 2021)."""

import pytest
import torch

from agents.build import build
from interventions.specnorm import Lens, SpecNorm
from nets.part import Part
from tests.interventions.small import IMAGES, VECTORS, named, states
from tests.laws.members import AGENTS, learn, parsed, small, taken


def agent(name="dqn", env=VECTORS, *flags, updates=12):
    world, made = taken(name, env, "--specnorm-scale=1", *flags)
    learn(made, world, updates)
    return made


def largest(writer):
    """The largest singular value of what the layer computes with."""
    return torch.linalg.matrix_norm(writer.weight_lens(writer.weight).flatten(1), 2).item()


def lensed(net):
    return [layer for layer in net.layers() if layer.writer.weight_lens is not None]


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 3, 2, 2)])
def test_after_twenty_iterations_sigma_is_the_largest_singular_value(shape):
    gen = torch.Generator().manual_seed(0)
    u, s, v = torch.linalg.svd(torch.randn(shape, generator=gen).flatten(1), full_matrices=False)
    weight = (u * (0.7 ** torch.arange(len(s))) @ v).view(shape)
    lens = Lens(weight, 1.0)
    assert lens.sigma(weight).item() == pytest.approx(1.0, rel=1e-3)
    lens = Lens(3 * weight, 0.5)
    assert torch.linalg.matrix_norm(lens(3 * weight).flatten(1), 2).item() == pytest.approx(0.5, rel=1e-3)


def test_a_diagonal_matrix_by_hand():
    weight = torch.diag(torch.tensor([4.0, 1.0]))
    lens = Lens(weight, 2.0)
    torch.testing.assert_close(lens(weight), torch.diag(torch.tensor([2.0, 0.5])))


def test_a_matrix_of_zeros_is_shown_as_it_is_and_found_again_when_it_grows():
    weight = torch.zeros(3, 2, requires_grad=True)
    lens = Lens(torch.eye(3, 2), 0.5)
    lens.turn(weight)
    assert not lens(weight).any()
    (slope,) = torch.autograd.grad(lens(weight).sum(), weight)
    assert torch.isfinite(slope).all()
    grown = torch.diag(torch.tensor([4.0, 1.0]))
    lens = Lens(grown, 0.5)
    lens.turn(torch.zeros(2, 2))
    lens.turn(grown, 20)
    torch.testing.assert_close(lens(grown), grown / 8)


def test_gradients_pass_through_sigma_too():
    weight = torch.diag(torch.tensor([4.0, 1.0])).requires_grad_()
    lens = Lens(weight, 1.0)
    lens(weight).sum().backward()  # d/dW (sum W) / s - sum(W) / s^2 u v^T
    expected = torch.full((2, 2), 0.25) - torch.tensor([[5 / 16, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(weight.grad, expected)


@pytest.mark.parametrize(("env", "flags"), [(VECTORS, ["--hidden", "16", "24"]), (IMAGES, [])])
def test_the_last_hidden_layer_keeps_its_largest_singular_value_while_it_learns(env, flags):
    learner = agent("dqn", env, *flags)
    part = learner.parts["q"]
    (layer,) = lensed(part.net)
    assert layer is not None
    assert layer.name == part.net.layers()[-1].name
    for _ in range(20):
        learner.update()
        assert largest(layer.writer) == pytest.approx(1.0, rel=0.02)


def test_layers_can_be_named_and_every_member_of_an_ensemble_has_one():
    learner = agent("dqn", IMAGES, "--specnorm-groups=conv2,torso")
    assert [layer.name for layer in lensed(learner.parts["q"].net)] == ["encoder.conv2", "torso.fc1"]
    learner = agent("sac", "toy:reach", "--specnorm-parts=critic", updates=3)
    assert [x.name for x in lensed(learner.parts["critic"].net)] == ["ensemble.0.torso.fc1", "ensemble.1.torso.fc1"]
    assert not lensed(learner.parts["actor"].net)


def test_a_forward_pass_writes_nothing():
    learner = agent()
    net = learner.parts["q"].net
    before = {n: x.clone() for n, x in net.state_dict().items()}
    for _ in range(3):
        net(states(learner).obs).sum().backward()
    assert all(torch.equal(x, before[n]) for n, x in net.state_dict().items())


def test_the_slow_network_takes_u_and_v_over():
    learner = agent(updates=24)
    part = learner.parts["q"]
    part.sync()
    slow, live = (net.layers()[0].writer.weight_lens for net in (part.target, part.net))
    assert slow is not live
    assert torch.equal(slow.u, live.u)
    assert torch.equal(slow.v, live.v)


def test_after_a_reset_sigma_is_that_of_the_new_weights_in_both_networks():
    learner = agent("dqn", VECTORS, "--reset-every=10:updates", "--hidden", "16", updates=10)
    part = learner.parts["q"]
    for net in (part.net, part.target):
        (layer,) = lensed(net)
        assert largest(layer.writer) == pytest.approx(1.0, rel=0.02)


def test_the_first_draw_is_that_of_the_plain_network():
    _, plain = taken("dqn", VECTORS)
    _, learner = taken("dqn", VECTORS, "--specnorm-scale=1")
    before = named(plain.parts["q"])
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


def test_a_fresh_network_is_a_pure_function_of_its_seed():
    part: Part = agent(updates=1).parts["q"]
    a, b, c = (part.fresh(seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(x, b[n]) for n, x in a.items())
    assert not torch.equal(a["torso.fc1.writer.weight_lens.u"], c["torso.fc1.writer.weight_lens.u"])


def test_a_layer_that_is_not_there_is_refused():
    line = [f"--env={VECTORS}", "--preset=none", *small("dqn"), "--specnorm-scale=1", "--specnorm-groups=head"]
    with pytest.raises(ValueError, match=r"specnorm_groups 'head' is no hidden layer here; layers are torso.fc1"):
        build(AGENTS["dqn"][0], parsed("dqn", *line))


def test_a_scale_below_0_is_refused():
    (sentence,) = SpecNorm(specnorm_scale=-1.0).refuse(agent(updates=1).view(None))
    assert "above 0" in sentence
