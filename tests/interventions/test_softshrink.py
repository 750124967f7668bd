"""Law 6: the promises of soft shrink and perturb (Juliani & Ash 2024)."""

import pytest
import torch

from interventions.softshrink import SoftShrink
from runs.rng import draw_seed, stream
from tests.interventions.small import IMAGES, VECTORS, agent, moments, named
from tests.laws.members import learn, taken


def shrunk(learner, first=None, updates=1, **options):
    """So many updates of the method alone, from these first weights; its state."""
    method, subject = SoftShrink(**options), learner.view(stream(0, "softshrink"))
    state = method.init(subject)
    for path, p in (first or {}).items():
        state["first"]["q"][path].copy_(p)
    for _ in range(updates):
        method.after_update(state, subject)
    return state


def elsewhere(learner):
    gen = torch.Generator().manual_seed(0)
    return {n: torch.randn(p.shape, generator=gen) for n, p in named(learner.parts["q"]).items()}


def fresh(part, *places):
    """The draws of the method's own stream."""
    rng, draws = stream(0, "softshrink"), []
    for _ in places:
        draws.append(dict(part.fresh(draw_seed(rng)).named_parameters()))
    return draws


def test_an_update_is_lambda_theta_plus_p_theta_0():
    learner = agent(VECTORS)
    first, before = elsewhere(learner), named(learner.parts["q"])
    shrunk(learner, first, softshrink_rate=0.25)
    for n, p in named(learner.parts["q"]).items():
        torch.testing.assert_close(p, 0.75 * before[n] + 0.25 * first[n])


def test_the_fixed_point_is_the_stored_draw():
    learner = agent(VECTORS)
    first = elsewhere(learner)
    shrunk(learner, first, updates=60, softshrink_rate=0.5)
    for n, p in named(learner.parts["q"]).items():
        torch.testing.assert_close(p, first[n])


def test_at_the_first_weights_nothing_moves():
    learner = agent(VECTORS)
    before = named(learner.parts["q"])
    shrunk(learner, updates=3, softshrink_rate=0.5)
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


def test_a_rate_of_a_millionth_is_not_lost_in_rounding():
    learner = agent(VECTORS)
    first, before = elsewhere(learner), named(learner.parts["q"])
    shrunk(learner, first, updates=1000, softshrink_rate=1e-6)
    after = named(learner.parts["q"])
    way = torch.cat([(first[n] - before[n]).flatten() for n in before])
    moved = torch.cat([(after[n] - before[n]).flatten() for n in before])
    assert (moved @ way / (way @ way)).item() == pytest.approx(1e-3, rel=0.01)


def test_rate_1_is_the_first_weights_or_a_full_redraw():
    learner = agent(VECTORS)
    first = elsewhere(learner)
    shrunk(learner, first, softshrink_rate=1.0)
    assert all(torch.equal(p, first[n]) for n, p in named(learner.parts["q"]).items())
    (phi,) = fresh(learner.parts["q"], 1)
    shrunk(learner, softshrink_rate=1.0, softshrink_toward="fresh", softshrink_interval=1)
    assert all(torch.equal(p, phi[n]) for n, p in named(learner.parts["q"]).items())


def test_a_fresh_draw_comes_once_an_interval_with_all_that_is_due():
    learner = agent(VECTORS)
    part, options = learner.parts["q"], {"softshrink_toward": "fresh", "softshrink_interval": 4}
    before, (phi,) = named(part), fresh(part, 1)
    shrunk(learner, updates=3, softshrink_rate=0.1, **options)
    assert all(torch.equal(p, before[n]) for n, p in named(part).items())
    shrunk(learner, updates=4, softshrink_rate=0.1, **options)
    for n, p in named(part).items():
        torch.testing.assert_close(p, 0.9**4 * before[n] + 0.1 * 2 * phi[n])


def test_two_intervals_use_different_draws_whose_variance_adds_up():
    learner = agent(IMAGES, "--width=1", "--hidden=256")
    part = learner.parts["q"]
    before, (one, two) = named(part), fresh(part, 1, 2)
    shrunk(learner, updates=2, softshrink_rate=0.5, softshrink_toward="fresh", softshrink_interval=1)
    for n, p in named(part).items():
        torch.testing.assert_close(p, 0.25 * before[n] + 0.25 * one[n] + 0.5 * two[n])
        if p.numel() > 20_000:
            assert torch.corrcoef(torch.stack([one[n].flatten(), two[n].flatten()]))[0, 1].abs() < 0.1
            var = 0.25**2 * (before[n].var() + one[n].var()) + 0.5**2 * two[n].var()
            torch.testing.assert_close(p.var(), var, rtol=0.03, atol=0)


