"""Law 6: the promises of self-normalised resets (Farias & Jozefiak 2025)."""

from itertools import pairwise
from math import ceil

import pytest
import torch

from interventions.snr import OCTAVE, adapt, bins, close, fired, longest, newborn, observe, overdue
from nets.layers import Block, Linear
from tests.interventions.small import IMAGES, VECTORS, agent, moments, named, outputs, states

SILENT = torch.tensor([False])
FIRES = torch.tensor([True])


def unit(units=1, limit=1_000_000):
    return newborn(Block(Linear(1, units), "none", "relu").layer("fc", [Linear(units, 1)]), limit)


def live(row, probability, batches, rng, batch=10):
    """Units that fire in a batch with a probability; returns the number of resets and of gaps that were closed."""
    resets, before = 0, int(row["gaps"].sum())
    for fires in torch.rand((batches, len(row["age"])), generator=rng) < probability:
        observe(row, fires, batch)
        resets += len(overdue(row))
    return resets, int(row["gaps"].sum()) - before


def test_thresholds_find_the_quantiles_of_geometric_laws():
    """P(gap > k) = (1 - p)^k, so the .9 quantile is 4 silent batches at p = .5 (.5^4 = .06), 7 at .3 (.7^7 = .08)."""
    row, rng, limits = unit(32), torch.Generator().manual_seed(0), []
    probability = torch.tensor([0.5, 0.3]).repeat_interleave(16)
    for _ in range(4):
        live(row, probability, 2500, rng)
        adapt(row, eta=0.1, expansion=2.0, most=1_000_000)
        limits.append(row["limit"])
    least = torch.minimum(*limits[-2:])  # one that gaps have reached doubles, and falls back the next time
    assert (least[:16].median(), least[16:].median()) == (40, 70)
    assert (least[:16] - 40).abs().max() <= 10
    assert (least[16:] - 70).abs().max() <= 20


def test_an_active_unit_is_reset_at_a_rate_of_eta_per_firing_interval():
    row, rng = unit(32), torch.Generator().manual_seed(1)
    row["limit"].fill_(110)
    resets, gaps = live(row, 0.2, 2000, rng)
    assert resets / gaps == pytest.approx(0.8**10, rel=0.1)  # P(gap >= 11)


def test_adapted_thresholds_reset_active_units_in_half_of_eta_to_eta_of_their_gaps_however_often_they_fire():
    """At the .9 quantile, 4 batches at p = .5 and 11 at .2, units are reset in .5^3 = .125 and .8^10 = .107 of their
    gaps; as gaps are cut off there, the next threshold is twice that and hardly any is reset: .008 and .009."""
    row, rng, resets, gaps = unit(64), torch.Generator().manual_seed(2), torch.zeros(64), torch.zeros(64)
    probability = torch.tensor([0.5, 0.2]).repeat_interleave(32)
    for interval in range(10):
        for fires in torch.rand((1000, 64), generator=rng) < probability:
            observe(row, fires, 10)
            resets[overdue(row)] += interval > 1  # the first thresholds are the most
        gaps += row["gaps"].sum(1) * (interval > 1)
        adapt(row, eta=0.1, expansion=2.0, most=1_000_000)
    often, seldom = (resets.view(2, 32).sum(1) / gaps.view(2, 32).sum(1)).tolist()
    assert 0.05 < often < 0.1
    assert 0.05 < seldom < 0.1
    assert often == pytest.approx(seldom, rel=0.2)


@pytest.mark.parametrize(("limit", "batch"), [(20, 8), (24, 8), (25, 8), (1, 8), (1000, 32)])
def test_a_silent_unit_is_reset_after_exactly_so_many_batches(limit, batch):
    row, batches = unit(), 0
    row["limit"].fill_(limit)
    while True:
        observe(row, SILENT, batch)
        batches += 1
        if len(overdue(row)):
            break
    assert batches == ceil(limit / batch)
    assert row["age"].item() == 0


def test_a_unit_silenced_by_hand_is_reborn_in_the_agent_and_the_outputs_stay():
    learner = agent(VECTORS, "--snr-eta=0.1", "--snr-tau-max=100k", updates=0)
    agent_rows(learner)["torso.fc1"]["limit"][4] = 20  # samples; a batch has 8
    with torch.no_grad():
        learner.parts["q"].net.torso.fc1.writer.bias[4] = -1e3
    reborn = []
    world_updates(learner, 3, lambda: reborn.append(learner.parts["q"].net.torso.fc1.writer.bias[4].item() > -1))
    assert reborn == [False, False, True]
    assert learner.chain.summary()["event/snr/units/q"] == 1
    assert not learner.parts["q"].net.head.value.weight[:, 4].any()


