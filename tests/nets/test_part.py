"""A Part: fresh draws, groups, redraws, memory and the slow copy."""

import pytest
import torch
from torch import nn

from nets.anatomy import Network
from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.optim import OptimConfig
from nets.part import Part

VECTORS = NetConfig(hidden=(8, 8))


def part(tau=1.0, seed=0, config=VECTORS, optimizer="adam", head="linear"):
    make = lambda: QNetwork((5,), 2, config, head)
    return Part(make, OptimConfig(optimizer=optimizer, lr=0.1).make, seed, tau=tau)


def step(p, times=1):
    for k in range(times):
        x = torch.randn(16, 5, generator=torch.Generator().manual_seed(k))
        p.opt.zero_grad(set_to_none=True)
        p.net(x).square().sum().backward()
        p.opt.step()
    return p


def values(net):
    return {name: x.detach().clone() for name, x in net.named_parameters()}


def moved(net, before):
    return {name for name, x in net.named_parameters() if not torch.equal(x, before[name])}


def same(net, other):
    return not moved(net, values(other))


class Normed(Network):
    """A network with a buffer that is not a parameter."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))

    def layers(self):
        return []

    def outputs(self):
        return []


def test_a_fresh_draw_is_a_function_of_the_seed():
    p = part()
    assert same(p.fresh(3), p.fresh(3))
    assert not same(p.fresh(3), p.fresh(4))


def test_two_seeds_draw_every_tensor_anew():
    p = part()
    assert moved(p.fresh(3), values(p.fresh(4))) == set(values(p.net))


def test_the_first_draw_is_a_fresh_draw():
    assert same(part(seed=3).net, part(seed=9).fresh(3))


def test_a_fresh_draw_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    part(seed=5).fresh(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_of_the_global_generator_does_not_enter_a_draw():
    torch.manual_seed(1)
    first = values(part(seed=5).net)
    torch.manual_seed(2)
    assert not moved(part(seed=5).net, first)


def test_the_slow_copy_starts_equal_but_is_another_network_without_gradients():
    p = part()
    assert same(p.target, p.net)
    assert not {id(x) for x in p.target.parameters()} & {id(x) for x in p.net.parameters()}
    assert not any(x.requires_grad for x in p.target.parameters())


def test_the_slow_copy_is_not_trained():
    p = part()
    before = values(p.target)
    step(p)
    assert not moved(p.target, before)


def test_a_part_without_tau_has_no_slow_copy():
    p = part(tau=None)
    p.sync()
    assert p.target is None
    assert p.state_dict()["target"] == {}


def test_groups_are_the_components_of_paths():
    assert part(head="dueling").groups() == ["advantage", "fc1", "fc2", "head", "torso", "value", "writer"]


@pytest.mark.parametrize(
    ("groups", "skip", "names"),
    [
        ("", "", ["torso.fc1", "torso.fc2", "head.value"]),
        ("head", "", ["head.value"]),
        ("fc2,head", "", ["torso.fc2", "head.value"]),
        ("", "head", ["torso.fc1", "torso.fc2"]),
        ("torso", "fc1", ["torso.fc2"]),
        ("encoder", "", []),
    ],
)
def test_select_takes_groups_and_leaves_out_skips(groups, skip, names):
    found = part().select(groups, skip)
    assert list(dict.fromkeys(name.rsplit(".", 1)[0].removesuffix(".writer") for name in found)) == names
    assert len(found) == 2 * len(names)


def test_select_never_takes_a_part_of_a_word():
    assert part().select("fc") == {}


def test_select_gives_the_parameters_themselves():
    p = part()
    assert p.select("head")["head.value.bias"] is p.net.head.value.bias


@pytest.mark.parametrize(("tau", "expected"), [(1.0, 8.0), (0.25, 5.0)])
def test_sync_moves_the_slow_copy_by_tau(tau, expected):
    p = part()
    with torch.no_grad():
        for x, y in zip(p.net.parameters(), p.target.parameters(), strict=True):
            x.fill_(8)
            y.fill_(4)
    p.sync(tau)
    assert all(torch.equal(y, torch.full_like(y, expected)) for y in p.target.parameters())
    assert all(torch.equal(x, torch.full_like(x, 8)) for x in p.net.parameters())


def test_sync_copies_buffers_whole():
    p = Part(Normed, OptimConfig().make, 0, tau=0.25)
    p.net.mean.fill_(8)
    p.sync(0.25)
    assert p.target.mean.tolist() == [8, 8]


def test_sync_writes_in_place():
    p = part()
    before = [id(x) for x in p.target.parameters()]
    p.sync()
    assert [id(x) for x in p.target.parameters()] == before


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_forgetting_everything_makes_the_next_step_a_new_optimizers(optimizer):
    old = step(part(optimizer=optimizer), 3)
    new = part(optimizer=optimizer)
    new.net.load_state_dict(old.net.state_dict())
    for p in old.trainable:
        old.forget(p)
    assert same(step(old).net, step(new).net)


def test_forgetting_rows_keeps_the_rest_and_the_shared_step():
    p = step(part(), 3)
    w = p.net.torso.fc1.writer.weight
    before = {name: slot.clone() for name, slot in p.opt.state[w].items()}
    p.forget(w, torch.tensor([0, 3]))
    for name in ("exp_avg", "exp_avg_sq"):
        slot = p.opt.state[w][name]
        assert not slot[[0, 3]].any()
        assert torch.equal(slot[[1, 2, 4, 5, 6, 7]], before[name][[1, 2, 4, 5, 6, 7]])
    assert p.opt.state[w]["step"] == before["step"] == 3


def test_forgetting_columns_keeps_the_other_columns():
    p = step(part(), 3)
    w = p.net.head.value.weight
    before = p.opt.state[w]["exp_avg"].clone()
    p.forget(w, (slice(None), torch.tensor([0, 3])))
    assert not p.opt.state[w]["exp_avg"][:, [0, 3]].any()
    assert torch.equal(p.opt.state[w]["exp_avg"][:, 4:], before[:, 4:])


def test_only_the_slots_named_are_forgotten():
    p = step(part(), 3)
    b = p.net.head.value.bias
    p.forget(b, slots=("step",))
    assert p.opt.state[b]["step"] == 0
    assert p.opt.state[b]["exp_avg"].any()


def test_forgetting_leaves_weights_and_other_tensors_alone():
    p = step(part(), 3)
    weights, other = values(p.net), p.opt.state[p.net.head.value.bias]["exp_avg"].clone()
    p.forget(p.net.head.value.weight)
    assert not moved(p.net, weights)
    assert torch.equal(p.opt.state[p.net.head.value.bias]["exp_avg"], other)
