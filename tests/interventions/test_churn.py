"""Law 6: the promises of CHAIN and C-CHAIN (Tang & Berseth 2024, Tang et al. 2025)."""

import pytest
import torch

from interventions.churn import Churn
from nets.subject import Loss
from tests.interventions.penalised import born, gradients, grown, link, on_batch, shift, weights
from tests.laws.members import learn, taken

IMAGES, VECTORS, REACH = "toy:catch", "toy:chain", "toy:reach"
ON = "--churn-weight=1"


def reports(agent):
    return {tag: x for tag, x in agent.chain.summary().items() if "/loss/" in tag}


@pytest.mark.parametrize(
    ("name", "env"), [("dqn", IMAGES), ("dqn", VECTORS), ("sac", REACH), ("classifier", "labels:generated")]
)
def test_the_loss_is_0_in_the_first_update_and_not_in_the_second(name, env):
    world, agent = taken(name, env, ON)
    learn(agent, world, 1)
    first = reports(agent)
    assert first
    assert all(abs(x) < 1e-9 for x in first.values())
    agent.update()
    agent.update()
    assert all(x > 0 for x in reports(agent).values())


def test_it_is_the_mean_square_of_what_the_last_update_moved_on_other_states():
    agent = grown("dqn", VECTORS, ON)
    mine = link(agent, "churn")
    previous = {name: p.clone() for name, p in mine.state["q"]["previous"].items()}
    stream = mine.subject.rng.bit_generator.state
    value = on_batch(agent, "churn")
    mine.subject.rng.bit_generator.state = stream
    mine.subject.batch()  # the update's batch in on_batch
    other = mine.subject.batch()
    with torch.no_grad():
        moved = mine.subject.run("q", other) - mine.subject.run("q", other, previous)
    torch.testing.assert_close(value.detach(), moved.square().mean())
    assert gradients(agent, value)["torso.fc1.writer.weight"].any()


def test_the_earlier_network_is_that_of_one_update_ago():
    agent = grown("dqn", VECTORS, ON)
    now = weights(agent)
    agent.update()
    for name, p in link(agent, "churn").state["q"]["previous"].items():
        assert torch.equal(p, now[name])
        assert not torch.equal(p, weights(agent)[name])


@pytest.mark.parametrize("other", [["--popart-rate=0.01", "--loss=mse"], ["--specnorm-scale=1"]])
def test_the_earlier_network_has_its_own_scales_and_norms(other):
    """Q_prev is what the network showed when the last update began."""
    agent = grown("dqn", VECTORS, ON, *other, updates=5)
    mine, shown = link(agent, "churn"), []
    batch = mine.subject.batch(32)
    for _ in range(2):
        with torch.no_grad():
            shown.append(agent.run("q", batch))
        agent.update()
    with torch.no_grad():
        previous = agent.run("q", batch, mine.state["q"]["previous"])
    torch.testing.assert_close(previous, shown[-1], rtol=0, atol=0)
    assert not torch.equal(agent.run("q", batch), shown[-1])


def test_the_heavier_c_is_the_less_predictions_on_other_states_change():
    moves = []
    for weight in ("1e-6", "1e2", "1e6"):
        agent = grown("dqn", VECTORS, f"--churn-weight={weight}", "--optimizer=rmsprop", updates=12)
        batch = link(agent, "churn").subject.batch(64)
        before = agent.run("q", batch).detach()
        for _ in range(4):
            agent.update()
        moves.append(float((agent.run("q", batch).detach() - before).abs().mean()))
    assert moves[2] < 0.5 * moves[0]


def test_the_squares_of_an_ensembles_members_add_up():
    agent = grown("sac", REACH, ON)
    mine = link(agent, "churn")
    previous = {name: p.clone() for name, p in mine.state["critic"]["previous"].items()}
    stream = mine.subject.rng.bit_generator.state
    value = on_batch(agent, "churn", "critic")
    mine.subject.rng.bit_generator.state = stream
    mine.subject.batch()
    other = mine.subject.batch()
    with torch.no_grad():
        moved = mine.subject.run("critic", other) - mine.subject.run("critic", other, previous)  # [B, 2]
    torch.testing.assert_close(value.detach(), moved.square().mean(0).sum())


def test_a_policy_is_held_by_the_divergence_times_the_size_of_its_values():
    """Values of 5 and -1 have a mean of 2 and a size of 3."""
    loss = Loss("actor", torch.tensor(2.0), each=torch.tensor([5.0, -1.0]))
    assert Churn(churn_policy=0.5).coefficient({"seen": 0}, loss) == 1.5
    agent = grown("sac", REACH, ON, "--churn-policy=0.5")
    assert reports(agent)["event/churn/loss/actor"] > 0
    alone = grown("sac", REACH, ON, "--churn-policy=0")
    assert set(link(alone, "churn").state) == {"critic"}


def test_a_temperature_is_left_alone():
    assert set(link(born("sac", REACH, ON), "churn").state) == {"critic", "actor"}


def test_the_automatic_coefficient_makes_the_penalty_a_fraction_of_the_loss():
    """Losses 2 and 4, churns .1 and .2: c = .05 * 3 / .15 = 1; before that the fixed one."""
    method, loss = Churn(churn_weight=100.0, churn_auto=0.05, churn_begin=2, churn_window=4), Loss("q", torch.zeros(()))
    mine = {"losses": torch.tensor([2.0, 4.0, 0.0, 0.0]), "churns": torch.tensor([0.1, 0.2, 0.0, 0.0]), "seen": 2}
    assert float(method.coefficient(mine, loss)) == pytest.approx(1.0)
    assert method.coefficient(mine | {"seen": 1}, loss) == 100.0
    assert float(Churn(churn_auto=0.05, churn_begin=2, churn_least=3.0).coefficient(mine, loss)) == 3.0


def test_the_running_means_are_of_the_last_losses():
    agent = grown("dqn", VECTORS, ON, "--churn-auto=0.1", "--churn-begin=3", "--churn-window=4", updates=6)
    mine = link(agent, "churn").state["q"]
    assert mine["seen"] == 6
    assert (mine["losses"] > 0).all()
    oldest = mine["losses"][2].clone()
    agent.update()
    assert mine["losses"][2] != oldest


def test_what_was_redrawn_has_no_past():
    agent = grown("dqn", VECTORS, ON, "--reset-every=5:updates", "--reset-groups=head", updates=5)
    previous, now = link(agent, "churn").state["q"]["previous"], weights(agent)
    assert torch.equal(previous["head.value.weight"], now["head.value.weight"])
    assert not torch.equal(previous["torso.fc1.writer.weight"], now["torso.fc1.writer.weight"])


def test_the_memory_order_of_a_checkpoint_changes_nothing():
    values = []
    for contiguous in (False, True):
        agent = grown("dqn", IMAGES, ON)
        mine = link(agent, "churn")
        shift(agent)
        if contiguous:
            mine.state["q"]["previous"] = {n: p.contiguous() for n, p in mine.state["q"]["previous"].items()}
        values.append(on_batch(agent, "churn"))
    assert torch.equal(*values)
