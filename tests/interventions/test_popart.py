"""Law 6: the promises of PopArt (van Hasselt et al. 2016)."""

import pytest
import torch

from interventions.popart import PopArt, Scale, regressing, scale
from nets.subject import Loss
from runs.rng import stream
from tests.interventions.small import moments, named
from tests.laws.members import learn, taken

ON = "--popart-rate=0.1"
CASES = [
    ("dqn", "toy:catch", ("--head=linear",)),
    ("dqn", "toy:chain", ("--head=dueling",)),
    ("dqn", "toy:chain", ("--target-tau=0.1", "--target-every=1:updates")),
    ("sac", "toy:reach", ()),
    ("classifier", "labels:generated", ("--loss=mse",)),
]


def trained(name="dqn", env="toy:chain", *flags, updates=6):
    world, learner = taken(name, env, *flags)
    learn(learner, world, updates)
    return learner


def prepared(learner, mean, variance, **options):
    """(method, state, subject) with these statistics waiting to be taken over."""
    method, subject = PopArt(popart_rate=0.1, **options), learner.view(stream(0, "popart"))
    state = method.init(subject)
    for row in state.values():
        row["mean"].fill_(mean)
        row["variance"].fill_(variance)
    return method, state, subject


def shown(learner, batch):
    """Outputs of every regressed part, live and slow."""
    subject, rows = learner.view(stream(1, "states")), {}
    with torch.no_grad():
        for name in regressing(subject):
            part = learner.parts[name]
            rows[name] = learner.output(name, batch, part.net)
            if part.target is not None:
                rows[f"{name} slow"] = learner.output(name, batch, part.target)
    return rows


@pytest.mark.parametrize(("name", "env", "flags"), CASES)
def test_outputs_are_preserved_when_the_statistics_change(name, env, flags):
    learner = trained(name, env, ON, *flags)
    batch = learner.view(stream(1, "states")).batch(64)
    before = shown(learner, batch)
    assert before
    for mean, variance in ((3.0, 25.0), (-2.0, 0.09)):
        method, state, subject = prepared(learner, mean, variance)
        method.after_update(state, subject)
        for part, rows in shown(learner, batch).items():
            torch.testing.assert_close(rows, before[part], rtol=1e-5, atol=1e-5)
    for part in regressing(subject):
        net = learner.parts[part].net
        assert [float(scale(w).sigma) for w in net.outputs()] == pytest.approx([0.3] * len(net.outputs()))


def test_every_parameter_but_those_of_the_outputs_is_left_alone():
    learner = trained("sac", "toy:reach", ON)
    before = {name: named(part) for name, part in learner.parts.items()}
    method, state, subject = prepared(learner, 3.0, 25.0)
    method.after_update(state, subject)
    for name, part in learner.parts.items():
        moved = {n for n, p in named(part).items() if not torch.equal(p, before[name][n])}
        heads = {n for n in before[name] if "head.value" in n}
        assert moved == (heads if name == "critic" else set())


def test_the_value_bears_sigma_and_mu_and_the_advantages_sigma_alone():
    learner = trained("dqn", "toy:chain", ON, "--head=dueling")
    method, state, subject = prepared(learner, 3.0, 25.0)
    before = named(learner.parts["q"])
    old = scale(learner.parts["q"].net.head.value)
    (sigma, mu), (value, advantage) = (float(old.sigma), float(old.mu)), learner.parts["q"].net.outputs()
    method.after_update(state, subject)
    assert [float(scale(w).mu) for w in (value, advantage)] == [3.0, 0.0]
    assert [float(scale(w).sigma) for w in (value, advantage)] == [5.0, 5.0]
    torch.testing.assert_close(value.bias, (sigma * before["head.value.bias"] + mu - 3) / 5)
    torch.testing.assert_close(advantage.bias, sigma * before["head.advantage.bias"] / 5)


def test_the_statistics_are_those_of_nu_minus_mu_squared():
    method, state = PopArt(popart_rate=0.25), {"mean": torch.tensor(0.0), "variance": torch.tensor(1.0)}
    mu, nu = 0.0, 1.0
    for goal in (torch.tensor([1.0, 3.0]), torch.tensor([-4.0, 0.0, 2.0]), torch.tensor([10.0])):
        method.follow(state, goal)
        mu, nu = 0.75 * mu + 0.25 * goal.mean().item(), 0.75 * nu + 0.25 * goal.square().mean().item()
        assert state["mean"].item() == pytest.approx(mu)
        assert state["variance"].item() == pytest.approx(nu - mu**2)


def test_a_small_deviation_of_large_goals_survives():
    """nu - mu^2 of goals 1000 +- .1 is .01 of 1e6: lost in float32."""
    method, state = PopArt(popart_rate=1.0), {"mean": torch.tensor(1000.0), "variance": torch.tensor(0.01)}
    method.follow(state, torch.tensor([1000.125, 999.875]))
    assert state["variance"].item() == pytest.approx(0.125**2)


