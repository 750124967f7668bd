"""Law 6: the promises of plasticity injection (Nikishin et al. 2023)."""

import pytest
import torch

from agents.build import build
from interventions.injection import Injection
from nets.injected import tails
from runs.units import NEVER, Period
from tests.interventions.small import IMAGES, VECTORS, fire, named
from tests.laws.members import AGENTS, learn, parsed, small, taken

NAME = {"dqn": "q", "classifier": "net"}
CASES = [
    ("dqn", IMAGES, []),
    ("dqn", IMAGES, ["--head=dueling", "--norm=layer", "--activation=crelu"]),
    ("dqn", IMAGES, ["--injection-groups=head"]),
    ("dqn", VECTORS, []),
    ("dqn", VECTORS, ["--injection-groups=torso,head"]),
    ("dqn", IMAGES, ["--specnorm-scale=1"]),
    ("dqn", IMAGES, ["--parseval-weight=1e-3", "--parseval-diagonal"]),
    ("sac", "toy:reach", []),
    ("sac", "toy:reach", ["--critic-net=simba", "--actor-net=bro"]),
    ("classifier", "labels:generated", []),
    ("classifier", "labels:generated", ["--net=cnn"]),
]


def agent(name="dqn", env=IMAGES, *flags, updates=12):
    world, made = taken(name, env, "--injection-every=1M", *flags)
    learn(made, world, updates)
    return world, made


def method(learner):
    return learner.chain.links[[link.name for link in learner.chain.links].index("injection")].method


def noise(learner):
    """Observations that no replay has seen, and actions."""
    batch = learner.view(learner.rng["act"]).batch(16)
    gen = torch.Generator().manual_seed(3)
    obs = torch.randint(0, 256, batch.obs.shape, generator=gen, dtype=torch.uint8)
    if batch.obs.dtype != torch.uint8:
        obs = torch.randn(batch.obs.shape, generator=gen) * 3
    return batch._replace(obs=obs)


def shown(learner, batch):
    """Outputs of every part and of every slow network."""
    out = {}
    with torch.no_grad():
        for name, part in learner.parts.items():
            out[name] = learner.output(name, batch, part.net)
            if part.target is not None:
                out[f"slow {name}"] = learner.output(name, batch, part.target)
    return out


def slots(part):
    rows = {n: part.opt.state[p] for n, p in part.net.named_parameters() if p.requires_grad}
    return {n: {s: x.clone() for s, x in row.items()} for n, row in rows.items()}


def bodies(part):
    """Names of the live parameters before and in the tail."""
    inside = {id(p) for tailed in tails(part.net) for m in tailed.tail() for p in m.parameters()}
    live = {n: p for n, p in part.net.named_parameters() if p.requires_grad}
    return [n for n, p in live.items() if id(p) not in inside], [n for n, p in live.items() if id(p) in inside]


@pytest.mark.parametrize(("name", "env", "flags"), CASES)
def test_an_injection_leaves_every_output_on_any_input(name, env, flags):
    _, learner = agent(name, env, *flags)
    batch = noise(learner)
    before = shown(learner, batch)
    fire(method(learner), learner)
    for key, out in shown(learner, batch).items():
        assert (out - before[key]).abs().max() < 1e-6, key


