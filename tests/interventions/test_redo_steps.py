"""When ReDo ends, and what it does to the step counts of every optimizer (Sokar et al. 2023, timoklein/redo)."""

import pytest
import torch

from agents.flags import flatten
from interventions.redo import ReDo
from interventions.surgery import recycle
from runs.units import period
from tests.interventions.small import VECTORS, agent, moments
from tests.laws.members import learn, parsed, taken

COUNTS = {"--optimizer=adam": ("step",), "--adam-step=elements": ("corrected1", "corrected2")}
COUNTS["--optimizer=adam_upgd"] = COUNTS["--adam-step=elements"]
UNITS = {"torso.fc1": torch.tensor([2])}
TOUCHED = ("torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.weight")


@pytest.mark.parametrize(("flag", "counts"), COUNTS.items())
def test_reset_zeroes_the_counts_of_the_whole_of_what_was_touched_and_keep_does_not(flag, counts):
    for restart in (False, True):
        part = agent(VECTORS, flag).parts["q"]
        before = moments(part)
        recycle(part, UNITS, seed=0, restart=restart)
        for name, row in moments(part).items():
            for slot in counts:
                assert before[name][slot].any()
                assert row[slot].any() != (restart and name in TOUCHED)
            reborn = row["exp_avg"][2] if "fc1" in name else row["exp_avg"][:0]
            assert not reborn.any()


def test_a_reset_of_counts_per_element_leaves_the_moments_of_others():
    part = agent(VECTORS, "--adam-step=elements").parts["q"]
    before = moments(part)
    recycle(part, UNITS, seed=0, restart=True)
    row, kept = moments(part)[TOUCHED[0]], [unit for unit in range(24) if unit != 2]
    assert torch.equal(row["exp_avg_sq"][kept], before[TOUCHED[0]]["exp_avg_sq"][kept])
    assert before[TOUCHED[0]]["exp_avg_sq"][2].any()
    assert not row["exp_avg_sq"][2].any()


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [("sgd", "SGD"), ("rmsprop", "RMSprop"), ("upgd", "UPGD"), ("adam", ""), ("adamw", ""), ("trac", "")],
)
def test_a_reset_of_counts_that_are_not_kept_is_refused(optimizer, name):
    view = agent(VECTORS, f"--optimizer={optimizer}", updates=1).view(None)
    assert not list(ReDo().refuse(view))
    sentences = list(ReDo(redo_step="reset").refuse(view))
    assert len(sentences) == bool(name)
    assert all(f"redo_step reset: {name} counts no steps" in sentence for sentence in sentences)


@pytest.mark.parametrize("flag", ["--redo-every=3:updates..10", "--reset-every=3:updates..10"])
def test_a_period_with_an_end_fires_below_it_and_no_more(flag):
    world, learner = taken("dqn", VECTORS, flag)
    name = flag[2:].partition("-")[0]
    learn(learner, world, 30)
    assert len([row for row in learner.chain.drain() if f"event/{name}" in row]) == 3


def test_a_run_that_goes_on_behind_the_end_of_a_period_fires_as_if_it_had_not_stopped():
    world, learner = taken("dqn", VECTORS, "--redo-every=3:updates..10")
    learn(learner, world, 7)
    assert len(learner.chain.drain()) == 2
    other, twin = taken("dqn", VECTORS, "--redo-every=3:updates..10")
    learn(twin, other, 1)
    twin.clock["updates"] = 7
    twin.chain.load_state_dict(learner.chain.state_dict())
    for updates, firings in ((8, 0), (9, 1), (12, 0)):
        twin.clock["updates"] = updates
        twin.chain.tick()
        assert len(twin.chain.drain()) == firings


def test_the_config_of_a_run_holds_the_end_of_its_period_as_it_was_typed():
    settings = parsed("dqn", f"--env={VECTORS}", "--redo-every=1k:updates..2.5M")
    assert settings.flat["redo_every"] == "1k:updates..2.5M"
    assert ("redo_every", "1k:updates..2.5M") in flatten(ReDo(redo_every=period("1000:updates..2500k")))
