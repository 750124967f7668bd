"""Law 6: the promises of random amplitude scaling (Laskin et al. 2020)."""

import pytest
import torch

from interventions.amplitude import Amplitude
from runs.rng import stream
from tests.interventions.small import IMAGES, VECTORS, agent
from tests.laws.members import taken


def scaled(size=500, **options):
    """(batch, what is made of it): states of ones and of twos."""
    subject = agent(VECTORS, updates=1).view(stream(0, "amplitude"))
    batch = subject.batch(size)
    batch = batch._replace(obs=torch.ones_like(batch.obs), next_obs=2 * torch.ones_like(batch.obs))
    return batch, Amplitude(amplitude_low=0.6, **options).before_update({}, subject, batch)


def test_each_transition_has_one_factor_for_both_of_its_states():
    batch, seen = scaled()
    assert torch.equal(seen.obs.amin(1), seen.obs.amax(1))
    torch.testing.assert_close(seen.next_obs, 2 * seen.obs)
    assert len(set(seen.obs[:, 0].tolist())) > 400
    assert torch.equal(batch.obs, torch.ones_like(batch.obs))


def test_factors_are_uniform_between_low_and_high():
    _, seen = scaled(4000)
    z = seen.obs[:, 0]
    assert 0.6 <= z.min() < 0.61
    assert 1.19 < z.max() <= 1.2
    assert z.mean().item() == pytest.approx(0.9, abs=0.01)
    assert z.std().item() == pytest.approx(0.6 / 12**0.5, abs=0.01)


def test_rewards_and_actions_are_left_alone():
    batch, seen = scaled(8)
    assert all(getattr(seen, name) is getattr(batch, name) for name in ("action", "reward", "discount", "weight"))


def test_images_and_odd_ranges_are_refused():
    assert taken("dqn", IMAGES, "--amplitude-low=0.6") is None
    assert taken("dqn", VECTORS, "--amplitude-low=0.6", "--amplitude-high=0.5") is None
    (sentence,) = Amplitude(amplitude_low=0.6).refuse(agent(IMAGES, updates=0).view(stream(0, "amplitude")))
    assert "--augment-on" in sentence