def test_norms_optimizer_and_slow_network_are_left_alone():
    learner = agent(IMAGES, "--norm=layer")
    part = learner.parts["q"]
    before, slots = named(part), moments(part)
    slow = {n: p.clone() for n, p in part.target.named_parameters()}
    shrunk(learner, softshrink_rate=0.5, softshrink_toward="fresh", softshrink_interval=1)
    for n, p in named(part).items():
        assert torch.equal(p, before[n]) == ("norm" in n.split("."))
        assert all(torch.equal(x, slots[n][s]) for s, x in moments(part)[n].items())
        assert torch.equal(part.target.get_parameter(n), slow[n])


def test_a_reset_moves_the_stored_draw():
    world, learner = taken("dqn", VECTORS, "--softshrink-rate=0.1", "--reset-every=10:updates", "--reset-groups=head")
    learn(learner, world, 10)
    (state,) = [link.state for link in learner.chain.links if link.name == "softshrink"]
    live = named(learner.parts["q"])
    assert {n for n, p in state["first"]["q"].items() if torch.equal(p, live[n])} == {
        "head.value.weight",
        "head.value.bias",
    }


def test_a_temperature_is_no_network():
    world, learner = taken("sac", "toy:reach", "--softshrink-rate=0.1")
    learn(learner, world, 2)
    assert set(learner.chain.links[0].state["first"]) == {"critic", "actor"}


SNP = {"softshrink_toward": "normal", "softshrink_interval": 1}


def test_normal_noise_has_a_deviation_of_its_own_beside_the_decay():
    learner = agent(IMAGES, "--width=1", "--hidden=256")
    part = learner.parts["q"]
    before = named(part)
    shrunk(learner, updates=4, softshrink_rate=0.25, softshrink_noise=1e-2, **SNP)
    noise = torch.cat([(p - 0.75**4 * before[n]).flatten() for n, p in named(part).items()])
    variance = 1e-4 * sum(0.75 ** (2 * k) for k in range(4))  # noise shrinks with the weights once it is in them
    torch.testing.assert_close(noise.var(), torch.tensor(variance), rtol=0.03, atol=0)


def test_fresh_draws_come_with_a_factor_of_their_own_or_with_the_rate():
    learner = agent(VECTORS)
    part, options = learner.parts["q"], {"softshrink_toward": "fresh", "softshrink_interval": 1}
    before, (phi,) = named(part), fresh(part, 1)
    shrunk(learner, softshrink_rate=0.1, softshrink_noise=0.5, **options)
    for n, p in named(part).items():
        torch.testing.assert_close(p, 0.9 * before[n] + 0.5 * phi[n])
    before = named(part)
    shrunk(learner, softshrink_rate=0.1, **options)
    for n, p in named(part).items():
        torch.testing.assert_close(p, 0.9 * before[n] + 0.1 * phi[n])


def test_an_interval_of_normal_noise_is_that_of_its_updates_in_one():
    learner = agent(IMAGES, "--width=1", "--hidden=256")
    part = learner.parts["q"]
    before = named(part)
    shrunk(learner, updates=9, softshrink_rate=1e-6, softshrink_noise=1e-3, **SNP | {"softshrink_interval": 9})
    noise = torch.cat([(p - before[n]).flatten() for n, p in named(part).items()])
    assert noise.std().item() == pytest.approx(3e-3, rel=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"softshrink_rate": 2.0},
        {"softshrink_rate": 0.1, "softshrink_groups": "norm"},
        {"softshrink_rate": 0.1, "softshrink_noise": 0.1},
        {"softshrink_rate": 0.1, "softshrink_noise": -1.0, "softshrink_toward": "fresh"},
    ],
)
def test_numbers_out_of_range_and_groups_without_a_parameter_are_refused(options):
    assert list(SoftShrink(**options).refuse(agent(VECTORS, updates=1).view(None)))
