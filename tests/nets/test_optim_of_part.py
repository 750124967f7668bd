"""Our optimizers inside a Part: forgetting by index, memory order, states through a file."""

import io

import pytest
import torch

from nets.encoders import NetConfig
from nets.heads import QNetwork
from nets.optim import COUNTS, SHARED, OptimConfig
from nets.part import Part

OURS = {
    "elements": {"adam_step": "elements"},
    "stable": {"adam_step": "elements", "optimizer": "adamw", "clip_update": 1.0, "weight_decay": 0.1},
    "trac": {"optimizer": "trac"},
    "upgd": {"optimizer": "upgd"},
    "adam_upgd": {"optimizer": "adam_upgd"},
}
IMAGES = NetConfig(width=0.25, hidden=(8,))


def part(kind, seed=0, shape=(5,), net=None):
    make = lambda: QNetwork(shape, 2, net or NetConfig(hidden=(8, 8)))
    return Part(make, OptimConfig(lr=0.01, **OURS[kind]).make, seed)


def step(p, times=1, shape=(5,)):
    for k in range(times):
        x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(k))
        p.opt.zero_grad(set_to_none=True)
        p.net(x).square().sum().backward()
        p.opt.step()
    return p


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.trainable, b.trainable, strict=True))


def own(p, tensor):
    """Its slots that are shaped as the parameter."""
    return {name: slot for name, slot in p.opt.state[tensor].items() if name not in SHARED}


@pytest.mark.parametrize("kind", OURS)
def test_forgetting_everything_makes_the_next_step_a_new_optimizers(kind):
    old, new = step(part(kind), 3), part(kind, seed=1)
    new.net.load_state_dict(old.net.state_dict())
    for p in old.trainable:
        old.forget(p)
    assert same(step(old), step(new))


@pytest.mark.parametrize("index", [torch.tensor([0, 3]), (slice(None), torch.tensor([1, 6]))], ids=["rows", "columns"])
@pytest.mark.parametrize("kind", OURS)
def test_forgetting_at_an_index_zeroes_every_slot_there_and_keeps_the_rest_and_what_is_shared(kind, index):
    p = step(part(kind), 3)
    w = p.net.torso.fc2.writer.weight
    before = {name: slot.clone() for name, slot in p.opt.state[w].items()}
    p.forget(w, index)
    there = torch.zeros_like(w, dtype=torch.bool)
    there[index] = True
    for name, slot in own(p, w).items():
        assert not slot[there].any()
        assert torch.equal(slot[~there], before[name][~there])
    for name in SHARED & before.keys():
        assert torch.equal(p.opt.state[w][name], before[name])


def test_the_step_counts_alone_may_be_forgotten():
    p = step(part("elements"), 3)
    w = p.net.torso.fc2.writer.weight
    p.forget(w, slots=tuple(COUNTS))
    slots = p.opt.state[w]
    assert not slots["corrected1"].any()
    assert not slots["corrected2"].any()
    assert slots["exp_avg"].any()


@pytest.mark.parametrize("kind", OURS)
def test_memory_lies_as_the_parameters_do(kind):
    images = (4, 44, 44)
    p = step(part(kind, shape=images, net=IMAGES), 2, images)
    p.forget(p.net.encoder.conv1.writer.weight, torch.tensor([0, 2]))
    step(p, 1, images)
    kernel = p.net.encoder.conv1.writer.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert not kernel.is_contiguous()
    for tensor in p.trainable:
        assert own(p, tensor)
        assert all(slot.stride() == tensor.stride() for slot in own(p, tensor).values())
        assert all(slot.shape == tensor.shape for slot in own(p, tensor).values())


@pytest.mark.parametrize("kind", OURS)
def test_a_state_goes_through_a_file_and_on_to_the_last_bit(kind):
    old, new = step(part(kind), 3), part(kind, seed=9)
    file = io.BytesIO()
    torch.save(old.state_dict(), file)
    file.seek(0)
    new.load_state_dict(torch.load(file))
    assert same(step(old), step(new))
    for p, q in zip(old.trainable, new.trainable, strict=True):
        assert all(torch.equal(slot, new.opt.state[q][name]) for name, slot in old.opt.state[p].items())


def test_after_a_redraw_trac_starts_from_the_new_draw():
    p = step(part("trac"), 30)
    p.redraw(lambda: 7, "head")
    drawn = {name: x.detach().clone() for name, x in p.select("head").items()}
    step(p)
    for name, x in p.select("head").items():
        assert torch.equal(p.opt.state[x]["reference"], drawn[name])
    w = p.net.torso.fc1.writer.weight
    assert not torch.equal(p.opt.state[w]["reference"], w)
    assert torch.equal(p.opt.state[w]["tuner"], p.opt.state[p.net.head.value.weight]["tuner"])
