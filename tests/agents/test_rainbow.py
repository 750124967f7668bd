"""Rainbow and SPR: noise where it belongs, priorities of the right loss, resets of the last layers (A.0.3, A.3.3)."""

import numpy as np
import pytest
import torch

from nets.noisy import noisy_layers
from runs import pack
from tests.laws.members import learn, taken

GREEDY = ["--epsilon-final=0", "--epsilon-decay=0", "--epsilon-eval=0"]


def agent(name="rainbow", env="toy:catch", *flags, updates=8):
    world, made = taken(name, env, *flags)
    learn(made, world, updates)
    return made


def loud(made):
    """Its noise many times as strong, so that it decides."""
    with torch.no_grad():
        for layer in noisy_layers(made.parts["q"].net):
            layer.sigma.weight.mul_(50)
    return made


def acted(made, greedy, times=40):
    image = np.random.default_rng(1).integers(256, size=(1, *made.spec.observation.shape), dtype=np.uint8)
    now = type("Step", (), {"observation": np.stack([image[0]] * 2)})
    rng = np.random.default_rng(0)
    return [made.act(now, rng, greedy).tolist() for _ in range(times)]


@pytest.mark.parametrize("name", ["rainbow", "spr"])
def test_each_step_of_training_has_its_own_noise_and_evaluation_has_none(name):
    made = loud(agent(name, "toy:catch", "--noisy=.5", *GREEDY))
    assert len(set(map(tuple, acted(made, greedy=False)))) > 1
    assert len(set(map(tuple, acted(made, greedy=True)))) == 1
    assert all(layer.noise is None for layer in noisy_layers(made.parts["q"].net))


def test_acting_with_the_same_generator_draws_the_same_noise():
    made = loud(agent("rainbow", "toy:catch", "--noisy=.5", *GREEDY))
    assert acted(made, greedy=False) == acted(made, greedy=False)


def test_the_passes_of_an_update_have_draws_of_their_own():
    made = loud(agent("rainbow", "toy:catch", "--noisy=.5", "--double"))
    batch = made.view(np.random.default_rng(0)).batch(4)
    same = batch._replace(next_obs=batch.obs)
    seen = made.passes(same, made.generator(0))
    assert not torch.equal(seen.outputs, seen.judge)
    again = made.passes(same, made.generator(0))
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], again[:3], strict=True))


@pytest.mark.parametrize("loss", ["c51", "quantile"])
def test_the_priority_is_the_root_of_the_loss_of_values_alone(loss):
    for name in ("rainbow", "spr"):
        made = agent(name, "toy:catch", f"--loss={loss}", "--priority-exponent=.5")
        batch = made.sample()
        (found,) = made.losses(batch, made.generator(0))
        ring = made.replay.ring
        made.replay.reprioritize(batch.index, found.td)
        last = {int(i): float(x) for i, x in zip(batch.index, found.td.detach(), strict=True)}
        for i, x in last.items():
            leaf = made.replay.tree.leaves[ring.slots(np.array([i]))][0]
            assert leaf == pytest.approx((x + 1e-10) ** 0.5, rel=1e-5)


def test_a_reset_leaves_the_priorities_as_they_are():
    made = agent("spr", "toy:catch", "--priority-exponent=.5", "--reset-every=9k")
    before = pack.digest(made.replay.state_dict())
    made.clock["steps"] = 9_000
    made.chain.tick()
    assert made.clock["resets"] == 1
    assert pack.digest(made.replay.state_dict()) == before


def test_sprs_resets_redraw_the_last_layers_and_every_scale_of_the_noise():
    made = agent("spr", "toy:catch", "--noisy=.5", "--reset-every=9k", "--reset-groups=head,sigma")
    q = made.parts["q"]
    before = q.weights()
    slots = {n: {s: x.clone() for s, x in q.opt.state[p].items()} for n, p in q.net.named_parameters()}
    made.clock["steps"] = 9_000
    made.chain.tick()
    redrawn = {n for n, w in q.weights().items() if not torch.equal(w, before[n])}
    last = {n for n in before if n.startswith("head.") or ".sigma." in n}
    assert redrawn == last
    assert {n.partition(".")[0] for n in last} == {"head", "projection"}
    for name, p in q.net.named_parameters():
        assert slots[name]["step"] > 0
        for slot, x in q.opt.state[p].items():
            assert not x.any() if name in last else torch.equal(x, slots[name][slot])


def test_of_a_snapshot_without_a_future_only_the_loss_of_values_is_left():
    made = agent("spr", "toy:catch")
    batch = made.view(np.random.default_rng(0)).batch(4)
    (whole,) = made.losses(batch, made.generator(0))
    (values,) = made.losses(batch._replace(future=None), made.generator(0))
    assert "loss/spr" in whole.metrics and "loss/spr" not in values.metrics
    torch.testing.assert_close(whole.value, values.value + 5 * whole.metrics["loss/spr"])


def test_the_loss_of_numbers_can_be_rescaled_with_the_prediction_in_it():
    made = agent("spr", "toy:catch", "--loss=huber", "--noisy=0")
    (found,) = made.losses(made.sample(), made.generator(0))
    torch.testing.assert_close(found.of(found.td), found.value)


@pytest.mark.parametrize(
    ("name", "env", "flags"),
    [
        ("spr", "toy:chain", ()),
        ("rainbow", "toy:reach", ()),
        ("spr", "toy:catch", ("--spr-steps=-1",)),
        ("rainbow", "toy:catch", ("--noisy=-1",)),
        ("rainbow", "toy:catch", ("--loss=quantile", "--value-range", "-5", "5")),
        ("rainbow", "toy:catch", ("--priority-exponent=0", "--priority-weight=.4")),
        ("rainbow", "toy:catch", ("--priority-weight-final=.9",)),
        ("rainbow", "toy:catch", ("--anneal-updates=5k",)),
        ("rainbow", "toy:catch", ("--gamma-start=1",)),
    ],
)
def test_what_cannot_be_is_refused(name, env, flags):
    assert taken(name, env, *flags) is None
