"""Law 6: the promises of ReDo (Sokar et al. 2023)."""

import pytest
import torch

from interventions.redo import ReDo
from nets.anatomy import dormancy, record, score
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent, fire, moments, named, outputs, states

DEAD = {"encoder.conv1": [1, 5], "encoder.conv3": [0, 7], "torso.fc1": [2, 3]}


def kill(learner):
    """Units that are 0 for every input: bias far below zero."""
    with torch.no_grad():
        for layer in learner.parts["q"].net.layers():
            for unit in DEAD.get(layer.name, []):
                layer.writer.bias[unit] = -1e3


def test_recycling_dead_units_at_tau_0_leaves_the_outputs():
    for flags in ([], ["--head=dueling"], ["--activation=crelu"], ["--padding=same"]):
        learner = agent(IMAGES, *flags)
        if "--activation=crelu" not in flags:
            kill(learner)
        batch = states(learner)
        before, weights = outputs(learner, batch), named(learner.parts["q"])
        fire(ReDo(redo_tau=0.0, redo_batch=512), learner)
        assert (outputs(learner, batch) - before).abs().max() < 1e-6
        changed = any(not torch.equal(p, weights[n]) for n, p in named(learner.parts["q"]).items())
        assert changed == ("--activation=crelu" not in flags)


def test_exactly_the_dead_units_are_reborn_and_silenced():
    learner = agent()
    kill(learner)
    part = learner.parts["q"]
    dead = ReDo(redo_tau=0.0, redo_batch=512).dormant(learner.view(stream(0, "test")), "q", states(learner, 512))
    before = named(part)
    fire(ReDo(redo_tau=0.0, redo_batch=512), learner)
    after = named(part)
    for layer in part.net.layers():
        units = dead[layer.name]
        assert set(DEAD.get(layer.name, [])) <= set(units.tolist())
        bias = next(n for n, p in part.net.named_parameters() if p is layer.writer.bias)
        moved = (after[bias] != before[bias]).nonzero()[:, 0]
        assert moved.tolist() == units.tolist()
        for edge in layer.edges:
            assert not edge.reader.weight[:, edge.columns(units)].any()


def test_moments_are_zero_exactly_on_the_recycled_slots_and_the_step_is_kept():
    learner = agent()
    kill(learner)
    part = learner.parts["q"]
    before, slots, batch = named(part), moments(part), 512
    subject = learner.view(stream(0, "redo"))
    dead = ReDo(redo_tau=0.0).dormant(subject, "q", subject.batch(batch))
    fire(ReDo(redo_tau=0.0, redo_batch=batch), learner)
    after, now = named(part), moments(part)
    for n, row in now.items():
        assert torch.equal(row["step"], slots[n]["step"])
        touched = after[n] != before[n]
        for slot in ("exp_avg", "exp_avg_sq"):
            assert not row[slot][touched].any()
    head, units = now["head.value.weight"]["exp_avg"], dead["torso.fc1"].tolist()
    assert set(DEAD["torso.fc1"]) <= set(units)
    assert not head[:, units].any()
    kept = [u for u in range(head.shape[1]) if u not in units]
    assert torch.equal(head[:, kept], slots["head.value.weight"]["exp_avg"][:, kept])


def test_the_step_of_a_touched_tensor_can_be_reset():
    learner = agent()
    kill(learner)
    fire(ReDo(redo_tau=0.0, redo_batch=512, redo_step="reset"), learner)
    assert not moments(learner.parts["q"])["torso.fc1.writer.weight"]["step"].any()


def test_a_second_recycling_touches_only_what_was_born_dead():
    """A fresh row reads what the old one read: whatever was dead below it is 0 before and cut off after."""
    learner = agent()
    kill(learner)
    method, subject = ReDo(redo_tau=0.0, redo_batch=512), learner.view(stream(0, "redo"))
    batch, seed = subject.batch(512), subject.seed()  # as apply() will draw them
    dead, born_dead = method.dormant(subject, "q", batch), silent_at_birth(learner, batch, seed)
    fire(method, learner)
    again, revived = method.dormant(subject, "q", batch), 0
    for layer, units in dead.items():
        assert set(again[layer].tolist()) == set(units.tolist()) & born_dead[layer]
        revived += len(set(DEAD[layer]) - set(again[layer].tolist())) if layer in DEAD else 0
    assert revived > len(DEAD)


