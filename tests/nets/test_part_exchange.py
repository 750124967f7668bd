"""A part changes places with a stored one: contents move, tensors stay."""

import torch

from tests.interventions.small import IMAGES, agent
from tests.laws.members import same


def test_two_exchanges_are_none_and_one_brings_the_stored_contents():
    part = agent(IMAGES).parts["q"]
    before, stored = clone(part.state_dict()), part.newborn(7)
    new, ids = clone(stored), [id(p) for p in part.net.parameters()]
    strides = [x.stride() for p in part.trainable for x in (p, *part.opt.state[p].values())]
    part.exchange(stored)
    assert same(part.state_dict(), new)
    assert same(stored, before)
    part.exchange(stored)
    assert same(part.state_dict(), before)
    assert same(stored, new)
    assert ids == [id(p) for p in part.net.parameters()]
    assert strides == [x.stride() for p in part.trainable for x in (p, *part.opt.state[p].values())]


def test_a_newborn_is_a_fresh_draw_with_a_copy_and_an_empty_optimizer():
    part = agent(IMAGES).parts["q"]
    stored, fresh = part.newborn(7), part.fresh(7).state_dict()
    assert same(stored["net"], dict(fresh))
    assert same(stored["target"], dict(fresh))
    assert all(not x.any() for row in stored["opt"].values() for x in row.values())
    assert stored["age"] == 0
    assert stored["net"]["head.value.weight"].data_ptr() != stored["target"]["head.value.weight"].data_ptr()


def clone(node):
    if isinstance(node, dict):
        return {k: clone(x) for k, x in node.items()}
    return node.clone() if isinstance(node, torch.Tensor) else node
