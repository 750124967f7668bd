"""Law 6: the promises of shrink-and-perturb (Ash & Adams 2020)."""

import pytest
import torch

from interventions.shrink import Shrink
from runs.rng import draw_seed, stream
from tests.interventions.small import IMAGES, VECTORS, agent, fire, moments, named
from tests.laws.members import learn, taken


def fresh(learner):
    return dict(learner.parts["q"].fresh(draw_seed(stream(0, "shrink"))).named_parameters())


def test_factor_1_and_noise_0_is_the_identity():
    learner = agent()
    before = named(learner.parts["q"])
    fire(Shrink(shrink_factor=1.0, shrink_noise=0.0), learner)
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


def test_factor_0_and_noise_1_is_a_full_reset():
    learner = agent()
    phi = fresh(learner)
    fire(Shrink(shrink_factor=0.0, shrink_noise=1.0), learner)
    assert all(torch.equal(p, phi[n]) for n, p in named(learner.parts["q"]).items())


def test_weights_are_the_mixture_of_old_and_fresh():
    learner = agent()
    before, phi = named(learner.parts["q"]), fresh(learner)
    fire(Shrink(shrink_factor=0.8, shrink_noise=0.2), learner)
    for n, p in named(learner.parts["q"]).items():
        torch.testing.assert_close(p, 0.8 * before[n] + 0.2 * phi[n])


def test_the_variance_is_that_of_independent_draws():
    learner = agent(IMAGES, "--width=1", "--hidden=256")
    before, phi = named(learner.parts["q"]), fresh(learner)
    fire(Shrink(shrink_factor=0.6, shrink_noise=0.7), learner)
    for n, p in named(learner.parts["q"]).items():
        if p.numel() > 20_000:
            torch.testing.assert_close(p.var(), 0.36 * before[n].var() + 0.49 * phi[n].var(), rtol=0.03, atol=0)


def test_two_firings_use_different_draws():
    learner = agent(IMAGES, "--width=1")
    draws = []
    subject = fire(Shrink(shrink_factor=0.0, shrink_noise=1.0), learner)
    for _ in range(2):
        Shrink(shrink_factor=0.0, shrink_noise=1.0).apply({}, subject)
        draws.append(torch.cat([p.flatten() for p in named(learner.parts["q"]).values()]))
    assert torch.corrcoef(torch.stack(draws))[0, 1].abs() < 0.1


def test_norm_gains_are_left_alone_and_the_target_is_a_copy():
    learner = agent(IMAGES, "--norm=layer")
    part = learner.parts["q"]
    before, slots = named(part), moments(part)
    fire(Shrink(), learner)
    for n, p in named(part).items():
        assert torch.equal(p, before[n]) == ("norm" in n.split("."))
        assert all(torch.equal(x, slots[n][s]) for s, x in moments(part)[n].items()) == ("norm" in n.split("."))
        if "norm" not in n.split("."):
            assert torch.equal(part.target.get_parameter(n), p)
            assert all(not x.any() for x in moments(part)[n].values())


def test_the_target_may_shrink_toward_a_draw_of_its_own():
    learner = agent()
    part = learner.parts["q"]
    slow = {n: p.clone() for n, p in part.target.named_parameters()}
    rng = stream(0, "shrink")
    draw_seed(rng)
    own = dict(part.fresh(draw_seed(rng)).named_parameters())
    fire(Shrink(shrink_target="own"), learner)
    for n, p in part.target.named_parameters():
        torch.testing.assert_close(p, 0.5 * slow[n] + 0.5 * own[n])


def test_toward_init_the_same_first_weights_are_added_every_time():
    world, learner = taken("dqn", IMAGES, "--shrink-every=13:updates", "--shrink-toward=init", "--target-every=never")
    part = learner.parts["q"]
    first, slow = named(part), {n: p.clone() for n, p in part.target.named_parameters()}
    learn(learner, world, 12)
    for expected in (13, 26):
        before = named(part)
        learner.clock["updates"] = expected
        learner.chain.tick()
        for n, p in named(part).items():
            torch.testing.assert_close(p, 0.5 * before[n] + 0.5 * first[n])
            assert torch.equal(part.target.get_parameter(n), p)
    assert learner.clock["resets"] == 2
    assert all(torch.equal(p, first[n]) for n, p in slow.items())


def test_the_first_weights_are_kept_only_if_they_are_wanted():
    _, learner = taken("dqn", IMAGES, "--shrink-every=13:updates")
    assert learner.chain.links[0].state == {}


def test_toward_normal_every_number_gets_noise_of_sigma_times_the_factor_of_noise():
    learner = agent(IMAGES, "--width=1", "--hidden=256")
    part = learner.parts["q"]
    before = named(part)
    fire(Shrink(shrink_toward="normal", shrink_factor=0.6, shrink_noise=0.5, shrink_sigma=0.2), learner)
    noise = {n: p - 0.6 * before[n] for n, p in named(part).items()}
    assert all(x.std() > 0.02 for x in noise.values() if x.numel() > 8)  # biases too, whatever their initialiser
    every = torch.cat([x.flatten() for x in noise.values()])
    torch.testing.assert_close(every.std(), torch.tensor(0.1), rtol=0.02, atol=0)
    assert every.mean().abs() < 1e-3
    assert all(torch.equal(part.target.get_parameter(n), p) for n, p in named(part).items())


def test_two_firings_toward_normal_use_different_noise():
    learner = agent(IMAGES, "--width=1")
    method, draws = Shrink(shrink_toward="normal", shrink_factor=0.0, shrink_noise=1.0), []
    subject = fire(method, learner)
    for _ in range(2):
        method.apply({}, subject)
        draws.append(torch.cat([p.flatten() for p in named(learner.parts["q"]).values()]))
    assert torch.corrcoef(torch.stack(draws))[0, 1].abs() < 0.1
    assert draws[0].std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"shrink_sigma": 0.02}, "shrink_sigma is of --shrink-toward normal, but shrink_toward is fresh"),
        ({"shrink_toward": "normal", "shrink_target": "own"}, "use copy or keep"),
        ({"shrink_toward": "normal", "shrink_sigma": 0.0}, "must be above 0"),
    ],
)
def test_a_sigma_that_nothing_reads_and_a_draw_that_is_not_made_are_refused(options, word):
    (sentence,) = Shrink(**options).refuse(agent(updates=1).view(None))
    assert word in sentence


def test_groups_that_are_all_left_out_are_refused_with_a_sentence():
    subject = agent(VECTORS, "--norm=layer", updates=1).view(None)
    (sentence,) = Shrink(shrink_groups="norm").refuse(subject)
    assert sentence == "shrink: --shrink-groups norm --shrink-skip norm choose no parameter; change one of them"
    assert not list(Shrink(shrink_groups="norm", shrink_skip="").refuse(subject))


def test_one_group_that_is_chosen_is_enough():
    subject = agent(VECTORS, "--norm=layer", updates=1).view(None)
    assert not list(Shrink(shrink_groups="norm,head").refuse(subject))