def agent_rows(learner):
    return learner.chain.links[0].state["parts"]["q"]


def world_updates(learner, updates, seen):
    """Updates on whatever the replay of another agent of the same kind holds."""
    other = agent(VECTORS, updates=1)
    learner.replay = other.replay
    for _ in range(updates):
        learner.update()
        seen()


def test_resetting_silent_units_leaves_the_outputs_and_zeroes_their_moments_but_not_the_step():
    learner = agent(VECTORS, "--snr-eta=0.1", updates=12)
    part, batch = learner.parts["q"], states(learner)
    with torch.no_grad():
        part.net.torso.fc1.writer.bias[4] = -1e3
    agent_rows(learner)["torso.fc1"]["age"][4] = 2_000_000
    before, weights, slots = outputs(learner, batch), named(part), moments(part)
    link = learner.chain.links[0]
    assert link.method.after_update(link.state, link.subject) == {"units/q": 1.0}
    assert (outputs(learner, batch) - before).abs().max() < 1e-6
    for name, row in moments(part).items():
        assert torch.equal(row["step"], slots[name]["step"])
        kept = slots[name]["exp_avg"].clone()
        if "fc1" in name:
            kept[4] = 0
        if name == "head.value.weight":
            kept[:, 4] = 0
        assert torch.equal(row["exp_avg"], kept)
    rows = (named(part)["torso.fc1.writer.weight"] != weights["torso.fc1.writer.weight"]).any(1)
    assert rows.nonzero()[:, 0].tolist() == [4]


def test_a_unit_that_always_fires_keeps_its_threshold():
    row = unit()
    row["limit"].fill_(500)
    for _ in range(20):
        observe(row, FIRES, 10)
    adapt(row, eta=0.1, expansion=2.0, most=1000)
    assert row["limit"].item() == 500


def test_thresholds_grow_where_gaps_reach_them_and_stay_between_a_batch_and_the_most():
    row = unit(3, limit=1000)
    row["limit"].copy_(torch.tensor([40, 700, 30]))
    row["batch"] = 20
    row["age"].copy_(torch.tensor([60, 720, 5]))
    close(row, torch.ones(3, dtype=torch.bool))
    adapt(row, eta=0.1, expansion=2.0, most=1000)
    assert row["limit"].tolist() == [80, 1000, 20]
    assert not row["gaps"].any()


def test_a_gap_is_counted_when_it_ends_by_firing_or_by_a_reset():
    row = unit()
    row["limit"].fill_(50)
    for fires in (SILENT, SILENT, FIRES, FIRES, SILENT, SILENT, SILENT, SILENT, SILENT):
        observe(row, fires, 10)
        overdue(row)
    assert row["gaps"][0].nonzero()[:, 0].tolist() == [1, 4]  # gaps of 2 and of 5 batches


def test_bins_are_exact_at_first_and_then_a_sixteenth_wide():
    ends = [longest(i) for i in range(bins(31_250))]
    assert ends[:34] == [*range(1, 33), 34, 36]
    assert all(b - a <= max(1, b / OCTAVE) for a, b in pairwise(ends))
    assert ends[-2] < 31_250 <= ends[-1]
    assert len(ends) < 200


def test_a_channel_fires_if_it_is_positive_anywhere_and_a_unit_if_one_of_its_copies_is():
    act = torch.zeros(2, 4, 3, 3)
    act[1, 2, 0, 2] = 0.1
    act[0, 1] = -1.0
    assert fired(act, 4).tolist() == [False, False, True, False]
    assert fired(act, 2).tolist() == [True, False]


def test_all_layers_of_an_image_network_are_watched_and_a_reset_makes_them_newborn():
    learner = agent(IMAGES, "--snr-eta=0.1", "--reset-every=10:updates", "--reset-groups=head,torso", updates=9)
    (state,) = [link.state["parts"]["q"] for link in learner.chain.links if link.name == "snr"]
    assert list(state) == [x.name for x in learner.parts["q"].net.layers()]
    state["torso.fc1"]["limit"].fill_(77), state["encoder.conv1"]["limit"].fill_(77)
    learner.update()
    assert state["torso.fc1"]["limit"].unique().tolist() == [1_000_000]
    assert state["encoder.conv1"]["limit"].unique().tolist() == [77]


def test_thresholds_follow_on_their_own_period():
    learner = agent(VECTORS, "--snr-eta=0.5", "--snr-adapt=4:updates", updates=3)
    row = agent_rows(learner)["torso.fc1"]
    row["gaps"][:, 2] = 1
    learner.update()
    assert row["limit"].max() == 24  # 3 batches of 8
    assert not row["gaps"].any()
