"""Law 6: the promises of continual backprop (Dohare et al. 2024)."""

import pytest
import torch

from interventions.cbp import CBP, due, grow, newborn, outgoing
from interventions.surgery import born
from nets.layers import Block, Linear
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, moments, outputs, states
from tests.laws.members import learn, taken

ELEMENTS = "--adam-step=elements"


def pair(activation="relu", units=2):
    """A layer x -> act(x) of `units`, read by one output: (layer, head)."""
    block = Block(Linear(1, units), "none", activation)
    head = Linear(units * block.copies, 1)
    return block.layer("fc", [head]), head


@torch.no_grad()
def test_rate_times_mature_units_are_replaced_over_1e5_updates():
    layer, _ = pair(units=8)
    row, replaced = newborn(layer), 0
    for _ in range(100_000):
        grow(row, 1e-3, 100)
        if row["owed"].item() >= 1:
            which = due(row, 100, 0.99)
            row["age"][which] = 0
            replaced += len(which)
    mature = 8 / 1.1  # of 8, as 100 x rate x mature are young
    assert replaced == pytest.approx(1e-3 * mature * 100_000, rel=0.01)


@torch.no_grad()
def test_the_least_useful_of_the_mature_units_go_first_and_fractions_stay_owed():
    layer, _ = pair(units=4)
    row = newborn(layer)
    row["age"] += torch.tensor([5, 200, 200, 101])
    row["utility"] += torch.tensor([0.0, 3.0, 2.0, 1.0])
    row["owed"] += 2.7
    assert sorted(due(row, 100, 0.99).tolist()) == [2, 3]
    assert row["owed"].item() == pytest.approx(0.7)


@torch.no_grad()
def test_never_more_than_the_mature_units_are_replaced():
    layer, _ = pair(units=4)
    row = newborn(layer)
    row["age"] += torch.tensor([0, 0, 0, 200])
    row["owed"] += 3.0
    assert due(row, 100, 0.99).tolist() == [3]
    assert row["owed"] == 2.0


UTILITIES = {  # |h| = (2, 1), mean h = (2, 0), |h - mean| = (1, 1), |w_out| = (.5, 4), |w_in| = (2, 5)
    "contribution": [1.0, 4.0],
    "zero_contribution": [0.5, 4.0],
    "adaptable_contribution": [0.25, 0.8],
}


@torch.no_grad()
@pytest.mark.parametrize(("utility", "goal"), UTILITIES.items())
def test_utilities_worked_by_hand(utility, goal):
    layer, head = pair("tanh")
    head.weight.copy_(torch.tensor([[-0.5, 4.0]]))
    layer.writer.weight.copy_(torch.tensor([[2.0], [-5.0]]))
    row = newborn(layer)
    grow(row, 0.0, 0)
    CBP(cbp_utility=utility, cbp_decay=0.0).judge(row, layer, torch.tensor([[1.0, 1.0], [3.0, -1.0]]))
    assert row["utility"].tolist() == pytest.approx(goal)


@torch.no_grad()
def test_running_means_are_corrected_for_their_start():
    layer, _ = pair()
    row, act, method = newborn(layer), torch.tensor([[1.0, 3.0], [1.0, 3.0]]), CBP(cbp_utility="zero_contribution")
    for _ in range(3):
        grow(row, 0.0, 0)
        method.judge(row, layer, act)
    torch.testing.assert_close(row["mean"] / (1 - 0.99**3), torch.tensor([[1.0, 3.0]]))
    assert row["utility"].abs().max() < 1e-7  # a constant activation has no zero contribution


@torch.no_grad()
def test_the_copies_of_a_unit_add_up():
    layer, head = pair("crelu")
    head.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))  # relu(x1), relu(x2), relu(-x1), relu(-x2)
    assert outgoing(layer).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    row = newborn(layer)
    grow(row, 0.0, 0)
    CBP(cbp_decay=0.0).judge(row, layer, torch.tensor([[1.0, 0.0, 0.0, 5.0]]))
    assert row["utility"].tolist() == [1.0, 20.0]


