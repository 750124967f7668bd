"""Adam's moments as its own step reads them."""

import pytest
import torch
from torch import nn

from nets.moments import edge, moments
from nets.optim import OptimConfig

GRADS = ([1.0, -3.0, 0.0], [2.0, 1.0, 0.0], [0.5, 0.5, 0.0])


def trained(steps=3, **flags):
    p = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    opt = OptimConfig(lr=0.1, eps=1e-3, **flags).make([p])
    for grad in GRADS[:steps]:
        p.grad = torch.tensor(grad)
        old = p.detach().clone()
        opt.step()
    return p, opt, old - p.detach() if steps else None


@pytest.mark.parametrize("step", ["tensor", "elements"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_step_that_was_taken_is_read_back(step, steps):
    p, opt, taken = trained(steps, adam_step=step)
    m, v, eps = moments(opt)[p]
    torch.testing.assert_close(0.1 * m / (v.sqrt() + eps), taken, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("step", ["tensor", "elements"])
def test_one_step_has_the_gradient_and_its_square(step):
    p, opt, _ = trained(1, adam_step=step)
    m, v, _ = moments(opt)[p]
    torch.testing.assert_close(m, torch.tensor(GRADS[0]), rtol=1e-4, atol=0)
    torch.testing.assert_close(v, torch.tensor(GRADS[0]).square(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("step", ["tensor", "elements"])
def test_what_never_stepped_has_no_moments(step):
    assert moments(OptimConfig(adam_step=step).make([nn.Parameter(torch.ones(2))])) == {}


def test_an_element_that_was_reborn_has_moments_of_zero():
    p, opt, _ = trained(3, adam_step="elements")
    for slot in opt.state[p].values():
        slot[1] = 0
    m, v, _ = moments(opt)[p]
    assert (m[1], v[1]) == (0, 0)
    assert m[0] > 0


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "upgd"])
def test_optimizers_without_both_moments_have_none(name):
    assert moments(trained(2, optimizer=name)[1]) == {}


@pytest.mark.parametrize("name", ["adamw", "trac", "adam_upgd"])
def test_kin_of_adam_have_them(name):
    assert len(moments(trained(2, optimizer=name)[1])) == 1


def test_the_edge_of_adam_is_38_over_the_learning_rate():
    assert edge(1e-3, 0.9) == pytest.approx(38_000)
    assert edge(0.5, 0.0) == pytest.approx(4)
