"""Rainbow, QR-DQN, SPR and BBF beside tests/agents/reference.py, which shares no line with them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents import losses
from interventions.augment import Augment
from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.noisy import noise, noisy_layers
from nets.spr import SPRNetConfig, SPRNetwork
from replay.batch import Batch, Future
from tests.agents import reference
from tests.laws import members

SHAPE, ACTIONS, ATOMS, LOW, HIGH = (4, 44, 44), 3, 7, -2.0, 2.0
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
NETS = {
    "spr": lambda: SPRNetwork(SHAPE, ACTIONS, SPRNetConfig((32,), 0.25, encoder_width=2), "dueling", ATOMS),
    "spr-noisy": lambda: SPRNetwork(SHAPE, ACTIONS, SPRNetConfig((32,), 0.25), "dueling", ATOMS, True),
    "bbf": lambda: SPRNetwork(
        SHAPE, ACTIONS, SPRNetConfig((32,), 0.25, encoder="impala", encoder_width=2), "dueling", ATOMS
    ),
    "rainbow": lambda: QNetwork(SHAPE, ACTIONS, NetConfig((32,), 0.25, padding="same"), "dueling", ATOMS, True),
    "c51": lambda: QNetwork(SHAPE, ACTIONS, NetConfig((32,), 0.25), "linear", ATOMS),
}
PREDICTING = pytest.mark.parametrize("name", ["spr", "spr-noisy", "bbf"])


def drawn(name, seed=0):
    """A network with biases that are not as at birth."""
    rng = seeded(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = NETS[name]()
    return shaken(net, rng)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def shaken(net, rng):
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=rng), alpha=0.03)
    return net


def images(*sizes, seed=0):
    return torch.randint(256, (*sizes, *SHAPE), dtype=torch.uint8, generator=seeded(seed))


def made(size=6, ahead=4, seed=0):
    """A batch whose goals reach beyond both ends of the atoms, with episodes that end 1, 2 .. steps ahead."""
    rng = seeded(seed)
    mask = (torch.arange(ahead) < 1 + torch.arange(size)[:, None] % (ahead + 1)).float()
    mask[0] = 0
    future = Future(images(size, ahead, seed=2), torch.randint(ACTIONS, (size, ahead), generator=rng), mask)
    discount = torch.tensor([0.9, 0.0, 0.5, 0.7, 0.95, 1.0])[:size]
    reward, weight = torch.randn(size, generator=rng), torch.rand(size, generator=rng) + 0.1
    action = torch.randint(ACTIONS, (size,), generator=rng)
    return Batch(images(size), action, reward, discount, images(size, seed=1), weight, torch.arange(size), future)


def draws(net):
    """{noisy layer: the noise it has now}."""
    mine = {id(layer) for layer in noisy_layers(net)}
    return {name: module.noise for name, module in net.named_modules() if id(module) in mine}


def reads(name, p, obs, drawn_noise):
    """The outputs by the reference, [B, A, M]."""
    if name in ("rainbow", "c51"):
        return reference.q_outputs(p, obs, ATOMS, drawn_noise, same=name == "rainbow")
    return reference.spr_outputs(p, obs, ATOMS, drawn_noise)


# ---- the networks and the losses on their own


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_those_of_the_reference(name):
    net = drawn(name)
    with noise(net, seeded(3)):
        expected = reads(name, reference.doubles(net), images(4), draws(net))
        torch.testing.assert_close(net(images(4)).double(), expected, **CLOSE)


@PREDICTING
def test_predictions_are_those_of_the_reference(name):
    net, batch = drawn(name), made()
    with noise(net, seeded(3)):
        expected = reference.predictions(reference.doubles(net), batch.obs, batch.future.action, draws(net))
        found = net.predict(net.roll(net.encode(batch.obs), batch.future.action))
    torch.testing.assert_close(found.double(), expected, **CLOSE)


def scalar(logits, ahead):
    """A number that depends on all of them."""
    rates = [torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape) for x in (logits, ahead)]
    return (rates[0] * logits).sum() + (rates[1] * ahead).sum()


@PREDICTING
def test_gradients_are_those_of_the_reference(name):
    net, batch = drawn(name).double(), made()
    p, action = reference.doubles(net, grad=True), batch.future.action
    with noise(net, seeded(3)):
        logits = reads(name, p, batch.obs.double() / 255, draws(net))
        expected = scalar(logits, reference.predictions(p, batch.obs.double() / 255, action, draws(net)))
        z = net.encode(batch.obs.double() / 255)
        found = scalar(net.judge(z), net.predict(net.roll(z, action)))
    found.backward()
    for (key, q), g in zip(net.named_parameters(), torch.autograd.grad(expected, list(p.values())), strict=True):
        torch.testing.assert_close(q.grad, g, rtol=1e-6, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}")


def bins():
    return torch.linspace(LOW, HIGH, ATOMS)


def spread(seed, size=6, atoms=ATOMS):
    return torch.randn(size, ACTIONS, atoms, generator=seeded(seed))


def test_both_ways_to_project_agree_and_so_does_ours():
    batch, mass = made(), torch.softmax(spread(4)[:, 0], 1)
    found = losses.projected(mass, batch.reward, batch.discount, bins())
    for row, m, r, d in zip(found, mass, batch.reward, batch.discount, strict=True):
        ways = [reference.projected, reference.projected_to_neighbours]
        triangles, neighbours = (way(m.double(), float(r), float(d), LOW, HIGH) for way in ways)
        torch.testing.assert_close(triangles, neighbours, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(row.double(), triangles, **CLOSE)


@pytest.mark.parametrize("at_an_atom", [-2.0, 0.0, 2.0])
def test_the_reference_leaves_a_dirac_at_an_atom_where_it_is(at_an_atom):
    mass = torch.zeros(5, dtype=torch.float64)
    mass[int(at_an_atom) + 2] = 1
    for way in (reference.projected, reference.projected_to_neighbours):
        torch.testing.assert_close(way(mass, 0.0, 1.0, -2.0, 2.0), mass)


def test_cross_entropies_are_those_of_the_reference():
    batch, logits, following, judge = made(), spread(4), spread(5), spread(6)
    values = (torch.softmax(judge, 2) * bins()).sum(2)
    goal = losses.bootstrap_atoms(batch.reward, batch.discount, following, values, bins())
    found = losses.cross_entropy(losses.rows(logits, batch.action), goal)
    expected = reference.c51(logits.double(), following.double(), judge.double(), batch, LOW, HIGH)
    torch.testing.assert_close(found.double(), expected, **CLOSE)


def test_quantile_losses_are_those_of_the_reference():
    batch, theta, following, judge = made(), spread(4) * 2, spread(5) * 2, spread(6)
    goal = losses.bootstrap_quantiles(batch.reward, batch.discount, following, judge.mean(2))
    found = losses.quantile_huber(losses.rows(theta, batch.action), goal)
    expected = reference.quantile(theta.double(), following.double(), judge.double(), batch)
    torch.testing.assert_close(found.double(), expected, **CLOSE)


def test_self_predictions_are_compared_as_in_the_reference():
    y, t = (torch.randn(4, 6, 5, generator=seeded(i)) for i in (4, 5))
    y[0, 1], t[1, 2] = 0, 1e-5  # lengths below the guard
    mask = made().future.mask
    expected = reference.spr(y.double(), t.double(), mask)
    torch.testing.assert_close(losses.self_prediction(y, t, mask.T).double(), expected, **CLOSE)


def test_equal_predictions_cost_0_and_opposite_ones_4():
    y, mask = torch.randn(4, 6, 5, generator=seeded(4)).double(), torch.ones(6, 4)
    for sign, cost in ((1, 0.0), (-1, 4.0)):
        torch.testing.assert_close(reference.spr(y, sign * y, mask), torch.full((6,), cost).double())


def test_schedules_pass_through_the_values_of_the_paper():
    assert [reference.horizon(x) for x in (0, 2500, 5000, 7500, 10_000, 90_000)] == [10, 7, 5, 4, 3, 3]
    values = [0.97, 0.9831298, 0.9905132, 0.9946652, 0.997, 0.997]
    found = [reference.gamma(x) for x in (0, 2500, 5000, 7500, 10_000, 90_000)]
    assert found == pytest.approx(values, abs=1e-6)


# ---- augmentation


def augmented(batch, **flags):
    numbers = iter(range(100))
    subject = SimpleNamespace(seed=lambda: next(numbers), observation=SimpleNamespace(shape=SHAPE, dtype=np.uint8))
    return Augment(augment_on=True, **flags).before_update({}, subject, batch)


def test_without_a_pad_and_a_scale_every_image_stays_as_it_is():
    batch = made()
    found = augmented(batch, augment_shift=0, augment_intensity=0.0)
    assert all(torch.equal(found.named()[name], x) for name, x in batch.named().items())
    brightened = augmented(batch, augment_shift=0, augment_intensity=1e-12)
    torch.testing.assert_close(brightened.future.obs, batch.future.obs.float() / 255, rtol=1e-6, atol=0)


def test_every_step_ahead_is_shifted_by_an_offset_of_its_own():
    batch = made(1, 60)
    one = batch._replace(future=batch.future._replace(obs=batch.obs[:, None].expand(-1, 60, *SHAPE).contiguous()))
    found = augmented(one, augment_shift=1, augment_intensity=0.0).future.obs[0]
    assert len({x.numpy().tobytes() for x in found}) == 9


# ---- whole agents

LEARNERS = {
    "bbf": ("bbf", "--encoder-width=2"),
    "bbf-noisy": ("bbf", "--encoder-width=2", "--noisy=0.5"),
    "spr": ("spr", "--spr-steps=2"),
    "c51": ("rainbow", "--noisy=0.5", "--double", "--head=dueling", "--padding=same"),
    "c51-plain": ("rainbow",),
    "quantile": ("rainbow", "--loss=quantile", "--noisy=0.5", "--double"),
}
ALL = pytest.mark.parametrize("name", LEARNERS)
LR, DECAY, EPS, TAU = 3e-4, 0.1, 1.5e-4, 0.005
UPDATE = ("--optimizer=adamw", f"--lr={LR}", f"--weight-decay={DECAY}", f"--eps={EPS}")
FOLLOW = ("--target-every=1:updates", f"--target-tau={TAU}")


class Held:
    """A small agent whose two networks differ, the minibatch it is about to see, and what noise its layers have."""

    def __init__(self, name, *flags):
        kind, *more = LEARNERS[name]
        more += ["--bins=11", *([] if name == "quantile" else ["--value-range", "-3", "3"]), *flags]
        world, self.agent = members.taken(kind, "toy:catch", *more)
        members.learn(self.agent, world, 3)
        part, rng = self.agent.parts["q"], seeded(7)
        part.net.zero_grad()
        self.net, self.target = shaken(part.net, rng), shaken(part.target, rng)
        self.batch = varied(self.agent.sample().each(torch.clone), rng)
        self.agent.sample = lambda: self.batch
        self.p, self.slow = reference.doubles(self.net, grad=True), reference.doubles(self.target)
        self.heard = heard(self.net), heard(self.target)

    def loss(self):
        (found,) = self.agent.losses(self.batch, seeded(5))
        return found

    def drawn(self, slow, number):
        """Each noisy layer's noise in the passes of a network with its draw of this number."""
        return {name: list(found)[number] for name, found in self.heard[slow].items() if list(found)[number]}

    def outputs(self, p, obs, drawn):
        atoms, same = self.agent.goal.atoms, self.agent.config.net.padding == "same"
        spr = "predictor.weight" in p
        return reference.spr_outputs(p, obs, atoms, drawn) if spr else reference.q_outputs(p, obs, atoms, drawn, same)

    def terms(self):
        """By the reference, once the agent has made its passes: the loss of values and that of latents, each [B]."""
        batch, p, slow, config = self.batch, self.p, self.slow, self.agent.config
        logits = self.outputs(p, batch.obs, self.drawn(0, 0))
        judge = following = self.outputs(slow, batch.next_obs, self.drawn(1, 0))
        if config.double:
            judge = self.outputs(p, batch.next_obs, self.drawn(0, int(config.noisy > 0)))
        ahead = None if batch.future is None else reference.spr_terms(p, slow, batch, self.drawn(0, 0))
        if config.loss == "quantile":
            return reference.quantile(logits, following, judge, batch), ahead
        return reference.c51(logits, following, judge, batch, -3.0, 3.0), ahead

    def expected(self):
        return reference.total(self.batch.weight, *self.terms())