@torch.no_grad()
def test_outgoing_weights_are_averaged_over_all_positions_of_a_flattened_channel_and_over_both_streams():
    q = agent(IMAGES, "--head=dueling", updates=0).parts["q"]
    conv3, fc1 = q.net.layers()[2:]
    width = conv3.edges[0].width
    weight = conv3.edges[0].reader.weight
    torch.testing.assert_close(outgoing(conv3)[0, 1], weight[:, width : 2 * width].abs().mean())
    both = torch.cat([q.net.head.value.weight, q.net.head.advantage.weight])
    torch.testing.assert_close(outgoing(fc1)[0], both.abs().mean(0))


def replaced(flags, unit=3, **fields):
    """(outputs before, after) of replacing one unit of fc1 whose mean activation is that of the batch."""
    learner = agent(VECTORS, ELEMENTS, *flags, updates=12)
    method = CBP(cbp_rate=1.0, **fields)
    subject, batch, part = learner.view(stream(0, "cbp")), states(learner), learner.parts["q"]
    rows = method.init(subject)["q"]
    fc1 = part.net.layers()[0]
    with torch.no_grad():
        act = fc1.act(fc1.writer(batch.obs))
    row = rows["torso.fc1"]
    row["mean"].copy_(act.mean(0).view_as(row["mean"])), row["age"].fill_(10**6)
    before = outputs(learner, batch)
    method.replace(subject, part, rows, {"torso.fc1": torch.tensor([unit])})
    return before, outputs(learner, batch), learner, row


@pytest.mark.parametrize("flags", [[], ["--head=dueling"], ["--activation=crelu"], ["--activation=leaky_relu"]])
def test_the_mean_of_the_outputs_over_the_batch_stays(flags):
    before, after, learner, row = replaced(flags, unit=busiest(flags))
    assert (after - before).abs().max() > 1e-4
    torch.testing.assert_close(after.mean(0), before.mean(0), rtol=0, atol=1e-5)
    assert not learner.parts["q"].net.head.value.weight[:, busiest(flags)].any()
    assert row["age"][busiest(flags)] == 0


def busiest(flags):
    """The unit whose activation matters most."""
    learner = agent(VECTORS, ELEMENTS, *flags, updates=12)
    fc1 = learner.parts["q"].net.layers()[0]
    act = fc1.act(fc1.writer(states(learner).obs))
    return int((act.std(0)[: fc1.units] * outgoing(fc1)[0]).argmax())


def test_the_authors_code_transfers_nothing():
    before, after, _, _ = replaced([], unit=busiest([]), cbp_compat=True)
    assert (after - before).mean(0).abs().max() > 1e-4


def test_nothing_is_replaced_before_maturity():
    learner = agent(VECTORS, ELEMENTS, "--cbp-rate=0.5", "--cbp-maturity=30", updates=30)
    assert learner.chain.summary()["event/cbp/units/q"] == 0
    assert learner.chain.links[0].state["q"]["torso.fc1"]["age"].tolist() == [30] * 24


def test_a_newborn_unit_is_silent_at_birth_and_cannot_be_replaced_before_m_updates():
    world, learner = taken("dqn", VECTORS, ELEMENTS, "--cbp-rate=0.1", "--cbp-maturity=5")
    state, births = learner.chain.links[0].state, {}
    part, weight = learner.parts["q"], learner.parts["q"].net.head.value.weight
    world.begin()
    for _ in world.loop(learner):
        while learner.owed() > 0 and learner.clock["updates"] < 40:
            learner.update()
            now = learner.clock["updates"]
            for unit in (state["q"]["torso.fc1"]["age"] == 0).nonzero()[:, 0].tolist():
                assert not weight[:, unit].any()
                assert now - births.get(unit, 0) > 5
                births[unit] = now
        if learner.clock["updates"] >= 40:
            break
    assert len(births) > 5
    assert learner.chain.summary()["event/cbp/units/q"] >= len(births)
    assert part.age == 40


