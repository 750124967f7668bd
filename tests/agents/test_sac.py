"""SAC: one update equals a plain one in torch, written here from the equations alone; the promises of its parts."""

import math
from copy import deepcopy
from itertools import pairwise

import dm_env
import numpy as np
import pytest
import torch
from torch import nn

from agents.build import build
from agents.explore import log_sigma, squashed
from agents.flags import parse
from agents.sac import SAC, SACConfig
from tests.agents.tiny import played
from tests.laws.members import learn, taken

LINE = "--env=toy:reach --preset=none --hidden 8 8 --batch-size=16 --capacity=200 --warmup=40 --alpha-init=0.7"


def made(*flags):
    return build(SAC, parse("sac", SACConfig, [*LINE.split(), *flags]))


def walked(steps, *flags):
    return played(*made(*flags), steps)


# ---- the reference: plain modules, plain Adam, no code of ours


def layers(*sizes):
    rows = [x for a, b in pairwise(sizes) for x in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*rows[:-1])


def copied(plain, params):
    for p, q in zip(plain.parameters(), params, strict=True):
        p.data = q.detach().clone()
    return plain


class Reference:
    """Twin critics, actor and temperature of SAC at gamma .99, tau .005, lr 3e-4, target entropy -A/2."""

    def __init__(self, parts):
        params = {name: list(part.net.parameters()) for name, part in parts.items()}
        slow, half = list(parts["critic"].target.parameters()), len(params["critic"]) // 2
        self.q = [copied(layers(2, 8, 8, 1), params["critic"][i * half : (i + 1) * half]) for i in (0, 1)]
        self.slow = [copied(layers(2, 8, 8, 1), slow[i * half : (i + 1) * half]) for i in (0, 1)]
        torso, (mean, b, sigma, c) = params["actor"][:4], params["actor"][4:]
        self.actor = copied(layers(1, 8, 8, 2), [*torso, torch.cat([mean, sigma]), torch.cat([b, c])])
        self.ell = params["alpha"][0].detach().clone().requires_grad_()
        critics = [p for q in self.q for p in q.parameters()]
        groups = {"critic": critics, "actor": list(self.actor.parameters()), "alpha": [self.ell]}
        self.opt = {name: torch.optim.Adam(ps, 3e-4, foreach=False) for name, ps in groups.items()}

    def draw(self, obs, rng):
        mean, raw = self.actor(obs).unbind(1)
        sigma = (-10 + 6 * (1 + torch.tanh(raw))).exp()
        u = mean + sigma * torch.randn(len(obs), 1, generator=rng)[:, 0]
        logp = torch.distributions.Normal(mean, sigma).log_prob(u) - torch.log(1 - torch.tanh(u) ** 2)
        return torch.tanh(u)[:, None], logp

    def step(self, name, loss):
        self.opt[name].zero_grad()
        loss.backward()
        self.opt[name].step()
        return loss.item()

    def update(self, b, rng):
        with torch.no_grad():
            a, logp = self.draw(b.next_obs, rng)
            low = torch.minimum(*(q(torch.cat([b.next_obs, a], 1))[:, 0] for q in self.slow))
            y = b.reward + b.discount * (low - self.ell.exp() * logp)
        x = torch.cat([b.obs, b.action], 1)
        critic = self.step("critic", sum((q(x)[:, 0] - y).pow(2).mean() for q in self.q))
        a, logp = self.draw(b.obs, rng)
        low = torch.minimum(*(q(torch.cat([b.obs, a], 1))[:, 0] for q in self.q))
        actor = self.step("actor", (self.ell.exp().detach() * logp - low).mean())
        alpha = self.step("alpha", self.ell.exp() * (-logp.detach() + 0.5).mean())
        for q, slow in zip(self.q, self.slow, strict=True):
            for p, s in zip(q.parameters(), slow.parameters(), strict=True):
                s.data += 0.005 * (p.data - s.data)
        return critic, actor, alpha

    def weights(self):
        return {
            "critic": [p for q in self.q for p in q.parameters()],
            "slow": [p for q in self.slow for p in q.parameters()],
            "actor": list(self.actor.parameters()),
            "alpha": [self.ell],
        }


