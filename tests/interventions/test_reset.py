"""Law 6: the promises of resets (Nikishin et al. 2022)."""

import math

import numpy as np
import pytest
import torch

from agents.build import build
from interventions.catchup import CatchUp
from interventions.redo import ReDo
from interventions.reset import Reset
from runs.rng import draw_seed, stream
from runs.units import period
from tests.agents.tiny import agent as tiny
from tests.agents.tiny import along, walked
from tests.interventions.small import IMAGES, VECTORS, agent, fire, moments, named, outputs, states
from tests.laws.members import AGENTS, learn, parsed, small, taken


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


def sac(*flags, updates=12):
    world, learner = taken("sac", "toy:reach", *flags)
    learn(learner, world, updates)
    return learner


def test_a_full_reset_of_sac_returns_the_temperature_and_empties_its_optimizer():
    learner = sac()
    clock = dict(learner.clock)
    fire(Reset(), learner)
    assert learner.parts["alpha"].net().item() == pytest.approx(learner.config.alpha_init)
    assert all(not x.any() for part in learner.parts.values() for row in moments(part).values() for x in row.values())
    for p, q in zip(learner.parts["critic"].net.parameters(), learner.parts["critic"].target.parameters(), strict=True):
        assert torch.equal(p, q)
    assert learner.clock == clock  # schedules go on


def test_a_reset_of_the_head_moves_the_heads_of_both_critics_and_of_the_actor():
    learner = sac()
    before = {name: named(part) for name, part in learner.parts.items()}
    fire(Reset(reset_groups="head"), learner)
    heads = set()
    for name, part in learner.parts.items():
        for n, p in named(part).items():
            moved = not torch.equal(p, before[name][n])
            assert moved == ("head" in n.split(".")), n
            heads |= {f"{name}.{n}"} if moved else set()
    assert {"critic.ensemble.0.head.value.weight", "critic.ensemble.1.head.value.weight"} <= heads
    assert {"actor.head.mean.weight", "actor.head.log_std.weight"} <= heads


def test_a_list_of_steps_fires_at_exactly_these():
    world, learner = tiny(methods=[Reset(reset_every=period("20k,40k,60k,80k"))])
    walked(world, learner, 10)
    fired = []
    for step in (19_999, 20_000, 20_001, 39_999, 40_000, 60_000, 79_999, 80_000, 100_000):
        learner.clock["steps"] = step
        learner.chain.tick()
        fired += [int(row["step"]) for row in learner.chain.drain()]
    assert fired == [20_000, 40_000, 60_000, 80_000]


def test_the_same_first_weights_come_back_each_time():
    world, learner = taken("dqn", IMAGES, "--reset-every=10:updates", "--reset-init=same")
    first = named(learner.parts["q"])
    learn(learner, world, 20)
    assert learner.clock["resets"] == 2
    assert all(torch.equal(p, first[n]) for n, p in named(learner.parts["q"]).items())
    assert all(torch.equal(p, first[n]) for n, p in learner.parts["q"].target.named_parameters())


def test_the_first_weights_are_kept_only_if_they_will_come_back():
    _, learner = taken("dqn", VECTORS, "--reset-every=10:updates")
    assert learner.chain.links[0].state == {}


