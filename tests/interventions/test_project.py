"""Law 6: the promises of NaP and of weight-norm projection (Lyle et al. 2024)."""

import pytest
import torch

from agents.build import build
from interventions.project import Project
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, moments, named, outputs, states
from tests.laws.members import AGENTS, learn, parsed, small, taken

NORMED = ["--norm=layer"]
CHANNELS = ["--norm=layer_channels", "--norm-eps=1e-8"]  # where pictures are black the variance of a position is small


def begun(learner, **options):
    method, subject = Project(project_interval=1, **options), learner.view(stream(0, "project"))
    assert not list(method.refuse(subject))
    return method, method.init(subject), subject


def scaled(learner, factor, biases=True):
    """Every hidden layer's (W, b), or W alone, times a factor."""
    with torch.no_grad():
        for layer in learner.parts["q"].net.layers():
            layer.writer.weight.mul_(factor)
            layer.writer.bias.mul_(factor if biases else 1.0)


def blurred(learner, scale=0.1):
    """A step in a random direction."""
    gen = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in learner.parts["q"].trainable:
            p.add_(torch.randn(p.shape, generator=gen), alpha=scale)


def lengths(learner):
    return [layer.writer.weight.norm().item() for layer in learner.parts["q"].net.layers()]


@pytest.mark.parametrize("factor", [0.5, 2.0, 10.0])
def test_behind_a_norm_the_scale_of_weights_and_biases_together_changes_nothing(factor):
    for env in (IMAGES, VECTORS):
        learner = agent(env, *NORMED, "--hidden", "32", "32")
        scaled(learner, 5.0)  # pre-activations beside which LayerNorm's eps is nothing
        batch = states(learner)
        before = outputs(learner, batch)
        scaled(learner, factor)
        assert (outputs(learner, batch) - before).abs().max() < 1e-4


@pytest.mark.parametrize(("flags", "biases"), [(NORMED, False), ([], True)])
def test_the_scale_of_weights_alone_or_without_a_norm_changes_the_function(flags, biases):
    learner = agent(VECTORS, *flags)
    batch = states(learner)
    before = outputs(learner, batch)
    scaled(learner, 2.0, biases)
    assert (outputs(learner, batch) - before).abs().max() > 1e-3


def test_the_norms_stay_over_a_thousand_updates():
    learner = agent(VECTORS, *NORMED, "--hidden", "16", "16", updates=0)
    method, state, subject = begun(learner)
    before = lengths(learner)
    for _ in range(1000):
        blurred(learner, 0.01)
        method.after_update(state, subject)
        assert lengths(learner) == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("flags", [NORMED, CHANNELS])
def test_a_projection_leaves_the_outputs_of_a_network_with_norms(flags):
    learner = agent(IMAGES, *flags)
    scaled(learner, 5.0)  # pre-activations beside which LayerNorm's eps is nothing
    method, state, subject = begun(learner)
    blurred(learner)
    scaled(learner, 2.0)
    batch, grown = states(learner), lengths(learner)
    before = outputs(learner, batch)
    report = method.after_update(state, subject)
    assert (outputs(learner, batch) - before).abs().max() < 1e-4
    first = state["norms"]["q"].tolist()
    assert lengths(learner) == pytest.approx(first, rel=1e-6)
    growth = torch.tensor([g / f for g, f in zip(grown, first, strict=True)]).log().mean()
    torch.testing.assert_close(report["growth/q"], growth)


def test_head_gains_and_optimizer_are_left_alone_and_the_slow_network_is_projected():
    learner = agent(IMAGES, *NORMED)
    part = learner.parts["q"]
    method, state, subject = begun(learner)
    blurred(learner)
    with torch.no_grad():
        for p in part.target.parameters():
            p.mul_(3.0)
    before, slots = named(part), moments(part)
    slow = {n: p.clone() for n, p in part.target.named_parameters()}
    method.after_update(state, subject)
    assert all(torch.equal(x, slots[n][s]) for n, row in moments(part).items() for s, x in row.items())
    for n, p in named(part).items():
        kept = "writer" not in n.split(".")
        assert torch.equal(p, before[n]) == kept
        assert torch.equal(part.target.get_parameter(n), slow[n]) == kept
    held = [layer.writer.weight.norm().item() for layer in part.target.layers()]
    assert held == pytest.approx(state["norms"]["q"].tolist(), rel=1e-6)


def test_the_factors_of_units_are_left_alone():
    learner = agent(IMAGES, *NORMED, "--parseval-weight=1e-3", "--parseval-diagonal")
    method, state, subject = begun(learner)
    factor = learner.parts["q"].net.torso.fc1.writer.output_lens.weight
    with torch.no_grad():
        factor.fill_(3.0)
    scaled(learner, 2.0)
    method.after_update(state, subject)
    assert (factor == 3).all()


def test_gain_and_offset_can_be_projected_jointly():
    learner = agent(VECTORS, *NORMED, updates=0)
    method, state, subject = begun(learner, project_gains="joint")
    norm = learner.parts["q"].net.layers()[0].norm
    with torch.no_grad():
        norm.weight.fill_(3.0)
        norm.bias.fill_(4.0)
    method.after_update(state, subject)
    torch.testing.assert_close(norm.weight, torch.full_like(norm.weight, 0.6))
    torch.testing.assert_close(norm.bias, torch.full_like(norm.bias, 0.8))


def test_it_waits_for_its_interval():
    learner = agent(VECTORS, *NORMED)
    method = Project(project_interval=3)
    subject = learner.view(stream(0, "project"))
    state = method.init(subject)
    scaled(learner, 2.0)
    assert [bool(method.after_update(state, subject)) for _ in range(6)] == [False, False, True] * 2


def test_any_projects_layers_without_a_norm_to_their_first_norm():
    learner = agent(VECTORS, "--hidden", "16", "16")
    method, state, subject = begun(learner, project_norms="any")
    before = lengths(learner)
    blurred(learner)
    method.after_update(state, subject)
    assert lengths(learner) == pytest.approx(before, rel=1e-6)


def test_a_part_without_norms_is_left_alone_where_another_has_them():
    world, learner = taken("sac", "toy:reach", "--norm=layer", "--norm-parts=critic", "--project-interval=1")
    learn(learner, world, 3)
    assert set(learner.chain.links[0].state["norms"]) == {"critic"}


REFUSED = [
    ([], "add --norm layer"),
    ([*NORMED, "--weight-decay=0.1"], "leave --weight-decay at 0"),
    ([*NORMED, "--clip-kappa=1"], "project and clip"),
    ([*NORMED, "--specnorm-scale=1"], "another method normalises a layer"),
]


@pytest.mark.parametrize(("flags", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_with_a_sentence(flags, sentence):
    line = [f"--env={VECTORS}", "--preset=none", *small("dqn"), "--project-interval=1", *flags]
    with pytest.raises(ValueError, match=sentence):
        build(AGENTS["dqn"][0], parsed("dqn", *line))


def test_spectral_normalisation_of_another_part_is_no_clash():
    flags = ["--norm=layer", "--norm-parts=critic", "--project-interval=1", "--specnorm-scale=1"]
    assert taken("sac", "toy:reach", *flags, "--specnorm-parts=actor")
    assert not taken("sac", "toy:reach", *flags, "--specnorm-parts=critic")