@pytest.mark.parametrize(("name", "env", "flags"), CASES)
def test_after_one_update_the_outputs_change_and_frozen_heads_have_neither_gradient_nor_change(name, env, flags):
    _, learner = agent(name, env, *flags)
    fire(method(learner), learner)
    batch, part = noise(learner), next(iter(learner.parts.values()))
    before, weights = shown(learner, batch), named(part)
    learner.update()
    key = NAME.get(name, "critic")
    assert not torch.equal(shown(learner, batch)[key], before[key])
    frozen = {n: p for n, p in part.net.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(p.grad is None and torch.equal(p, weights[n]) for n, p in frozen.items())
    live = {n: p for n, p in part.net.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.any() and not torch.equal(p, weights[n]) for n, p in live.items())


def test_the_number_of_trainable_parameters_is_that_of_the_plain_network():
    _, plain = taken("dqn", IMAGES)
    _, learner = agent()
    count = [sum(p.numel() for p in x.parts["q"].trainable) for x in (plain, learner)]
    fire(method(learner), learner)
    live = sum(p.numel() for p in learner.parts["q"].net.parameters() if p.requires_grad)
    owned = sum(p.numel() for group in learner.parts["q"].opt.param_groups for p in group["params"])
    assert count == [live, owned]


def test_the_live_head_is_a_fresh_draw_and_the_old_one_is_kept():
    _, learner = agent()
    part = learner.parts["q"]
    before = named(part)
    fire(method(learner), learner)
    after = named(part)
    body, tail = bodies(part)
    assert tail == [n for n in after if n.split(".")[0] in ("torso", "head")]
    for n in tail:
        assert torch.equal(after[f"injected.slots.0.old.{n}"], before[n])
        assert torch.equal(after[f"injected.slots.0.new.{n}"], after[n])
        assert not torch.equal(after[n], before[n])
    assert all(torch.equal(after[n], before[n]) for n in body)


def test_the_slow_network_freezes_its_own_head_and_goes_on_with_the_same_draw():
    _, learner = agent()
    part = learner.parts["q"]
    with torch.no_grad():
        part.target.head.value.weight.add_(1.0)
    before = {n: p.clone() for n, p in part.target.named_parameters()}
    fire(method(learner), learner)
    assert part.target.injected.filled() == 1
    for n in bodies(part)[1]:
        assert torch.equal(part.target.get_parameter(f"injected.slots.0.old.{n}"), before[n])
        assert torch.equal(part.target.get_parameter(n), part.net.get_parameter(n))


def test_the_optimizer_forgets_the_live_head_alone():
    _, learner = agent()
    part = learner.parts["q"]
    before = slots(part)
    fire(method(learner), learner)
    after = slots(part)
    body, tail = bodies(part)
    assert all(not x.any() for n in tail for x in after[n].values())
    assert all(torch.equal(x, before[n][slot]) for n in body for slot, x in after[n].items())
    assert any(x.any() for n in body for x in after[n].values())
    assert set(part.opt.state) == set(part.trainable)


def test_the_encoder_learns_through_the_frozen_heads():
    _, learner = agent()
    fire(method(learner), learner)
    part = learner.parts["q"]
    slot = part.net.injected.rows()[0]
    with torch.no_grad():
        part.net.head.value.weight.zero_()
        slot.new.head.value.weight.zero_()
    part.net(noise(learner).obs).square().sum().backward()
    assert part.net.encoder.conv1.writer.weight.grad.any()


def test_injections_follow_each_other_until_the_slots_are_full():
    _, learner = agent("dqn", IMAGES, "--injection-slots=2")
    chosen, subject = method(learner), learner.view(learner.rng["act"])
    state, batch = chosen.init(subject), noise(learner)
    for injected in (1.0, 1.0, 0.0):
        before, weights = shown(learner, batch), named(learner.parts["q"])
        assert chosen.apply(state, subject) == {"injected": injected}
        after = shown(learner, batch)
        assert all((after[key] - before[key]).abs().max() < 1e-6 for key in after)
        assert injected or all(torch.equal(p, weights[n]) for n, p in named(learner.parts["q"]).items())
        learner.update()


def test_a_period_injects_once_and_says_when_it_did_not():
    _, learner = agent("dqn", IMAGES, "--injection-every=5:updates", updates=17)
    rows = [row for row in learner.chain.drain() if "event/injection" in row]
    assert [row["event/injection/injected"] for row in rows] == [1.0, 0.0, 0.0]
    assert rows[0]["event/injection/output/q"] < 1e-6
    assert rows[1]["event/injection/changed"] == 0.0


def test_an_injection_without_a_slot_is_no_reset():
    _, learner = agent("dqn", IMAGES, "--injection-every=5:updates", "--catchup-updates=4", updates=17)
    assert learner.clock["resets"] == 1
    assert learner.clock["extra"] == 4


def test_only_the_chosen_parts_are_injected():
    _, learner = agent("sac", "toy:reach", "--injection-parts=critic")
    before = named(learner.parts["actor"])
    fire(method(learner), learner)
    assert all(torch.equal(p, before[n]) for n, p in named(learner.parts["actor"]).items())
    assert [t.injected is not None for t in tails(learner.parts["critic"].net)] == [True, True]
    assert [t.injected for t in tails(learner.parts["actor"].net)] == [None]


def test_a_target_copy_carries_frozen_heads_and_gates():
    _, learner = agent()
    fire(method(learner), learner)
    part = learner.parts["q"]
    part.target.injected.rows()[0].open.fill_(False)
    part.sync()
    assert part.target.injected.rows()[0].open
    live = dict(part.net.named_parameters())
    assert all(torch.equal(p, live[n]) for n, p in part.target.named_parameters())


def test_a_fresh_network_has_closed_slots():
    _, learner = agent()
    fire(method(learner), learner)
    assert learner.parts["q"].net.injected.filled() == 1
    assert learner.parts["q"].fresh(0).injected.filled() == 0


def test_shrinking_and_decay_pass_frozen_heads_by():
    _, learner = agent("dqn", IMAGES, "--shrink-every=15:updates", "--optimizer=adamw", "--weight-decay=0.5")
    fire(method(learner), learner)
    part = learner.parts["q"]
    before = named(part)
    for _ in range(4):
        learner.update()
    frozen = [n for n in before if n.startswith("injected")]
    assert [row for row in learner.chain.drain() if "event/shrink" in row]
    assert all(torch.equal(part.net.get_parameter(n), before[n]) for n in frozen)
    assert not torch.equal(part.net.get_parameter("head.value.weight"), before["head.value.weight"])


REFUSED = [
    (["--injection-every=20k,40k"], "--injection-slots 2"),
    (["--injection-every=20k", "--injection-slots=0"], "injection_slots is 0"),
    (["--injection-every=20k", "--injection-groups=encoder"], "injection_groups is encoder"),
    (["--injection-every=20k", "--reset-every=40k"], "injection and reset"),
    (["--injection-every=20k", "--popart-rate=0.1"], "injection and popart"),
]


@pytest.mark.parametrize(("flags", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_with_a_sentence(flags, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(AGENTS["dqn"][0], parsed("dqn", f"--env={IMAGES}", "--preset=none", *small("dqn"), *flags))


def test_it_is_off_by_default_and_a_list_fits_its_slots():
    assert not Injection().on
    assert Injection().injection_every == NEVER
    assert not list(Injection(injection_every=Period(at=(1, 2)), injection_slots=2).refuse(agent()[1].view(None)))