def test_losses_and_weights_equal_the_reference():
    learner = walked(60, "--replay-ratio=0")
    for p in learner.parts["critic"].target.parameters():
        p.data += 0.1  # else a target that is not read would not be noticed
    mine = Reference(learner.parts)
    rng, noise = deepcopy(learner.rng["replay"]), learner.generator(0)
    noise.set_state(learner.loss_rng.get_state())
    for _ in range(3):
        theirs = mine.update(learner.replay.sample(16, rng), noise)
        learner.update()
        row = learner.metrics()
        assert [row[f"loss/{part}"] for part in ("critic", "actor", "alpha")] == pytest.approx(
            theirs, rel=1e-5, abs=1e-6
        )
    ours, weights = learner.parts, mine.weights()
    head = ours["actor"].net.head
    actor = [*list(ours["actor"].net.torso.parameters()), torch.cat([head.mean.weight, head.log_std.weight])]
    rows = {
        "critic": ours["critic"].net.parameters(),
        "slow": ours["critic"].target.parameters(),
        "actor": [*actor, torch.cat([head.mean.bias, head.log_std.bias])],
        "alpha": ours["alpha"].net.parameters(),
    }
    for name, params in rows.items():
        for p, q in zip(params, weights[name], strict=True):
            torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-5, atol=1e-5)


# ---- the policy


@pytest.mark.parametrize(("mean", "sigma"), [(0.0, 1.0), (0.8, 0.3), (-2.0, 0.7)])
def test_the_density_of_a_squashed_action_is_that_of_its_cumulative(mean, sigma):
    """d/da Phi((atanh a - mean) / sigma), by central differences in float64."""
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    full = torch.full_like(noise, mean), torch.full_like(noise, math.log(sigma))
    action, logp = squashed(*full, noise)
    h = 1e-6 * (1 - action[:, 0] ** 2)
    below, above = (torch.special.ndtr((torch.atanh(action[:, 0] + s * h) - mean) / sigma) for s in (-1, 1))
    torch.testing.assert_close(logp.exp(), (above - below) / (2 * h), rtol=1e-4, atol=1e-6)


def test_the_log_probability_is_finite_where_tanh_rounds_to_one():
    action, logp = squashed(torch.tensor([[20.0]]), torch.zeros(1, 1), torch.zeros(1, 1))
    assert action == 1
    # log N(20; 20, 1) - log(1 - tanh(20)^2) = -.9189 - 2 (log 2 - 20) up to e^-40
    assert logp.item() == pytest.approx(-0.918939 - 2 * (math.log(2) - 20), rel=1e-6)


def test_log_sigma_stays_in_its_range_by_a_map_or_by_a_cut():
    raw = torch.tensor([-50.0, 0.0, 1.0, 50.0])
    assert log_sigma(raw, -10, 2, clip=False).tolist() == pytest.approx([-10, -4, -4 + 6 * math.tanh(1), 2])
    assert log_sigma(raw, -20, 2, clip=True).tolist() == [-20, 0, 1, 2]


def test_actions_are_uniform_in_the_warmup_then_drawn_and_their_mean_in_evaluation():
    learner = made("--num-envs=3")[1]
    now = dm_env.TimeStep(np.ones(3), np.zeros(3), np.ones(3), np.zeros((3, 1), np.float32))
    mean = torch.tanh(learner.gaussian(torch.zeros(3, 1))[0]).detach().numpy()
    draws = np.stack([learner.act(now, np.random.default_rng(i)) for i in range(500)])
    assert abs(draws.var() - 1 / 3) < 0.02
    np.testing.assert_array_equal(learner.act(now, np.random.default_rng(0), greedy=True), mean)
    learner.clock["steps"] = learner.rl.warmup
    with torch.no_grad():
        for p in learner.parts["actor"].net.head.log_std.parameters():
            p.zero_()  # sigma = e^-4
    near = np.stack([learner.act(now, np.random.default_rng(i)) for i in range(500)])
    assert 0.5 * math.exp(-4) < near.std(0).max() < 2 * math.exp(-4)
    assert draws.dtype == near.dtype == np.float32


