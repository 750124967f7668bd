"""Units without gradient on constructed networks (algorithms B.4)."""

import math

import numpy as np
import pytest
import torch

from nets.subject import Loss
from probes.grama import GraMa
from tests.interventions.small import agent
from tests.interventions.small import states as of_replay
from tests.probes.constructed import part, states, subject, write

OBS = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))


def measure(scale=1.0, obs=OBS, **parts):
    """The loss of each part is `scale` times the mean of its squared outputs summed over actions."""
    source = subject(**parts)
    loss = lambda p, batch: scale * p.net(batch.obs).square().sum(1).mean()
    source.losses = lambda batch: (Loss(name, loss(p, batch)) for name, p in parts.items())
    return GraMa().measure(source, states(obs), {})


def deaf(units, hidden=8, **net):
    """A part in which these units have no outgoing weights."""
    p = part(hidden=(hidden,), **net)
    with torch.no_grad():
        p.net.head.value.weight[:, units] = 0
    return p


@pytest.mark.parametrize("net", [{}, {"norm": "layer"}, {"activation": "leaky_relu"}, {"activation": "tanh"}])
def test_a_unit_without_outgoing_weights_is_inactive(net):
    row = measure(q=deaf([1, 4, 6], **net))
    assert row[""] == row["mean"] == row["torso.fc1"] == 3 / 8


def test_one_unread_half_of_a_crelu_is_not_an_inactive_unit():
    assert measure(q=deaf([0, 1, 2], activation="crelu"))["torso.fc1"] == 0
    assert measure(q=deaf([0, 1, 8], activation="crelu"))["torso.fc1"] == 1 / 8  # both halves of unit 0


def test_the_scale_of_the_loss_is_no_matter_but_to_the_mean():
    p = deaf([2])
    small, large = measure(2.0**-20, q=p), measure(2.0**6, q=p)
    assert large.pop("gradient") == pytest.approx(2**26 * small.pop("gradient"))
    assert small == large


def test_gradients_of_samples_do_not_cancel():
    p = part(hidden=(2,), activation="tanh")
    write(p.net.torso.fc1.writer, 0.0, 0.5)
    write(p.net.head.value, [[1.0, 0.5], [0.0, 0.0]])
    source = subject(q=p)
    sign = torch.tensor([1.0, -1.0]).repeat(16)
    source.losses = lambda batch: iter([Loss("q", (sign * p.net(batch.obs)[:, 0]).mean())])
    row = GraMa().measure(source, states(OBS), {})
    assert row["gradient"] == pytest.approx((1 + 0.5) / 2)  # |dL/dh| of every sample is the weight behind
    assert row[""] == 0


def test_a_dead_unit_is_asked_but_cannot_answer():
    p = part(hidden=(4,))
    write(p.net.torso.fc1.writer, 0.0, [1.0, 1.0, -1.0, 1.0])
    row = measure(q=p)
    assert (row[""], row["a"], row["a/torso.fc1"]) == (0, 1 / 4, 1 / 4)


def test_the_threshold_is_one_percent_of_the_layers_mean():
    p = part(hidden=(2,), activation="tanh")
    write(p.net.torso.fc1.writer, 0.0)
    for size, share in ((0.004, 0.5), (0.006, 0.0)):  # beside 1 the mean is .502: G = .00797 and .0119
        write(p.net.head.value, [[1.0, size], [0.0, 0.0]], [1.0, 0.0])
        assert measure(q=p)[""] == share


def test_a_layer_without_any_gradient_is_inactive():
    p = part(hidden=(8,))
    write(p.net.head.value, 0.0)
    assert (measure(q=p)[""], measure(q=p)["gradient"]) == (1, 0)


def test_several_parts_carry_their_names():
    row = measure(actor=deaf([0]), critic=deaf([0, 1]))
    assert (row["actor.torso.fc1"], row["critic.torso.fc1"], row[""]) == (1 / 8, 2 / 8, 3 / 16)
    assert {"gradient/actor", "gradient/critic"} < set(row)


def test_it_reads_the_losses_of_an_agent():
    learner = agent()
    row = GraMa().measure(learner.view(np.random.default_rng(0)), of_replay(learner, 32), {})
    assert {"encoder.conv1", "encoder.conv3", "torso.fc1", "a/torso.fc1", "gradient"} < set(row)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["torso.fc1.writer.weight", "torso.fc1.writer.bias", "head.value.bias"])
def test_a_spoilt_weight_never_reads_healthy(place, value):
    p = part(hidden=(8,))
    with torch.no_grad():
        dict(p.net.named_parameters())[place].view(-1)[0] = value
    row = measure(q=p)
    assert len(row) == 7
    assert all(math.isnan(x) for x in row.values())