def silent_at_birth(learner, batch, seed):
    """{layer: units whose rows of this draw are at most 0 on all states, over the inputs that the layer has now}."""
    part, silent = learner.parts["q"], {}
    fresh = {layer.name: layer.writer for layer in part.fresh(seed).layers()}

    def listen(name):
        return lambda module, inputs: silent.update({name: (fresh[name](*inputs) <= 0).transpose(0, 1).flatten(1)})

    hooks = [x.writer.register_forward_pre_hook(listen(x.name)) for x in part.net.layers()]
    outputs(learner, batch)
    for hook in hooks:
        hook.remove()
    return {name: set(rows.all(1).nonzero()[:, 0].tolist()) for name, rows in silent.items()}


def test_incoming_rows_have_the_spread_of_the_initialiser():
    learner = agent(IMAGES, "--hidden=256", "--width=1")
    part = learner.parts["q"]
    rows = part.net.torso.fc1.writer.weight
    with torch.no_grad():
        rows[:128] = 7
        part.net.torso.fc1.writer.bias[:128] = -1e6
    fire(ReDo(redo_tau=0.0, redo_groups="torso"), learner)  # dormant channels would zero columns
    bound = rows.shape[1] ** -0.5  # torch's U(+-1/sqrt(fan_in)), variance bound^2/3
    torch.testing.assert_close(rows[:128].var(), torch.tensor(bound**2 / 3), rtol=0.05, atol=0)
    assert rows[:128].abs().max() <= bound


def test_a_channel_dies_through_every_position_it_feeds_after_the_flatten():
    """Two channels of 2x2 positions into a dense layer: channel 1 owns columns 4..7 (pitfall 2)."""
    learner = agent()
    part = learner.parts["q"]
    conv = next(x for x in part.net.layers() if x.name == "encoder.conv3")
    assert conv.edges[0].width == part.net.positions == 4
    with torch.no_grad():
        conv.writer.bias[1] = -1e3
    fire(ReDo(redo_tau=0.0, redo_batch=512), learner)
    assert not part.net.torso.fc1.writer.weight[:, 4:8].any()


def test_only_the_named_layers_are_recycled():
    learner = agent()
    kill(learner)
    before = named(learner.parts["q"])
    fire(ReDo(redo_tau=0.0, redo_batch=512, redo_groups="torso"), learner)
    after = named(learner.parts["q"])
    assert torch.equal(after["encoder.conv1.writer.bias"], before["encoder.conv1.writer.bias"])
    assert not torch.equal(after["torso.fc1.writer.bias"], before["torso.fc1.writer.bias"])


@pytest.mark.parametrize("env", [IMAGES, VECTORS])
def test_scores_average_to_1_over_a_layer(env):
    learner = agent(env, "--hidden=64", updates=3)
    net = learner.parts["q"].net
    with record(net) as tape:
        outputs(learner, states(learner))
    for x in net.layers():
        torch.testing.assert_close(dormancy(score(tape.acts[x.name], x.units)).mean(), torch.tensor(1.0))


def test_outgoing_weights_can_be_a_multiple_of_a_fresh_draw():
    learner = agent(VECTORS)
    kill(learner)
    part, subject = learner.parts["q"], learner.view(stream(0, "redo"))
    with torch.no_grad():
        part.net.head.value.weight[:, [2, 3]] = 7
    subject.batch(256)  # what apply() draws before its seed
    fresh = part.fresh(subject.seed())
    fire(ReDo(redo_tau=0.0, redo_outgoing=0.5), learner)
    assert torch.equal(part.net.head.value.weight[:, [2, 3]], 0.5 * fresh.head.value.weight[:, [2, 3]])


def test_a_firing_reports_how_many_units_it_recycled():
    learner = agent(VECTORS, "--redo-every=5:updates", "--redo-tau=1e9", updates=5)
    assert learner.chain.drain()[0]["event/redo/units/q"] == 24


def test_the_slow_network_is_left_for_its_next_sync():
    learner = agent()
    kill(learner)
    part = learner.parts["q"]
    before = {n: p.clone() for n, p in part.target.named_parameters()}
    fire(ReDo(redo_tau=0.0, redo_batch=512), learner)
    assert all(torch.equal(p, before[n]) for n, p in part.target.named_parameters())
