"""One update of DQN equals a plain one in torch, written here from algorithms A.0.4 and A.1 alone."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from runs.units import NEVER
from tests.agents.tiny import agent, walked

LR, EPS, CLIP = 1e-2, 1e-4, 0.05


class Pixels(nn.Module):
    def forward(self, x):
        return x.float() / 255


def plain(env):
    if env == "toy:chain":
        return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    convs = (nn.Conv2d(4, 8, 8, 4), nn.ReLU(), nn.Conv2d(8, 16, 4, 2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU())
    return nn.Sequential(Pixels(), *convs, nn.Flatten(), nn.Linear(16 * 4, 8), nn.ReLU(), nn.Linear(8, 3))


def copy_of(net, env):
    other = plain(env)
    for p, q in zip(other.parameters(), net.parameters(), strict=True):
        p.data = q.detach().clone().contiguous()
    return other


def update(q, slow, opt, batch, double, loss, clip):
    index = torch.arange(len(batch.action))
    with torch.no_grad():
        following = slow(batch.next_obs)
        best = (q(batch.next_obs) if double else following).argmax(1)
        goal = batch.reward + batch.discount * following[index, best]
    delta = goal - q(batch.obs)[index, batch.action]
    value = delta.pow(2).mean() if loss == "mse" else nn.functional.huber_loss(delta, torch.zeros_like(delta))
    opt.zero_grad()
    value.backward()
    if clip:
        nn.utils.clip_grad_norm_(q.parameters(), clip)
    opt.step()
    return value.item()


@pytest.mark.parametrize("clip", [0.0, CLIP])
@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("env", "width"), [("toy:chain", 1.0), ("toy:catch", 0.25)])
def test_updates_equal_plain_torch(env, width, double, loss, clip):
    learn = {"replay_ratio": 0.0, "n_step": 2, "target_every": NEVER, "batch_size": 16}
    hidden = (round(8 / width),)
    options = {"optim": {"lr": LR, "eps": EPS, "clip": clip}, "net": {"width": width, "hidden": hidden}}
    learner = walked(*agent(env, learn=learn, double=double, loss=loss, **options), 100)
    part = learner.parts["q"]
    part.target.load_state_dict(part.fresh(99).state_dict())  # else double and plain are the same
    q, slow = copy_of(part.net, env), copy_of(part.target, env)
    opt = torch.optim.Adam(q.parameters(), lr=LR, eps=EPS, foreach=False, fused=False)
    rng = deepcopy(learner.rng["replay"])
    values = []
    for _ in range(5):
        values.append(update(q, slow, opt, learner.replay.sample(16, rng, 2, 0.99), double, loss, clip))
        learner.update()
    for p, r in zip(part.net.parameters(), q.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), r.detach(), rtol=1e-5, atol=1e-5)
    assert learner.metrics()["loss/q"] == pytest.approx(sum(values) / 5, rel=1e-5)


def test_double_and_plain_differ_where_the_networks_do():
    losses = []
    for double in (False, True):
        learner = walked(*agent(learn={"replay_ratio": 0.0}, double=double), 60)
        part = learner.parts["q"]
        part.target.load_state_dict(part.fresh(99).state_dict())
        learner.update()
        losses.append(learner.metrics()["loss/q"])
    assert losses[0] != losses[1]
