"""Law 6: the promises of InFeR (Lyle et al. 2022)."""

import pytest
import torch

from interventions.infer import answers, firsts
from nets.anatomy import record
from tests.interventions.penalised import born, gradients, grown, link, on_batch, weights
from tests.laws.members import taken
from tests.nets.nudge import edges_tell_the_truth, every_matrix_is_listed_once

IMAGES, VECTORS, REACH = "toy:catch", "toy:chain", "toy:reach"
ON = "--infer-weight=0.1"


@pytest.mark.parametrize(
    ("name", "env", "part", "flags"),
    [
        ("dqn", IMAGES, "q", []),
        ("dqn", VECTORS, "q", ["--noisy=0.5"]),
        ("sac", REACH, "critic", []),
        ("classifier", "labels:generated", "net", []),
    ],
)
def test_with_beta_1_the_loss_is_0_at_step_0(name, env, part, flags):
    agent = born(name, env, ON, "--infer-beta=1", *flags)
    batch = link(grown(name, env, ON), "infer").subject.batch()
    value = on_batch(agent, "infer", part, batch)
    assert value < 1e-10
    assert on_batch(born(name, env, ON, "--infer-beta=2", *flags), "infer", part, batch) > 1e-6


def test_at_step_0_the_loss_is_the_heads_answers_squared_times_beta_minus_1_squared():
    agent = born("dqn", VECTORS, ON, "--infer-beta=3")
    batch = link(grown("dqn", VECTORS, ON), "infer").subject.batch()
    with torch.no_grad():
        answers = agent.parts["q"].net.infer[0](agent.parts["q"].net.features(batch.obs))  # [B, 10]
    assert answers.shape[1] == 10
    torch.testing.assert_close(on_batch(agent, "infer", batch=batch).detach(), 0.1 * 4 * answers.square().sum(1).mean())


def test_the_forms_differ_by_the_number_of_heads():
    batch = link(grown("dqn", VECTORS, ON), "infer").subject.batch()
    total, mean = (
        on_batch(born("dqn", VECTORS, ON, "--infer-heads=4", f"--infer-form={f}"), "infer", batch=batch)
        for f in ("sum", "mean")
    )
    torch.testing.assert_close(total, 4 * mean)


def test_the_frozen_branch_is_unchanged_after_1000_updates_and_the_heads_are_trained():
    """Under spectral normalisation, too, whose vectors are those of the present weights."""
    flags = (ON, "--specnorm-scale=1", "--hidden", "16")
    newborn, agent = born("dqn", VECTORS, *flags), grown("dqn", VECTORS, *flags, updates=1000)
    first = link(agent, "infer").state["q"]
    x = torch.rand((8, *agent.spec.observation.shape))
    with record(newborn.parts["q"].net) as then, torch.no_grad():
        newborn.parts["q"].net(x)
    with record(agent.parts["q"].net) as now, torch.no_grad():
        agent.parts["q"].wearing(first)(x)
    torch.testing.assert_close(answers(now.features, first), answers(then.features, weights(newborn)))
    assert not torch.equal(weights(agent)["infer.0.weight"], weights(newborn)["infer.0.weight"])
    assert any(p is agent.parts["q"].net.infer[0].weight for p in agent.parts["q"].trainable)


def test_the_gradient_reaches_the_convolutions_and_the_heads_but_not_the_values():
    grads = gradients(agent := grown("dqn", IMAGES, ON), on_batch(agent, "infer"))
    assert grads["encoder.conv1.writer.weight"].any()
    assert grads["infer.0.weight"].any()
    assert not grads["head.value.weight"].any()


def test_the_network_is_the_one_it_would_be_without_heads():
    plain, agent = born("dqn", IMAGES), born("dqn", IMAGES, ON)
    mine = weights(agent)
    assert set(mine) - set(weights(plain)) == {"infer.0.weight", "infer.0.bias"}
    assert all(torch.equal(mine[name], p) for name, p in weights(plain).items())
    x = torch.ones((2, *agent.spec.observation.shape))
    assert torch.equal(plain.parts["q"].net(x), agent.parts["q"].net(x))


@pytest.mark.parametrize(
    ("name", "env", "flags"),
    [
        ("dqn", IMAGES, ["--head=dueling", "--activation=crelu"]),
        ("dqn", VECTORS, []),
        ("sac", REACH, ["--infer-parts=critic,actor"]),
        ("sac", REACH, ["--infer-parts=critic,actor", "--critic-net=simba", "--actor-net=bro"]),
        ("classifier", "labels:generated", ["--net=resnet18", "--hidden"]),
        ("classifier", "labels:generated", ["--net=vit", "--hidden"]),
    ],
)
def test_the_anatomy_lists_the_heads_among_the_readers(name, env, flags):
    agent = born(name, env, ON, *flags)
    for which in agent.chain.links[0].state:
        net = agent.parts[which].net
        every_matrix_is_listed_once(net)
        heads = set(net.infer)
        read = {edge.reader for layer in net.layers() for edge in layer.edges}
        assert heads <= read | set(net.shared())
        assert {type(edge.reader) for layer in net.layers() for edge in layer.edges if edge.reader in heads} or not (
            heads & read
        )


def test_a_unit_reaches_exactly_the_columns_of_the_heads_that_its_edges_name():
    agent = born("dqn", IMAGES, ON, "--activation=crelu")
    net, x = agent.parts["q"].net, torch.rand((2, *agent.spec.observation.shape))

    def call():
        with record(net) as tape:
            net(x)
        net.infer[0](tape.features[0])

    edges_tell_the_truth(net, call=call)
    last = net.layers()[-1]
    assert sum(edge.reader is net.infer[0] for edge in last.edges) == 2  # a CReLU unit is read twice


def test_streams_of_one_head_share_their_heads_and_members_have_their_own():
    assert len(born("dqn", VECTORS, ON, "--head=dueling").parts["q"].net.infer) == 1
    sac = born("sac", REACH, ON, "--infer-parts=critic,actor")
    assert len(sac.parts["critic"].net.infer) == 2
    assert len(firsts(sac.parts["actor"].net)) == 1


def test_policies_have_heads_only_by_name():
    agent = born("sac", REACH, ON)
    assert set(agent.chain.links[0].state) == {"critic"}
    assert "infer.0.weight" not in weights(agent, "actor")
    assert taken("sac", REACH, ON, "--infer-parts=alpha") is None


def test_the_memory_order_of_a_checkpoint_changes_nothing():
    agent = grown("dqn", IMAGES, ON)
    mine, batch = link(agent, "infer"), link(agent, "infer").subject.batch()
    before = on_batch(agent, "infer", batch=batch)
    mine.state = {"q": {name: p.contiguous() for name, p in mine.state["q"].items()}}
    assert torch.equal(on_batch(agent, "infer", batch=batch), before)


@pytest.mark.parametrize("flag", ["move", "keep"])
def test_after_a_reset_the_new_weights_are_frozen_or_the_old_ones_stay(flag):
    flags = (f"--infer-reset={flag}", "--reset-every=5:updates", "--reset-groups=torso")
    agent = grown("dqn", VECTORS, ON, *flags, updates=5)
    kept, now, newborn = link(agent, "infer").state["q"], weights(agent), weights(born("dqn", VECTORS, ON))
    name = "torso.fc1.writer.weight"
    assert torch.equal(kept[name], (now if flag == "move" else newborn)[name])
    assert torch.equal(kept["infer.0.weight"], newborn["infer.0.weight"])