def varied(batch, rng):
    """With goals beyond both ends of the atoms, weights that differ, and ends of episodes 0, 1, 2 .. steps ahead."""
    size = len(batch.obs)
    discount = torch.rand(size, generator=rng) * (torch.arange(size) > 0)
    reward, weight = 2 * torch.randn(size, generator=rng), torch.rand(size, generator=rng) + 0.1
    batch = batch._replace(reward=reward, discount=discount, weight=weight)
    if batch.future is None:
        return batch
    steps = batch.future.mask.shape[1]
    mask = (torch.arange(steps) < torch.arange(size)[:, None] % (steps + 1)).float()
    return batch._replace(future=batch.future._replace(mask=mask))


def heard(net):
    """{noisy layer: {noise: None}, in the order in which its passes have had them}, which fills as passes are made."""
    found = {name: {} for name in draws(net)}
    for name, layer in net.named_modules():
        if name in found:
            layer.register_forward_hook(lambda layer, x, out, name=name: found[name].setdefault(layer.noise))
    return found


def gradients(value, weights):
    return dict(zip(weights, torch.autograd.grad(value, list(weights.values()), allow_unused=True), strict=True))


@ALL
def test_the_loss_of_each_transition_is_that_of_the_reference(name):
    held = Held(name)
    loss = held.loss()
    errors, ahead = held.terms()
    torch.testing.assert_close(loss.td.double(), errors, **CLOSE)
    torch.testing.assert_close(loss.value.double(), reference.total(held.batch.weight, errors, ahead), **CLOSE)
    if ahead is not None:
        torch.testing.assert_close(loss.metrics["loss/spr"].double(), ahead.mean(), **CLOSE)


