"""Law 6: the promises of weight clipping (Elsayed et al. 2024)."""

import pytest
import torch

from interventions.clip import Clip
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, moments, named
from tests.laws.members import learn, taken


def begun(learner, kappa=1.0, **options):
    method, subject = Clip(clip_kappa=kappa, **options), learner.view(stream(0, "clip"))
    return method, method.init(subject), subject


@pytest.mark.parametrize("init", ["torch", "xavier", "orthogonal", "he"])
def test_at_kappa_1_a_newborn_network_is_unchanged(init):
    learner = agent(IMAGES, f"--init={init}", updates=0)
    before = named(learner.parts["q"])
    method, state, subject = begun(learner)
    assert method.after_update(state, subject)["beyond"] == 0
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


def test_the_bound_is_nearly_that_of_the_uniform_law():
    learner = agent(VECTORS, updates=0)
    _, state, _ = begun(learner)
    for path, writer in learner.parts["q"].net.writers().items():
        edge = writer.weight.shape[1] ** -0.5
        assert 0.9 * edge < state["q"][path] <= edge


def test_weights_and_biases_stop_at_kappa_times_the_bound():
    learner = agent(VECTORS, updates=0)
    method, state, subject = begun(learner, kappa=2.0)
    head, s = learner.parts["q"].net.head.value, state["q"]["head.value"]
    with torch.no_grad():
        head.weight[0, :3] = torch.tensor([5.0, -5.0, 1.5 * s])
        head.bias[0] = -5.0
    assert method.after_update(state, subject)["beyond"] == 2
    torch.testing.assert_close(head.weight[0, :3], torch.tensor([2 * s, -2 * s, 1.5 * s]), rtol=1e-6, atol=0)
    torch.testing.assert_close(head.bias[0], torch.tensor(-2 * s), rtol=1e-6, atol=0)


def test_every_update_ends_within_the_bounds():
    world, learner = taken("sac", "toy:reach", "--clip-kappa=0.5", "--init=torch")
    learn(learner, world, 5)
    state = learner.chain.links[0].state
    assert set(state) == {"critic", "actor"}
    for name, bounds in state.items():
        for path, writer in learner.parts[name].net.writers().items():
            assert all(p.abs().max() <= 0.5 * bounds[path] * (1 + 1e-6) for p in writer.parameters())


def test_output_layers_can_be_spared():
    learner = agent(VECTORS)
    before = named(learner.parts["q"])
    method, state, subject = begun(learner, kappa=0.1, clip_last=False)
    method.after_update(state, subject)
    assert {n for n, p in named(learner.parts["q"]).items() if torch.equal(p, before[n])} == {
        "head.value.weight",
        "head.value.bias",
    }


def test_norms_optimizer_and_slow_network_are_left_alone():
    learner = agent(IMAGES, "--norm=layer")
    part = learner.parts["q"]
    before, slots = named(part), moments(part)
    slow = {n: p.clone() for n, p in part.target.named_parameters()}
    method, state, subject = begun(learner, kappa=0.1)
    method.after_update(state, subject)
    for n, p in named(part).items():
        assert torch.equal(p, before[n]) == ("norm" in n.split("."))
        assert torch.equal(part.target.get_parameter(n), slow[n])
        assert all(torch.equal(x, slots[n][s]) for s, x in moments(part)[n].items())


def test_the_factors_of_units_are_left_alone():
    learner = agent(VECTORS, "--parseval-weight=1e-3", "--parseval-diagonal")
    method, state, subject = begun(learner, kappa=1.0)
    factor = learner.parts["q"].net.torso.fc1.writer.output_lens.weight
    before = factor.clone()
    assert (before > state["q"]["torso.fc1.writer"]).all()  # the bound is that of weights and bias
    method.after_update(state, subject)
    assert torch.equal(factor, before)


def test_an_output_that_another_method_rescales_must_be_spared():
    flags = ["--loss=mse", "--popart-rate=0.1", "--clip-kappa=1"]
    assert taken("dqn", VECTORS, *flags) is None
    assert taken("dqn", VECTORS, *flags, "--no-clip-last")


def test_a_kappa_below_0_is_refused():
    (sentence,) = Clip(clip_kappa=-1.0).refuse(agent(VECTORS, updates=1).view(None))
    assert "above 0" in sentence
