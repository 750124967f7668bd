"""The gap between transitions that were learned from and those that were not."""

import math
from types import SimpleNamespace

import pytest
import torch

from nets.subject import Loss
from probes.generalisation import Generalisation
from runs.rng import stream
from tests.laws.members import learn, taken
from tests.probes.constructed import part, states


def test_the_gap_by_hand():
    """A td of obs - 1, a loss of its square: 1 and 3 were learned from, 5 was not."""

    def losses(batch):
        td = batch.obs[:, 0] - 1
        yield Loss("q", td.square().mean(), td)

    batch, held = states(torch.tensor([[1.0], [-3.0]])), states(torch.tensor([[5.0], [5.0]]))
    seen = SimpleNamespace(parts={"q": part()}, losses=losses, held=lambda size: held)
    row = Generalisation().measure(seen, batch, {})
    assert row == {"td": 2, "td/held": 4, "td/train": 2, "loss": 8, "loss/held": 16, "loss/train": 8}


def test_it_is_absent_where_nothing_is_held_out():
    for name, env in (("dqn", "toy:catch"), ("classifier", "labels:generated")):
        world, agent = taken(name, env)
        learn(agent, world, 3)
        subject = agent.view(stream(0, "probe"))
        assert Generalisation().measure(subject, subject.batch(16), {}) == {}


def views(*flags, name="dqn", env="CartPole-v1", updates=30):
    world, agent = taken(name, env, "--holdout=0.3", "--warmup=150", "--replay-ratio=8", *flags)
    learn(agent, world, updates)
    return agent, agent.view(stream(0, "probe"))


@pytest.mark.parametrize(("flags", "kinds"), [([], ("td", "loss")), (["--loss=hl_gauss"], ("td", "loss"))])
def test_both_sides_come_from_the_replay(flags, kinds):
    agent, subject = views(*flags)
    row = Generalisation().measure(subject, subject.batch(64), {})
    assert set(row) == {f"{kind}{side}" for kind in kinds for side in ("", "/held", "/train")}
    assert all(math.isfinite(x) for x in row.values())
    ring = agent.replay.ring
    assert ring.held[ring.slots(subject.held(32).index.numpy())].all()


def test_a_network_that_learned_its_states_by_heart_has_a_gap():
    """Values are regressed to the reward alone; the rewards of episodes held out are then made others."""
    agent, subject = views("--gamma=0", "--lr=1e-2", updates=400)
    even = Generalisation().measure(subject, subject.batch(256), {})
    held = agent.replay.ring.held == 1
    agent.replay.ring.reward[held] += 5.0
    other = Generalisation().measure(subject, subject.batch(256), {})
    assert abs(even["td"]) < 0.5
    assert other["td"] > 4
    assert other["td/train"] == pytest.approx(even["td/train"], abs=0.1)


def test_critics_have_a_gap_and_actors_have_none():
    world, agent = taken("sac", "toy:reach", "--holdout=0.5")
    learn(agent, world, 40)
    subject = agent.view(stream(0, "probe"))
    assert set(Generalisation().measure(subject, subject.batch(16), {})) >= {"td", "loss", "td/held", "loss/train"}


def test_a_spoilt_weight_never_reads_healthy():
    agent, subject = views()
    agent.parts["q"].net.head.value.bias.data[0] = math.nan
    row = Generalisation().measure(subject, subject.batch(16), {})
    assert row and all(math.isnan(x) for x in row.values())