@ALL
def test_the_gradient_of_an_agent_is_that_of_the_reference(name):
    held = Held(name)
    held.loss().value.backward()
    for key, g in gradients(held.expected(), held.p).items():
        near(held.net.get_parameter(key).grad, g, key)


def near(found, expected, key, share=1e-5):
    """Equal but for float32: to this share of the tensor's largest number."""
    found, expected = found.detach().double(), expected.detach()
    room = share * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=room, msg=lambda m: f"{key}: {m}")


@ALL
def test_an_update_is_a_step_of_adamw_and_of_the_average(name):
    held = Held(name, *UPDATE, *FOLLOW)
    part, p, slow = held.agent.parts["q"], dict(held.p), dict(held.slow)
    moments = {key: adam(part.opt, q) for key, q in held.net.named_parameters()}
    held.agent.update()
    reference.adamw(p, gradients(held.expected(), held.p), moments, 4, LR, DECAY, EPS)
    reference.follow(slow, p, TAU)
    for key, q in held.net.named_parameters():
        near(q, p[key], key)
        near(q.double() - held.p[key], p[key] - held.p[key], key, 1e-3)  # a step is .001 of a weight
        twin = held.target.get_parameter(key)
        near(twin, slow[key], key)
        near(twin.double() - held.slow[key], slow[key] - held.slow[key], key, 1e-3)
        for found, expected in zip(adam(part.opt, q), moments[key], strict=True):
            near(found, expected, key)


