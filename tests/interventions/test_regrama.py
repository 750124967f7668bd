"""Law 6: the promises of ReGraMa (Liu et al. 2025)."""

import pytest
import torch

from interventions.regrama import ReGraMa, activity, measured
from nets.anatomy import Tape
from nets.layers import Block, Linear
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, fire, named, states
from tests.laws.members import learn, taken

SCORES = ("w", "a", "h")


def sizes(method, learner, part="q"):
    subject = learner.view(stream(0, "test"))
    return method.sizes(subject, states(learner))[part]


def deafen(learner, layer="torso.fc1", unit=2):
    """A unit that nobody hears."""
    (row,) = [x for x in learner.parts["q"].net.layers() if x.name == layer]
    with torch.no_grad():
        for edge in row.edges:
            edge.reader.weight[:, edge.columns(torch.tensor([unit]))] = 0


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("flags", [[], ["--norm=layer"], ["--activation=leaky_relu"], ["--activation=crelu"]])
def test_a_unit_without_outgoing_weights_has_no_gradient(score, flags):
    for layer in ("encoder.conv3", "torso.fc1"):
        learner = agent(IMAGES, *flags, updates=3)
        deafen(learner, layer)
        g = activity(sizes(ReGraMa(regrama_score=score), learner)[layer])
        if score == "h" or "--norm=layer" not in flags:
            assert g[2] == 0
        assert g.mean() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_the_scale_of_the_loss_does_not_matter(score, monkeypatch):
    learner = agent(VECTORS, updates=3)
    method, plain = ReGraMa(regrama_score=score), learner.losses
    before = sizes(method, learner)["torso.fc1"]
    scaled = lambda *args: (x._replace(value=1e-6 * x.value) for x in plain(*args))
    monkeypatch.setattr(learner, "losses", scaled)
    after = sizes(method, learner)["torso.fc1"]
    torch.testing.assert_close(after, 1e-6 * before)
    torch.testing.assert_close(activity(after), activity(before))


@pytest.mark.parametrize(("score", "goal"), [("w", [0.0, 0.0]), ("a", [0.5, 1.5]), ("h", [0.5, 1.5])])
def test_opposite_gradients_of_two_samples_cancel_only_in_the_weights(score, goal):
    block, head = Block(Linear(1, 2), "none", "relu"), Linear(2, 1)
    layer = block.layer("fc", [head])
    with torch.no_grad():
        block.writer.weight.fill_(1.0), block.writer.bias.fill_(0.0)
        head.weight.copy_(torch.tensor([[1.0, -3.0]]))
    before = block.writer(torch.ones(2, 1))
    out = head(behind := block.act(before))
    value = (out[0] - out[1]).sum() / 2
    assert measured(value, [layer], Tape({"fc": behind}, {}, {"fc": before}), score)["fc"].tolist() == goal


def test_w_is_the_mean_size_over_incoming_weights_whatever_their_signs():
    block, head = Block(Linear(2, 2), "none", "tanh"), Linear(2, 1)
    layer = block.layer("fc", [head])
    with torch.no_grad():
        block.writer.weight.fill_(0.0), block.writer.bias.fill_(0.0)  # tanh'(0) = 1
        head.weight.copy_(torch.tensor([[1.0, -3.0]]))
    value = head(block(torch.tensor([[2.0, -4.0]]))).sum()  # dL/dw = (2, -4) and (-6, 12)
    assert measured(value, [layer], Tape(), "w")["fc"].tolist() == [3.0, 9.0]


def test_a_before_the_activation_sees_that_a_unit_is_dead_and_h_behind_it_does_not():
    learner = agent(VECTORS, updates=3)
    with torch.no_grad():
        learner.parts["q"].net.torso.fc1.writer.bias[4] = -1e3
    found = {score: activity(sizes(ReGraMa(regrama_score=score), learner)["torso.fc1"])[4] for score in SCORES}
    assert found["w"] == found["a"] == 0
    assert found["h"] > 0


def test_inactive_units_are_reborn_and_silent_and_all_others_keep_their_bits():
    learner = agent(VECTORS, updates=12)
    deafen(learner)
    before = named(learner.parts["q"])
    method, same = ReGraMa(regrama_tau=0.0, regrama_batch=64), learner.view(stream(0, "regrama"))
    g = activity(method.sizes(same, same.batch(64))["q"]["torso.fc1"])
    chosen = (g == 0).nonzero()[:, 0].tolist()
    fire(method, learner)
    after = named(learner.parts["q"])
    rows = (after["torso.fc1.writer.weight"] != before["torso.fc1.writer.weight"]).any(1)
    assert 2 in chosen and len(chosen) < 12
    assert rows.nonzero()[:, 0].tolist() == chosen
    assert not after["head.value.weight"][:, chosen].any()
    others = [u for u in range(24) if u not in chosen]
    assert torch.equal(after["head.value.weight"][:, others], before["head.value.weight"][:, others])


def test_small_outgoing_weights_make_a_reborn_unit_heard():
    learner = agent(VECTORS)
    deafen(learner)
    fire(ReGraMa(regrama_tau=0.0, regrama_outgoing=0.01), learner)
    column = learner.parts["q"].net.head.value.weight[:, 2]
    assert 0 < column.abs().max() < 0.01


def test_a_layer_without_any_gradient_is_inactive_as_a_whole():
    assert activity(torch.zeros(4)).tolist() == [0, 0, 0, 0]
    assert activity(torch.tensor([1e-30, 3e-30])).tolist() == pytest.approx([0.5, 1.5])


def test_actor_and_both_critics_are_scored_and_the_temperature_is_left_alone():
    world, learner = taken("sac", "toy:reach")
    learn(learner, world, 12)
    found = ReGraMa().sizes(learner.view(stream(0, "test")), states(learner))
    assert set(found) == {"critic", "actor"}
    assert set(found["critic"]) == {f"ensemble.{i}.torso.fc1" for i in (0, 1)}
    assert all(g.min() >= 0 and g.max() > 0 for layers in found.values() for g in layers.values())


def test_a_firing_reports_the_absolute_gradient_and_the_number_of_units():
    learner = agent(VECTORS, "--regrama-every=5:updates", "--regrama-tau=1e9")
    row = learner.chain.drain()[0]
    assert row["event/regrama/units/q"] == 24
    assert row["event/regrama/gradient/q"] > 0