# ---- the promises


def test_alpha_falls_where_entropy_is_above_its_goal_and_rises_below():
    for goal, falls in ((-5.0, True), (5.0, False)):
        learner = walked(60, "--replay-ratio=0", f"--entropy-goal={goal}")
        before = learner.parts["alpha"].net().item()
        learner.update()
        assert (learner.parts["alpha"].net().item() < before) == falls


@pytest.mark.parametrize(("how", "gradient"), [("alpha", 0.7), ("log", 1.0)])
def test_the_temperature_loss_has_the_gradient_of_its_source(how, gradient):
    """d/d ell of alpha * c is alpha c, of log alpha * c it is c."""
    learner = walked(60, "--replay-ratio=0", f"--alpha-loss={how}")
    rows = list(learner.losses(learner.sample(), learner.generator(0)))
    (grad,) = torch.autograd.grad(rows[-1].value, learner.parts["alpha"].trainable)
    excess = rows[1].metrics["policy/entropy"] + 0.5
    assert grad.item() == pytest.approx(gradient * excess.item(), rel=1e-5)


def test_each_loss_moves_its_own_part_only():
    learner = walked(60, "--replay-ratio=0")
    parts = {name: [p.detach().clone() for p in part.net.parameters()] for name, part in learner.parts.items()}
    batch = learner.sample()
    for loss in learner.losses(batch, learner.generator(0)):
        learner.step(loss, loss.value, batch)
        for name, part in learner.parts.items():
            moved = any(not torch.equal(a, b) for a, b in zip(parts[name], part.net.parameters(), strict=True))
            assert moved == (name == loss.part)
            parts[name] = [p.detach().clone() for p in part.net.parameters()]
            assert loss.part == name or all(p.grad is None for p in part.net.parameters())
            part.opt.zero_grad()


def test_the_policy_is_updated_twice_at_every_second_update():
    learner = walked(60, "--replay-ratio=0", "--actor-every=2")
    for _ in range(4):
        learner.update()
    assert {name: part.age for name, part in learner.parts.items()} == {"critic": 4, "actor": 4, "alpha": 4}
    learner.update()
    assert learner.parts["actor"].age == 6


def test_a_time_limit_bootstraps_and_an_end_does_not():
    batch = walked(2_000, "--replay-ratio=0", "--warmup=2k", "--capacity=3k").replay.peek(
        2_000, np.random.default_rng(0)
    )
    ended = batch.next_obs[:, 0].abs() >= 1.5
    assert ended.any()
    assert (batch.discount[ended] == 0).all()
    assert torch.allclose(batch.discount[~ended], torch.tensor(0.99))


def test_with_layer_norm_q_is_bounded_by_its_output_weights():
    learner = made("--norm=layer", "--norm-parts=critic")[1]
    far = torch.full((4, 1), 1e6)
    for judge, q in zip(learner.parts["critic"].net.ensemble, learner.parts["critic"].net(far, far), strict=True):
        out = judge.value
        assert (q.abs() <= out.weight.norm() * math.sqrt(8) + out.bias.abs() + 1e-4).all()
    assert "LayerNorm" not in str(learner.parts["actor"].net)
    assert "GroupNorm" not in str(learner.parts["actor"].net)


@pytest.mark.parametrize("reset", [12, 13])
def test_with_actor_every_2_the_actor_makes_as_many_steps_as_the_critics_in_extra_updates_too(reset):
    flags = ["--actor-every=2", f"--reset-every={reset}:updates", "--catchup-updates=40"]
    world, learner = taken("sac", "toy:reach", *flags)
    learn(learner, world, reset)
    assert {name: part.age for name, part in learner.parts.items()} == {"critic": 40, "actor": 40, "alpha": 40}