@pytest.mark.parametrize(("variance", "sigma"), [(1e-12, 0.01), (4.0, 2.0), (1e20, 1e5)])
def test_sigma_stays_in_its_range(variance, sigma):
    learner = trained("dqn", "toy:chain", ON)
    method, state, subject = prepared(learner, 0.0, variance)
    method.after_update(state, subject)
    assert float(scale(learner.parts["q"].net.head.value).sigma) == pytest.approx(sigma)


def test_the_error_is_taken_on_the_normalised_scale_and_other_penalties_stay():
    """goals 7 and -3, outputs 1 and 1, sigma 2: of(td) is 36 + 16, of(td / sigma) 9 + 4; a penalty of .5 was added."""
    learner = trained("dqn", "toy:chain", ON)
    method, state, subject = prepared(learner, 0.0, 4.0)
    method.after_update(state, subject)
    goal, td, of = torch.tensor([7.0, -3.0]), torch.tensor([6.0, -4.0]), lambda td: td.square().sum()
    loss = Loss("q", of(td) + 0.5, td, goal=goal, of=of)
    assert method.on_loss(state, subject, loss, None).item() == pytest.approx(9 + 4 + 0.5)


def test_the_gradient_is_that_of_regressing_n_to_the_normalised_goal():
    learner = trained("dqn", "toy:chain", ON, "--loss=mse")
    method, state, subject = prepared(learner, 3.0, 25.0)
    method.after_update(state, subject)
    batch, part = subject.batch(16), learner.parts["q"]
    (loss,) = learner.losses(batch, learner.generator(0))
    grads = torch.autograd.grad(method.on_loss(state, subject, loss, batch), part.trainable, retain_graph=True)
    n = (part.net(batch.obs).gather(1, batch.action[:, None])[:, 0] - 3) / 5
    expected = torch.autograd.grad(((loss.goal - 3) / 5 - n).square().mean(), part.trainable)
    torch.testing.assert_close(grads, expected)


def test_a_loss_without_a_goal_is_left_alone():
    learner = trained("sac", "toy:reach", ON)
    method, state, subject = prepared(learner, 3.0, 25.0)
    value = torch.tensor(2.0)
    assert method.on_loss(state, subject, Loss("actor", value), None) is value


def test_moments_are_kept_or_rescaled_with_the_gradient():
    for choice in ("keep", "rescale"):
        learner = trained("dqn", "toy:chain", ON)
        part = learner.parts["q"]
        old, before = float(scale(part.net.head.value).sigma), moments(part)
        method, state, subject = prepared(learner, 3.0, 25.0, popart_moments=choice)
        method.after_update(state, subject)
        r = old / 5 if choice == "rescale" else 1.0
        for name, slots in moments(part).items():
            factor = r if name.startswith("head.") else 1.0
            torch.testing.assert_close(slots["exp_avg"], factor * before[name]["exp_avg"])
            torch.testing.assert_close(slots["exp_avg_sq"], factor**2 * before[name]["exp_avg_sq"])
            assert torch.equal(slots["step"], before[name]["step"])


def test_at_birth_a_scale_changes_nothing():
    plain, on = taken("dqn", "toy:catch")[1], taken("dqn", "toy:catch", ON)[1]
    obs = torch.randint(256, (4, *plain.spec.observation.shape), dtype=torch.uint8)
    assert torch.equal(plain.parts["q"].net(obs), on.parts["q"].net(obs))


def test_the_slow_network_bears_the_scale_of_the_live_one():
    learner = trained("dqn", "toy:chain", ON, "--target-every=never", updates=9)
    part = learner.parts["q"]
    live, slow = scale(part.net.head.value), scale(part.target.head.value)
    assert (live.sigma, live.mu) == (slow.sigma, slow.mu)
    assert float(live.sigma) != 1
    assert live.sigma is not slow.sigma


def test_what_it_reports_sums_to_log_sigma_and_mu():
    learner = trained("dqn", "toy:chain", ON, updates=9)
    lens, row = scale(learner.parts["q"].net.head.value), learner.chain.summary()
    assert row["event/popart/log_sigma/q"] == pytest.approx(float(lens.sigma.log()), abs=1e-5)
    assert row["event/popart/mu/q"] == pytest.approx(float(lens.mu), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "env", "flags"),
    [
        ("dqn", "toy:chain", ("--loss=hl_gauss",)),
        ("classifier", "labels:generated", ("--loss=cross_entropy",)),
        ("classifier", "labels:generated", ("--loss=two_hot",)),
        ("dqn", "toy:chain", ("--popart-moments=rescale", "--optimizer=rmsprop")),
        ("dqn", "toy:chain", ("--popart-rate=1.5",)),
    ],
)
def test_what_cannot_be_is_refused(name, env, flags):
    assert taken(name, env, *flags, *(() if "--popart-rate=1.5" in flags else (ON,))) is None


def test_a_normalised_output_is_refused():
    learner = trained("dqn", "toy:chain", ON)
    learner.parts["q"].net.head.value.weight_lens = Scale(shifts=False)
    (sentence,) = PopArt(popart_rate=0.1).refuse(learner.view(stream(0, "popart")))
    assert "normalises" in sentence
