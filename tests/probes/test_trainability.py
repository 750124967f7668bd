"""Law 8: trainability in a run: on the states it saw first, beside fresh networks that are fitted once."""

import math

import pytest
import torch

from probes import trainability
from probes.fit import Trial
from probes.trainability import Trainability
from runs import pack
from runs.rng import stream
from tests.probes.test_fit import subject


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"UPDATES": 150, "BATCH": 32, "STATES": 24}.items():
        monkeypatch.setattr(trainability, name, value)


def seen(updates=5, **options):
    return subject("--lr=1e-2", updates=updates, **options)


def noisy(view, size=64):
    batch = view.batch(size)
    return batch._replace(obs=torch.randn(batch.obs.shape, generator=torch.Generator().manual_seed(1)))


def test_a_dead_network_is_far_below_the_fresh_ones():
    view = seen()
    for layer in view.parts["q"].net.layers():
        layer.writer.weight.data.zero_()
        layer.writer.bias.data.fill_(-1.0)
    row = Trainability().measure(view, noisy(view), {})
    assert abs(row[""]) < 0.1
    assert row["fresh"] > 0.5
    assert row["gap"] == pytest.approx(row["fresh"] - row[""])


def test_the_fresh_networks_are_fitted_once_and_stay_on_the_first_states(monkeypatch):
    view, memory, draws, run = seen(), {}, [], Trial.run
    spy = lambda self, *args, draw=None: draws.append(draw) or run(self, *args, draw=draw)
    monkeypatch.setattr(Trial, "run", spy)
    first = Trainability().measure(view, noisy(view), memory)
    kept = memory["states"]["fit"]["obs"].clone()
    assert Trainability().measure(seen(updates=9), view.batch(40), memory)["fresh"] == first["fresh"]
    assert draws == [None, 0, 1, 2, None]
    assert torch.equal(memory["states"]["fit"]["obs"], kept)


def test_what_it_remembers_can_be_saved():
    view, memory = seen(), {}
    first = Trainability().measure(view, noisy(view), memory)
    again = pack.decode(*pack.encode(memory))
    assert Trainability().measure(view, noisy(view), again) == first


def test_every_part_with_an_output_has_its_numbers(monkeypatch):
    monkeypatch.setattr(trainability, "UPDATES", 3)
    view = subject(name="sac", env="toy:reach")
    row = Trainability().measure(view, view.batch(64), {})
    assert row.keys() == {f"{part}{x}" for part in ("critic", "actor") for x in ("", "/fresh", "/gap")}


def test_one_state_has_no_trainability():
    view = seen()
    batch = view.batch(8)
    assert Trainability().measure(view, batch._replace(obs=torch.ones_like(batch.obs)), {}) == {}


def test_two_runs_draw_other_targets():
    views = [seen() for _ in range(2)]
    views[1].rng = stream(7, "probe")
    a, b = (Trainability().measure(view, noisy(view), {}) for view in views)
    assert a != b
    assert not any(math.isnan(x) for x in (*a.values(), *b.values()))