def test_a_reset_redraws_every_part_anew_and_leaves_replay_and_games_alone():
    learner = walked(60, "--replay-ratio=0", "--reset-every=1k")
    learner.update()
    rows, rng = learner.replay.state_dict(), deepcopy(learner.rng["act"].bit_generator.state)
    ends = []
    for _ in range(2):
        learner.chain.links[0].fire()
        assert learner.parts["alpha"].net().item() == pytest.approx(0.7)
        assert all(part.age == 0 for part in learner.parts.values())
        for p, s in zip(
            learner.parts["critic"].net.parameters(), learner.parts["critic"].target.parameters(), strict=True
        ):
            assert torch.equal(p, s)
        ends.append(learner.parts["actor"].net.head.mean.weight.detach().clone())
    assert not torch.equal(*ends)
    assert learner.replay.state_dict() == rows
    assert learner.rng["act"].bit_generator.state == rng


def test_a_reset_of_heads_reaches_both_critics_and_the_actor_and_spares_the_temperature():
    learner = walked(80, "--reset-every=1k", "--reset-groups=head")
    before = {
        f"{n}.{k}": p.detach().clone() for n, part in learner.parts.items() for k, p in part.net.named_parameters()
    }
    learner.chain.links[0].fire()
    after = {f"{n}.{k}": p for n, part in learner.parts.items() for k, p in part.net.named_parameters()}
    moved = {name for name in before if not torch.equal(before[name], after[name]) and name.endswith("weight")}
    heads = {"critic.ensemble.0.head.value.weight", "critic.ensemble.1.head.value.weight"}
    assert moved == heads | {"actor.head.mean.weight", "actor.head.log_std.weight"}


@pytest.mark.parametrize("part", ["critic", "actor", "alpha"])
def test_a_reset_of_one_part_leaves_the_others(part):
    learner = walked(80, "--reset-every=1k", f"--reset-parts={part}")
    ages = {name: p.age for name, p in learner.parts.items()}
    learner.chain.links[0].fire()
    assert {name: p.age for name, p in learner.parts.items()} == {**ages, part: 0}


def test_observations_are_normalised_by_what_was_seen_and_the_statistics_outlive_a_checkpoint():
    learner = walked(120, "--norm-obs")
    ring = learner.replay.ring
    seen = ring.frame[1 : ring.stop]  # every row but the very first
    np.testing.assert_allclose(learner.seen.moments.mean, seen.mean(0), atol=1e-3)
    batch = learner.replay.peek(64, np.random.default_rng(0))
    mean, var = learner.seen.moments.mean.astype(np.float32), learner.seen.moments.var.astype(np.float32)
    expected = (batch.obs.numpy() - mean) / np.sqrt(var + 1e-8)
    np.testing.assert_allclose(
        learner.view(np.random.default_rng(0)).batch(64).obs.numpy(), expected, rtol=1e-4, atol=1e-5
    )
    other = made("--norm-obs")[1]
    other.load_state_dict(learner.state_dict())
    assert torch.equal(
        other.observe(dm_env.TimeStep(0, 0, 0, seen[:3])), learner.observe(dm_env.TimeStep(0, 0, 0, seen[:3]))
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--env=CartPole-v1"], "SAC needs continuous actions; CartPole-v1 has 2 discrete ones: use DQN"),
        (["--env=toy:reach", "--norm-parts=critic"], "norm_parts does nothing without --norm layer"),
        (["--env=toy:reach", "--norm=layer", "--norm-parts=q"], "norm_parts: no part 'q'; there are critic, actor"),
        (["--env=toy:reach", "--critic-net=simba", "--norm=layer", "--norm-parts=critic"], "layer norms of simba"),
        (["--env=toy:reach", "--critic-net=bro", "--actor-net=bro", "--init=torch"], "init torch: simba and bro draw"),
        (["--env=toy:reach", "--log-std-min=3"], "log_std_min is 3.0, but must be below log_std_max"),
        (["--env=toy:reach", "--critics=0"], "critics is 0, but must be at least 1"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(flags, sentence, capsys, tmp_path):
    from agents.main import run

    assert run(SAC, SACConfig, [*flags, "--preset=none", f"--out={tmp_path}/run"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_norms_reach_the_parts_they_are_for(norm):
    def normed(*flags):
        learner = made(f"--norm={norm}", *flags)[1]
        return {n for n, part in learner.parts.items() if part.select("norm")}

    assert normed() == {"critic", "actor"}
    assert normed("--norm-parts=critic") == {"critic"}
