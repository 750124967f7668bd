"""DQN as an agent: actions, losses, metrics and its state."""

import gymnasium
import numpy as np
import pytest
import torch

from agents.dqn import DQN
from agents.tally import NotFinite
from envs.spec import EnvSpec
from runs import pack
from runs.rng import stream
from tests.agents.tiny import agent, batch, timestep, walked

CELLS = np.eye(5, dtype=np.float32)


def prefer(learner, q):
    """Make the network answer q [A] everywhere."""
    with torch.no_grad():
        head = learner.parts["q"].net.head.value
        head.weight.zero_()
        head.bias.copy_(torch.tensor(q))
    return learner


def two(reward, discount):
    return batch(torch.eye(5)[:2], torch.tensor([0, 1]), reward, discount, torch.eye(5)[2:4])


def test_continuous_actions_are_refused_with_their_number():
    box = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    with pytest.raises(ValueError, match="DQN needs discrete actions; Arm has 3 continuous ones"):
        DQN.accepts(EnvSpec("Arm", box, box))


def test_greedy_actions_are_the_best_of_each_row():
    learner = prefer(agent(epsilon_eval=0.0)[1], [1.0, 2.0])
    action = learner.act(timestep(CELLS[:3]), stream(0, "x"), greedy=True)
    assert (action.dtype, action.tolist()) == (np.int64, [1, 1, 1])


def test_greedy_explores_by_the_evaluation_epsilon_alone():
    learner = prefer(agent(epsilon_eval=0.25)[1], [1.0, 2.0])
    obs = np.repeat(CELLS[:1], 4000, axis=0)
    share = (learner.act(timestep(obs), stream(0, "x"), greedy=True) == 0).mean()
    assert share == pytest.approx(0.125, abs=0.02)


def test_training_explores_by_the_clock():
    learner = prefer(agent(epsilon_decay=40, epsilon_final=0.1)[1], [1.0, 2.0])
    eps = []
    for steps in (0, 20, 40, 60, 99):  # warm-up 20, decay 40
        learner.clock["steps"] = steps
        eps.append(learner.epsilon(greedy=False))
    assert eps == pytest.approx([1, 1, 0.55, 0.1, 0.1])


def test_acting_draws_the_same_numbers_at_every_step():
    learner, states = agent()[1], []
    for steps in (0, 10**6):
        learner.clock["steps"] = steps
        rng = stream(0, "x")
        learner.act(timestep(CELLS), rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


def test_the_loss_by_hand():
    learner = prefer(agent(loss="mse")[1], [1.0, 2.0])
    learner.parts["q"].sync()
    (loss,) = learner.losses(two([10.0, 20.0], [0.5, 0.0]), learner.loss_rng)
    assert loss.part == "q"
    assert loss.td.tolist() == [10 + 0.5 * 2 - 1, 20 - 2]
    assert loss.value.item() == (10**2 + 18**2) / 2
    assert {tag: x.item() for tag, x in loss.metrics.items()} == {"q/mean": 1.5, "q/max": 2.0}


def test_the_metrics_are_the_mean_value_and_the_mean_best_value():
    learner = agent()[1]
    sample = two([0.0, 0.0], [1.0, 1.0])
    (loss,) = learner.losses(sample, learner.loss_rng)
    values = learner.run("q", sample)
    assert loss.metrics["q/mean"].item() == pytest.approx(values.mean().item())
    assert loss.metrics["q/max"].item() == pytest.approx((values[0].max() + values[1].max()).item() / 2)


def test_weights_scale_each_sample_of_the_loss():
    learner = prefer(agent(loss="mse")[1], [1.0, 2.0])
    learner.parts["q"].sync()
    weighted = two([10.0, 20.0], [0.5, 0.0])._replace(weight=torch.tensor([1.0, 0.5]))
    (loss,) = learner.losses(weighted, learner.loss_rng)
    assert loss.value.item() == (10**2 + 0.5 * 18**2) / 2


def test_metrics_are_means_over_the_updates_since_the_last_record():
    learner = walked(*agent(learn={"replay_ratio": 0.0}), 60)
    losses = []
    for _ in range(3):
        learner.update()
        losses.append(float(learner.tally.sums["loss/q"]))
    assert learner.metrics()["loss/q"] == pytest.approx(losses[-1] / 3)
    assert learner.metrics() == {}


def test_a_clipped_gradient_is_recorded_as_it_was():
    learner = walked(*agent(learn={"replay_ratio": 0.0}, optim={"clip": 1e-6}), 60)
    learner.update()
    assert learner.metrics()["grad/q"] > 1e-4


def test_age_counts_updates():
    assert walked(*agent(learn={"replay_ratio": 1.0}), 30).parts["q"].age == 10


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(value, monkeypatch):
    learner = walked(*agent(learn={"replay_ratio": 1.0}), 30)
    before = pack.digest(learner.parts["q"].state_dict())
    monkeypatch.setattr("agents.goals.huber", lambda td: td * value)
    with pytest.raises(NotFinite, match="the loss of part 'q' or its gradient is not finite") as stopped:
        learner.update()
    assert stopped.value.batch is not None
    assert pack.digest(learner.parts["q"].state_dict()) == before


def test_a_gradient_that_is_not_finite_stops_before_the_step(monkeypatch):
    learner = walked(*agent(learn={"replay_ratio": 1.0}), 30)
    monkeypatch.setattr("agents.goals.huber", lambda td: (td - td.detach()).sqrt())  # 0, with slope infinity
    with pytest.raises(NotFinite):
        learner.update()


def test_a_state_continues_between_two_records_through_a_file():
    world, old = agent(learn={"replay_ratio": 1.0})
    walked(world, old, 30)
    new = agent(learn={"replay_ratio": 1.0}, seed=5)[1]
    new.load_state_dict(pack.decode(*pack.encode(old.state_dict())))
    assert old.tally.count == 10
    assert pack.digest(new.state_dict()) == pack.digest(old.state_dict())
    assert new.metrics() == old.metrics()


def test_runs_of_one_seed_are_equal_and_of_two_are_not():
    first, again, other = (pack.digest(walked(*agent(seed=s), 60).state_dict()) for s in (0, 0, 1))
    assert first == again != other


def test_a_batch_of_a_method_is_not_overwritten_by_the_next():
    learner = walked(*agent(), 60)
    view = learner.view(stream(0, "x"))
    first = view.batch(8)
    kept = first.obs.clone()
    view.batch(8)
    learner.update()
    assert torch.equal(first.obs, kept)
