"""Law 6: the promises of Hare & Tortoise (Lee et al. 2024)."""

import dm_env
import numpy as np
import pytest
import torch

from interventions.tortoise import Tortoise
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, moments, named
from tests.laws.members import learn, taken


def begun(learner, **options):
    method, subject = Tortoise(**options), learner.view(stream(0, "tortoise"))
    return method, method.init(subject), subject


def nudge(learner):
    with torch.no_grad():
        for p in learner.parts["q"].trainable:
            p.add_(1.0)


def test_the_tortoise_follows_at_its_own_pace():
    learner = agent(VECTORS)
    before = named(learner.parts["q"])
    method, state, subject = begun(learner, tortoise_mu=0.75)
    nudge(learner)
    method.after_update(state, subject)
    for n, slow in state["q"].items():
        torch.testing.assert_close(slow, 0.75 * before[n] + 0.25 * (before[n] + 1.0))
    method.after_update(state, subject)
    for n, slow in state["q"].items():
        torch.testing.assert_close(slow, before[n] + 1.0 - 0.75**2)


def test_after_a_sync_hare_and_tortoise_are_one_and_share_no_memory():
    learner = agent(IMAGES, "--norm=layer")
    method, state, subject = begun(learner)
    nudge(learner)
    method.after_update(state, subject)
    report = method.apply(state, subject)
    count = sum(p.numel() for p in learner.parts["q"].trainable)
    torch.testing.assert_close(report["distance"].item(), 0.999 * count**0.5, rtol=1e-4, atol=0)
    assert all(torch.equal(p, state["q"][n]) for n, p in named(learner.parts["q"]).items())
    nudge(learner)
    assert not any(torch.equal(p, state["q"][n]) for n, p in named(learner.parts["q"]).items())


def test_mu_1_freezes_the_tortoise():
    learner = agent(VECTORS)
    before = named(learner.parts["q"])
    method, state, subject = begun(learner, tortoise_mu=1.0)
    for _ in range(5):
        nudge(learner)
        method.after_update(state, subject)
    method.apply(state, subject)
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())


@pytest.mark.parametrize("what", ["keep", "reset"])
def test_the_optimizer_is_kept_or_forgets(what):
    learner = agent(VECTORS)
    before = moments(learner.parts["q"])
    method, state, subject = begun(learner, tortoise_optimizer=what)
    method.apply(state, subject)
    for n, row in moments(learner.parts["q"]).items():
        assert all(torch.equal(x, before[n][s]) for s, x in row.items()) == (what == "keep")
        assert any(x.any() for x in row.values()) == (what == "keep")


def test_the_slow_network_is_left_alone():
    learner = agent(VECTORS)
    slow = {n: p.clone() for n, p in learner.parts["q"].target.named_parameters()}
    method, state, subject = begun(learner)
    nudge(learner)
    method.apply(state, subject)
    assert all(torch.equal(p, slow[n]) for n, p in learner.parts["q"].target.named_parameters())


def test_with_its_rate_a_moving_target_is_the_tortoise():
    flags = ["--tortoise-every=1M", "--tortoise-mu=0.99", "--target-tau=0.01", "--target-every=1:updates"]
    world, learner = taken("dqn", VECTORS, *flags)
    learn(learner, world, 12)
    for n, p in learner.parts["q"].target.named_parameters():
        torch.testing.assert_close(p, learner.chain.links[0].state["q"][n])


@pytest.mark.parametrize("every", ["10:updates", "5:updates"])
def test_a_sync_does_not_undo_a_reset(every):
    world, learner = taken("dqn", VECTORS, "--reset-every=10:updates", f"--tortoise-every={every}")
    learn(learner, world, 9)
    before = named(learner.parts["q"])
    learner.update()
    (state,) = [link.state for link in learner.chain.links if link.name == "tortoise"]
    for n, p in named(learner.parts["q"]).items():
        assert torch.equal(p, state["q"][n])
        assert n.endswith("bias") or (p - before[n]).abs().max() > 0.05


def test_a_temperature_has_no_tortoise():
    world, learner = taken("sac", "toy:reach", "--tortoise-every=5:updates")
    learn(learner, world, 6)
    assert set(learner.chain.links[0].state) == {"critic", "actor"}


def test_a_mu_above_1_is_refused():
    (sentence,) = Tortoise(tortoise_mu=1.5).refuse(agent(VECTORS, updates=1).view(None))
    assert sentence == "tortoise_mu is 1.5, but must be from 0 to 1"


ACTING = [  # agent, the part that acts, environment
    ("dqn", "q", VECTORS, ["--epsilon-eval=0"]),
    ("dqn", "q", IMAGES, ["--epsilon-eval=0", "--act-by=target", "--head=dueling", "--noisy=0.5"]),
    ("sac", "actor", "toy:reach", []),
    ("drq", "actor", "toy:look", []),
    ("classifier", "net", "labels:generated", []),
]


def shown_in_acting(learner, part, states):
    """What the network of a part shows while the agent acts."""
    seen = []
    hook = learner.parts[part].net.register_forward_hook(lambda net, inputs, out: seen.append(out))
    learner.act(dm_env.restart(states), np.random.default_rng(0), greedy=True)
    hook.remove()
    return seen[-1] if isinstance(seen[-1], torch.Tensor) else seen[-1][0]


@pytest.mark.parametrize(("name", "part", "env", "flags"), ACTING)
def test_the_tortoise_acts_and_is_evaluated_or_the_hare(name, part, env, flags):
    """With mu 1 the tortoise is the newborn agent, whatever the hare has learned."""
    line = [env, "--tortoise-every=1M", "--tortoise-mu=1", "--lr=0.01", *flags]
    world, learner = taken(name, *line)
    online = ["--act-by=online"] if name == "dqn" else []
    newborn, hare = taken(name, *line)[1], taken(name, *line, "--no-tortoise-acts", *online)[1]
    learn(learner, world, 12)
    hare.load_state_dict(learner.state_dict())
    states = learner.view(learner.rng["act"]).batch().obs.numpy().copy()
    first = shown_in_acting(newborn, part, states)
    torch.testing.assert_close(shown_in_acting(learner, part, states), first)
    assert not torch.allclose(shown_in_acting(hare, part, states), first)


def test_the_tortoise_is_examined_on_data_or_the_hare():
    line = ["labels:generated", "--tortoise-every=1M", "--tortoise-mu=1", "--lr=0.01"]
    rows = []
    for acts, updates in (("--tortoise-acts", 20), ("--tortoise-acts", 0), ("--no-tortoise-acts", 20)):
        world, learner = taken("classifier", *line, acts)
        learn(learner, world, updates)
        rows.append(world.evaluate(learner, lambda: False))
    assert rows[0] == rows[1] != rows[2]


def test_popart_is_refused():
    assert taken("dqn", VECTORS, "--loss=mse", "--popart-rate=0.1", "--tortoise-every=4:updates") is None


def test_where_a_part_of_it_is_reset_the_rest_is_synced():
    flags = ["--reset-every=10:updates", "--reset-groups=head", "--tortoise-every=10:updates"]
    world, learner = taken("dqn", VECTORS, *flags)
    learn(learner, world, 10)
    (state,) = [link.state for link in learner.chain.links if link.name == "tortoise"]
    assert all(torch.equal(p, state["q"][n]) for n, p in named(learner.parts["q"]).items())
