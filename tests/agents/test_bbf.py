"""BBF's resets, schedules and slow network (algorithms A.4): when, of what, and what they leave alone."""

import math

import numpy as np
import pytest
import torch

from agents.bbf import BBFConfig
from agents.flags import parse
from runs import pack
from runs.rng import draw_seed, stream
from tests.laws.members import learn, taken

RESETS = ["--reset-groups=projection,predictor,head", "--reset-target=own", "--shrink-groups=encoder,transition"]
RESETS += ["--shrink-target=own"]
NEVER = ["--reset-every=90k", "--shrink-every=90k"]
CYCLE = ["--n-step-start=10", "--gamma-start=.97", "--gamma=.997", "--anneal-updates=10k", "--n-step=3"]


def agent(*flags, updates=12):
    world, made = taken("bbf", "toy:catch", *flags)
    learn(made, world, updates)
    return made


@pytest.mark.parametrize(
    ("preset", "resets"),
    [
        ("rr2", [20_000, 40_000, 60_000, 80_000]),
        ("rr2_a", [20_000, 40_000, 60_000]),
        ("rr8", list(range(5_000, 95_001, 5_000))),
        ("rr8_a", list(range(5_000, 90_001, 5_000))),
    ],
)
def test_a_dry_run_of_100k_steps_resets_where_the_code_does(preset, resets):
    flat = parse("bbf", BBFConfig, ["--env=Pong", f"--preset={preset}"]).flat
    periods = [f"--{name}={flat[name.replace('-', '_')]}" for name in ("reset-every", "shrink-every")]
    made, fired = agent(*RESETS, *periods, updates=1), []
    for step in range(made.clock["steps"] + 1, 100_000):  # the run ends before the tick of its last step
        made.clock["steps"] = step
        before = made.clock["resets"]
        made.chain.tick()
        if made.clock["resets"] > before:
            fired.append(step)
    assert fired == resets
    assert {"event/reset", "event/shrink"} <= {tag for row in made.chain.drain() for tag in row}


def halves(name):
    """Whether a parameter is moved half-way, or drawn anew."""
    return name.partition(".")[0] in ("encoder", "transition")


def test_a_reset_touches_what_the_code_touches():
    made = agent(*RESETS, *NEVER)
    q = made.parts["q"]
    old, slow, replay = q.weights(), q.weights(slow=True), pack.digest(made.replay.state_dict())
    rngs = {name: stream(0, name) for name in ("reset", "shrink")}  # of the chain, before they were ever used
    phi, slow_phi = ({n: dict(q.fresh(draw_seed(r)).named_parameters()) for n, r in rngs.items()} for _ in range(2))
    made.clock["steps"] = 90_000
    made.chain.tick()
    for now, was, fresh in ((q.weights(), old, phi), (q.weights(slow=True), slow, slow_phi)):
        for name, w in now.items():
            if halves(name):
                assert torch.equal(w, was[name].mul(0.5).add(fresh["shrink"][name], alpha=0.5))
            else:
                assert torch.equal(w, fresh["reset"][name])
    rows = [n for n, w in q.weights().items() if not halves(n) and w.ndim > 1]
    assert rows and all(bool((q.weights()[n] != old[n]).flatten(1).any(1).all()) for n in rows)
    assert any(not torch.equal(w, q.weights(slow=True)[n]) for n, w in q.weights().items())
    assert all(bool((slot == 0).all()) for p in q.trainable for slot in q.opt.state[p].values())
    assert pack.digest(made.replay.state_dict()) == replay
    assert q.age == 0


def test_the_schedules_follow_the_updates_since_the_last_reset():
    made = agent(*CYCLE, *RESETS, *NEVER)
    q = made.parts["q"]
    for age in (0, 2_500, 5_000, 7_500, 10_000, 30_000):
        q.age = age
        n, gamma = made.window
        passed = min(age / 10_000, 1)
        assert n == {0: 10, 2_500: 7, 5_000: 5, 7_500: 4}.get(age, 3)
        assert gamma == pytest.approx(1 - 0.03 * 0.1**passed, abs=1e-6)
    made.clock["steps"] = 90_000
    made.chain.tick()
    assert made.window == (10, pytest.approx(0.97))
    for _ in range(3):
        made.update()
    assert q.age == 3 and made.window == (10, pytest.approx(1 - 0.03 * 0.1**0.0003, abs=1e-9))


def test_the_replay_is_asked_for_what_the_schedule_says(monkeypatch):
    made, asked = agent(*CYCLE), []
    sample = type(made.replay).sample

    def spy(self, size, rng, n, gamma, out, k):
        asked.append((n, gamma, k))
        return sample(self, size, rng, n, gamma, out, k)

    monkeypatch.setattr(type(made.replay), "sample", spy)
    made.parts["q"].age = 5_000
    made.update()
    assert asked == [(5, pytest.approx(1 - 0.03 * 0.1**0.5), 2)]


def test_a_thousand_updates_pull_the_slow_network_over():
    made = agent("--target-tau=.005", "--target-every=1:updates", *RESETS, *NEVER)
    made.clock["steps"] = 90_000
    made.chain.tick()
    q = made.parts["q"]

    def gap():
        pairs = zip(q.net.parameters(), q.target.parameters(), strict=True)
        return math.sqrt(sum(float((a - b).detach().square().sum()) for a, b in pairs))

    before = gap()
    for _ in range(1_000):
        q.sync(q.tau)
    assert gap() <= before * math.exp(-4.9)


def test_the_slow_network_acts_in_training_and_in_evaluation():
    made = agent(
        "--target-every=1:updates", "--target-tau=.005", "--epsilon-final=0", "--epsilon-decay=0", "--epsilon-eval=0"
    )
    now, q = made.spec.observation.sample(), made.parts["q"]
    step = type("Step", (), {"observation": np.stack([now, now])})
    head = q.target.head
    with torch.no_grad():
        for w in head.parameters():
            w.zero_()
        head.advantage.bias.view(3, -1)[2, -1] = 9.0  # all mass of action 2 on the largest atom
    for greedy in (False, True):
        assert made.act(step, np.random.default_rng(0), greedy).tolist() == [2, 2]


def test_100k_steps_hold_their_replay_in_1600_megabytes():
    settings = parse("bbf", BBFConfig, ["--env=Pong"])
    from agents.arena import Arena

    world = Arena(settings.run, settings.game, settings.tasks, settings.config.rl)
    replay = world.replay()
    rows = sum(log.row_bytes for log in replay.logs().values()) * settings.config.rl.capacity
    assert 200_000 * 84 * 84 < rows + replay.tree.leaves.nbytes * 4 < 1.6e9