@pytest.mark.parametrize(("keep", "left"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_a_fraction_of_the_replay_is_inherited(keep, left):
    world, learner = tiny(methods=[Reset(reset_every=period("60"), reset_inherit=keep)])
    walked(world, learner, 58)
    rows = len(learner.replay)
    newest = learner.replay.ring.rows(learner.replay.ring.stop - 1, learner.replay.ring.stop)
    learner.clock["steps"] = 60
    learner.chain.tick()
    assert len(learner.replay) == int(left * rows)
    kept = learner.replay.ring.rows(learner.replay.ring.stop - 1, learner.replay.ring.stop)
    assert all(np.array_equal(newest[k], kept[k]) for k in newest)


def test_a_dropped_replay_begins_the_warm_up_again():
    world, learner = tiny(methods=[Reset(reset_every=period("60"), reset_inherit=0.0)], learn={"replay_ratio": 1.0})
    updates = {}
    for _ in along(world, learner, 100):
        updates[learner.clock["steps"]] = learner.clock["updates"]
    assert updates[59] == updates[60] == updates[80] == 39  # one a step from 21 to 59, then 20 steps of warm-up
    assert updates[81] == 40


def test_what_fires_with_a_reset_still_has_the_old_replay():
    methods = [
        Reset(reset_every=period("60"), reset_inherit=0.0),
        ReDo(redo_every=period("60")),
        CatchUp(catchup_updates=3),
    ]
    world, learner = tiny(methods=methods)
    walked(world, learner, 70)
    assert learner.clock["extra"] == 3
    assert len([row for row in learner.chain.drain() if "event/redo" in row]) == 1
    assert len(learner.replay) < 15


@pytest.mark.parametrize(
    ("agent_flags", "word"),
    [
        (("dqn", VECTORS, "--reset-inherit=1.5"), "from 0 to 1"),
        (("dqn", VECTORS, "--reset-init=same", "--reset-target=own"), "one draw for all"),
        (("classifier", "labels:generated", "--reset-inherit=0.5"), "labelled data"),
        (("dqn", VECTORS, "--reset-priorities=refresh"), "nothing is drawn by priority; add --priority-exponent"),
        (("classifier", "labels:generated", "--reset-priorities=refresh"), "nothing is drawn by priority"),
        (("sac", "toy:reach", "--reset-groups=log_alpha", "--reset-parts=actor"), "^reset: .* choose no parameter; "),
        (("dqn", VECTORS, "--reset-groups=haed"), "^reset_groups: no group 'haed'[^\\n]*did you mean head\\?$"),
        (("dqn", VECTORS, "--reset-parts=actor"), "^reset_parts: no part 'actor'.*$"),
    ],
)
def test_what_has_no_meaning_is_refused_with_a_sentence(agent_flags, word):
    name, env, *flags = agent_flags
    settings = parsed(name, f"--env={env}", "--preset=none", *small(name), "--reset-every=50", *flags)
    with pytest.raises(ValueError, match=word):
        build(AGENTS[name][0], settings)


def test_bbfs_recipe_leaves_the_states_it_lists():
    """Head redrawn and encoder half-way, in online and slow network with draws of their own; their optimizer empty."""
    flags = ["--reset-every=13:updates", "--reset-groups=head", "--reset-target=own", "--target-tau=0.005"]
    flags += ["--shrink-every=13:updates", "--shrink-groups=encoder", "--shrink-target=own", "--target-every=1:updates"]
    world, learner = taken("dqn", IMAGES, *flags)
    learn(learner, world, 12)
    part, rows = learner.parts["q"], len(learner.replay)
    before, slow, slots = named(part), {n: p.clone() for n, p in part.target.named_parameters()}, moments(part)
    learner.clock["updates"] += 1
    learner.chain.tick()
    assert {tag for e in learner.chain.drain() for tag in e} >= {"event/reset", "event/shrink"}
    draws = {}
    for method, group in (("reset", "head"), ("shrink", "encoder")):
        rng = stream(0, method)
        draws[group] = [dict(part.fresh(draw_seed(rng)).named_parameters()) for _ in ("online", "target")]
    for n, p in named(part).items():
        group, target = n.split(".")[0], part.target.get_parameter(n)
        if group == "torso":
            assert torch.equal(p, before[n])
            assert torch.equal(target, slow[n])
            assert all(torch.equal(x, slots[n][s]) for s, x in moments(part)[n].items())
            continue
        keep, noise = (0.0, 1.0) if group == "head" else (0.5, 0.5)
        online, own = draws[group]
        torch.testing.assert_close(p, keep * before[n] + noise * online[n])
        torch.testing.assert_close(target.detach(), keep * slow[n] + noise * own[n])
        assert not torch.equal(p, target)
        assert all(not x.any() for x in moments(part)[n].values())
    assert len(learner.replay) == rows
    assert part.age == 0


def test_the_gap_between_own_draws_closes_at_the_rate_of_the_average():
    learner = agent(IMAGES, "--target-tau=0.005")
    part = learner.parts["q"]
    fire(Reset(reset_target="own"), learner)
    gap = lambda: sum((p - q).norm() for p, q in zip(part.net.parameters(), part.target.parameters(), strict=True))
    start = gap()
    for _ in range(1000):
        part.sync(0.005)
    assert gap() <= start * math.exp(-4.9)
