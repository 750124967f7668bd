"""Redraws and saved states of a Part, and memory order through all of it."""

from itertools import count

import pytest
import torch

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.optim import SHARED, OptimConfig
from nets.part import Part
from runs import pack
from tests.nets.test_part import moved, part, same, step, values

IMAGES = NetConfig(width=0.25, hidden=(8,))


def images(optimizer="adam", net=IMAGES):
    return Part(lambda: QNetwork((4, 44, 44), 3, net), OptimConfig(optimizer=optimizer).make, 0, tau=1.0)


def learn(p):
    p.opt.zero_grad(set_to_none=True)
    p.net(torch.full((2, 4, 44, 44), 9, dtype=torch.uint8)).square().sum().backward()
    p.opt.step()
    return p


def disorder(p):
    """Parameters whose gradient or slots do not lie in memory as they do."""
    return [
        f"{name}.{slot}"
        for name, x in p.net.named_parameters()
        for slot, y in {"grad": x.grad, **p.opt.state[x]}.items()
        if y is not None and slot not in SHARED and y.stride() != x.stride()
    ]


def through_a_file(state):
    return pack.decode(*pack.encode(state))


def test_a_redraw_of_everything_is_the_draw_of_its_seed():
    p = step(part(), 3)
    p.redraw(lambda: 7)
    assert same(p.net, p.fresh(7))


def test_a_redraw_of_a_group_moves_only_that_group_and_its_memory():
    p = step(part(), 3)
    before = values(p.net)
    p.redraw(lambda: 7, "head")
    assert moved(p.net, before) == {"head.value.weight", "head.value.bias"}
    steps = {name: int(p.opt.state[x]["step"]) for name, x in p.net.named_parameters()}
    assert {name for name, n in steps.items() if n == 0} == {"head.value.weight", "head.value.bias"}


def test_a_redraw_starts_a_new_age():
    p = part()
    p.age = 5
    p.redraw(lambda: 7, "head")
    assert p.age == 0


def test_a_part_without_the_group_is_left_alone_and_draws_no_seed():
    p, seeds = part(), count()
    p.age = 5
    before = values(p.net)
    p.redraw(lambda: next(seeds), "encoder")
    assert (p.age, next(seeds), moved(p.net, before)) == (5, 0, set())


def test_a_redraw_blends_what_is_kept_with_a_fresh_draw():
    p = step(part(), 3)
    before, phi = values(p.net), values(p.fresh(7))
    p.redraw(lambda: 7, keep=0.8, noise=0.2)
    for name, x in p.net.named_parameters():
        torch.testing.assert_close(x, 0.8 * before[name] + 0.2 * phi[name])


def test_a_redraw_that_keeps_nothing_forgets_even_a_nan():
    p = part()
    with torch.no_grad():
        p.net.head.value.weight.fill_(torch.nan)
    p.redraw(lambda: 7)
    assert same(p.net, p.fresh(7))


def test_after_a_redraw_the_slow_copy_is_a_copy_kept_or_a_draw_of_its_own():
    p = step(part(), 3)
    old = values(p.target)
    p.redraw(iter((7, 8)).__next__, target="keep")
    assert not moved(p.target, old)
    p.redraw(iter((7, 8)).__next__, target="own")
    assert same(p.target, p.fresh(8))
    assert same(p.net, p.fresh(7))
    p.redraw(iter((9,)).__next__)
    assert same(p.target, p.fresh(9))


def test_the_slow_copy_of_other_groups_is_not_synced_by_a_redraw():
    p = step(part(), 3)
    old = values(p.target)
    p.redraw(lambda: 7, "head")
    assert moved(p.target, old) == {"head.value.weight", "head.value.bias"}


def test_a_redraw_replaces_no_parameter():
    p = part()
    before = [id(x) for net in (p.net, p.target) for x in net.parameters()]
    p.redraw(lambda: 7)
    assert [id(x) for net in (p.net, p.target) for x in net.parameters()] == before


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_a_state_restores_every_bit_through_a_file(optimizer):
    old = step(part(optimizer=optimizer), 3)
    old.age = 3
    new = part(seed=9, optimizer=optimizer)
    new.load_state_dict(through_a_file(old.state_dict()))
    assert pack.digest(new.state_dict()) == pack.digest(old.state_dict())
    assert same(step(new).net, step(old).net)


def test_a_state_of_another_shape_is_refused_with_both_shapes():
    other = part(config=NetConfig(hidden=(8, 9))).state_dict()
    with pytest.raises(
        ValueError, match=r"net/torso\.fc2\.writer\.weight is \[9, 8\] in the checkpoint, \[8, 8\] here"
    ):
        part().load_state_dict(other)


def test_a_state_with_other_names_is_refused_by_name():
    other = part(head="dueling").state_dict()
    with pytest.raises(ValueError, match=r"holds another network: net differs in head\.advantage"):
        part().load_state_dict(other)


def test_a_state_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"opt/.* differs in exp_avg, exp_avg_sq, grad_avg, square_avg"):
        part(optimizer="rmsprop").load_state_dict(part().state_dict())


def test_a_state_without_a_slow_copy_is_refused_where_there_is_one():
    with pytest.raises(ValueError, match="target differs in"):
        part().load_state_dict(part(tau=None).state_dict())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("net", [IMAGES, NetConfig(width=0.25, hidden=(8,), norm="layer", padding="same")])
def test_gradients_and_memory_lie_as_their_parameters_do(optimizer, net):
    p = images(optimizer, net)
    kernel = p.net.encoder.conv1.writer.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert not kernel.is_contiguous()
    assert disorder(p) == []
    assert disorder(learn(p)) == []
    p.load_state_dict(through_a_file(p.state_dict()))
    assert disorder(learn(p)) == []
    p.redraw(lambda: 7)
    assert disorder(learn(p)) == []
    p.forget(kernel)
    p.forget(kernel, torch.tensor([0, 2]))
    assert disorder(learn(p)) == []
    assert [x.stride() for x in p.target.parameters()] == [x.stride() for x in p.net.parameters()]


def test_a_contiguous_moment_is_noticed():
    p = learn(images())
    memory = p.opt.state[p.net.encoder.conv2.writer.weight]
    memory["exp_avg"] = memory["exp_avg"].contiguous()
    assert disorder(p) == ["encoder.conv2.writer.weight.exp_avg"]


def test_what_a_file_gives_back_is_contiguous_so_it_must_be_copied_in():
    state = through_a_file(learn(images()).state_dict())
    assert state["opt"]["encoder.conv2.writer.weight"]["exp_avg"].is_contiguous()