def test_every_slot_of_adam_is_zero_exactly_on_rows_and_columns():
    learner = agent(VECTORS, ELEMENTS, updates=12)
    part, method = learner.parts["q"], CBP(cbp_rate=1.0)
    slots, subject = moments(part), learner.view(stream(0, "cbp"))
    method.replace(subject, part, method.init(subject)["q"], {"torso.fc1": torch.tensor([2])})
    for name, row in moments(part).items():
        assert len(row) >= 3
        for slot, x in row.items():
            kept = slots[name][slot].clone()
            if "fc1" in name:
                kept[2] = 0
            if name == "head.value.weight":
                kept[:, 2] = 0
            assert torch.equal(x, kept), (name, slot)


def test_adam_with_one_step_count_a_tensor_is_refused_and_sgd_is_not():
    for flags, sentences in (([], 1), ([ELEMENTS], 0), (["--optimizer=sgd"], 0), (["--optimizer=adamw"], 1)):
        learner = agent(VECTORS, *flags, updates=0)
        found = list(CBP(cbp_rate=1e-4).refuse(learner.view(None)))
        assert len(found) == sentences
        assert all("--adam-step elements" in sentence for sentence in found)


def test_incoming_weights_are_those_of_a_fresh_network_or_the_authors_bound():
    for init in ("fresh", "kaiming"):
        _, _, learner, _ = replaced([], cbp_init=init)
        writer = learner.parts["q"].net.torso.fc1.writer
        seed = learner.view(stream(0, "cbp")).seed()
        fresh = born(learner.parts["q"], seed)["torso.fc1"].writer
        assert torch.equal(writer.weight[3], fresh.weight[3]) == (init == "fresh")
        assert (writer.bias[3] == 0) == (init == "kaiming")


GAINS = [  # of torch.nn.init.calculate_gain, as lop/algos/gnt.py
    (["--activation=relu"], 2**0.5),
    (["--activation=tanh"], 5 / 3),
    (["--activation=leaky_relu", "--slope=0.5"], (2 / 1.25) ** 0.5),
    (["--activation=prelu"], (2 / 1.0625) ** 0.5),
    (["--activation=crelu"], 2**0.5),
    (["--activation=fourier"], 2**0.5),
]


@pytest.mark.parametrize(("flags", "gain"), GAINS)
def test_the_authors_bound_has_the_gain_of_the_activation(flags, gain):
    learner = agent(IMAGES, ELEMENTS, "--hidden=256", "--width=1", *flags, updates=0)
    subject, method = learner.view(stream(0, "cbp")), CBP(cbp_rate=1.0, cbp_init="kaiming")
    part = learner.parts["q"]
    method.replace(subject, part, method.init(subject)["q"], {x.name: torch.arange(x.units) for x in part.net.layers()})
    weight = part.net.encoder.conv1.writer.weight
    bound = gain * (3 / weight[0].numel()) ** 0.5
    assert 0.98 * bound < weight.abs().max() <= bound
    torch.testing.assert_close(weight.var(), torch.tensor(bound**2 / 3), rtol=0.05, atol=0)


def test_a_reset_makes_the_redrawn_layers_young_again():
    flags = ["--cbp-rate=0.0001", "--reset-every=10:updates", "--reset-groups=head,conv1"]
    learner = agent(IMAGES, ELEMENTS, *flags, updates=10)
    (state,) = [link.state for link in learner.chain.links if link.name == "cbp"]
    ages = {layer: int(row["age"].max()) for layer, row in state["q"].items()}
    assert ages == {"encoder.conv1": 0, "encoder.conv2": 10, "encoder.conv3": 10, "torso.fc1": 10}


def test_an_actor_that_steps_half_as_often_grows_old_half_as_fast():
    world, learner = taken("sac", "toy:reach", ELEMENTS, "--cbp-rate=0.0001", "--actor-every=4")
    learn(learner, world, 12)
    state = learner.chain.links[0].state
    assert set(state) == {"critic", "actor"}
    assert int(state["critic"]["ensemble.1.torso.fc1"]["age"][0]) == 12
    assert int(state["actor"]["torso.fc1"]["age"][0]) == 12  # it makes four steps at every fourth update
