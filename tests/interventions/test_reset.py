"""Law 6: the promises of resets (Nikishin et al. 2022)."""

import torch

from interventions.reset import Reset
from runs.rng import draw_seed, stream
from tests.interventions.small import IMAGES, VECTORS, agent, fire, moments, named, outputs, states


def test_a_full_reset_equals_a_network_built_from_the_streams_next_seed():
    learner = agent()
    part = learner.parts["q"]
    expected = part.fresh(draw_seed(stream(0, "reset")))
    fire(Reset(), learner)
    for p, q in zip(part.net.parameters(), expected.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_full_reset_copies_the_target_and_empties_the_optimizer_and_keeps_the_replay():
    learner = agent()
    part, rows = learner.parts["q"], len(learner.replay)
    fire(Reset(), learner)
    for p, q in zip(part.net.parameters(), part.target.parameters(), strict=True):
        assert torch.equal(p, q)
    assert all(not x.any() for slots in moments(part).values() for x in slots.values())
    assert len(learner.replay) == rows
    assert part.age == 0


def test_two_successive_resets_differ():
    learner = agent()
    subject = fire(Reset(), learner)
    first = named(learner.parts["q"])
    Reset().apply({}, subject)
    assert all(not torch.equal(a, b) for a, b in zip(first.values(), named(learner.parts["q"]).values(), strict=True))


def test_a_reset_of_the_head_moves_only_the_head():
    for env in (IMAGES, VECTORS):
        for head in ("linear", "dueling"):
            learner = agent(env, f"--head={head}")
            part, batch = learner.parts["q"], states(learner)
            before, slots = named(part), moments(part)
            with torch.no_grad():
                features = part.net.features(batch.obs)
            values = outputs(learner, batch)
            fire(Reset(reset_groups="head"), learner)
            for n, p in named(part).items():
                assert torch.equal(p, before[n]) != n.startswith("head."), n
            for n, row in moments(part).items():
                kept = all(torch.equal(x, slots[n][s]) for s, x in row.items())
                assert kept != n.startswith("head."), n
            with torch.no_grad():
                assert torch.equal(part.net.features(batch.obs), features)
            assert not torch.equal(outputs(learner, batch), values)


def test_the_target_of_a_head_reset_is_a_copy_of_the_head_alone():
    learner = agent(IMAGES, "--target-every=never")
    part = learner.parts["q"]
    before = {n: p.clone() for n, p in part.target.named_parameters()}
    fire(Reset(reset_groups="head"), learner)
    for n, p in part.target.named_parameters():
        assert torch.equal(p, before[n]) != n.startswith("head.")
        assert torch.equal(p, part.net.get_parameter(n)) == n.startswith("head.")


def test_the_target_may_be_kept_or_have_a_draw_of_its_own():
    learner = agent()
    part = learner.parts["q"]
    old = [p.clone() for p in part.target.parameters()]
    fire(Reset(reset_target="keep"), learner)
    assert all(torch.equal(a, b) for a, b in zip(old, part.target.parameters(), strict=True))
    fire(Reset(reset_target="own"), learner)
    for slow, live, before in zip(part.target.parameters(), part.net.parameters(), old, strict=True):
        assert not torch.equal(slow, live)
        assert not torch.equal(slow, before)


def test_only_the_named_parts_are_reset():
    learner = agent()
    before = named(learner.parts["q"])
    fire(Reset(reset_parts="actor"), learner)
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["q"]).items())