def adam(opt, weight):
    return tuple(opt.state[weight][slot].double().clone() for slot in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("name", ["bbf", "c51"])
def test_the_next_priority_is_the_root_of_the_cross_entropy_alone(name):
    held = Held(name)
    held.agent.update()
    replay, index = held.agent.replay, held.batch.index
    last = torch.tensor([int((index == i).nonzero()[-1]) for i in index])  # of a transition drawn twice
    found = torch.as_tensor(replay.tree.leaves[replay.ring.slots(index.numpy())])
    torch.testing.assert_close(found.double(), (held.terms()[0].detach()[last] + 1e-10).sqrt(), **CLOSE)


def test_without_steps_ahead_the_loss_is_plain_c51():
    held = Held("bbf", "--spr-steps=0")
    loss = held.loss()
    assert held.batch.future is None
    torch.testing.assert_close(loss.value.double(), reference.total(held.batch.weight, held.terms()[0]), **CLOSE)
    loss.value.backward()
    for key, q in held.net.named_parameters():
        assert (q.grad is None) == key.startswith(("transition", "predictor"))


def test_nothing_behind_the_end_of_an_episode_reaches_the_gradient():
    held = Held("bbf", "--spr-steps=2")
    found = [gradient_with(held, mask, other) for mask in (0.0, 1.0) for other in (False, True)]
    assert all(torch.equal(a, b) for a, b in zip(*found[:2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(*found[2:], strict=True))


def gradient_with(held, mask, other):
    """With this mask for the second step ahead, and other images and actions there."""
    obs, action, masks = map(torch.clone, held.batch.future)
    masks[:] = torch.tensor([1.0, mask])
    if other:
        obs[:, 1], action[:, 1] = 255 - obs[:, 1], (action[:, 1] + 1) % ACTIONS
    found = held.agent.losses(held.batch._replace(future=Future(obs, action, masks)), seeded(5))
    return torch.autograd.grad(next(found).value, list(held.net.parameters()))


@ALL
def test_no_gradient_reaches_the_slow_network(name):
    held = Held(name)
    held.target.requires_grad_(True)
    held.loss().value.backward()
    assert all(q.grad is None for q in held.target.parameters())
    assert any(q.grad.any() for q in held.net.parameters() if q.grad is not None)


@pytest.mark.parametrize("updates", [0, 2500, 5000, 7500, 10_000, 40_000])
def test_bbf_anneals_n_and_gamma_as_the_reference(updates):
    agent = Held("bbf", "--n-step=3", "--gamma=0.997").agent
    agent.parts["q"].age = updates
    assert agent.window == (reference.horizon(updates), pytest.approx(reference.gamma(updates), abs=1e-9))
