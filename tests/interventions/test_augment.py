"""Law 6: the promises of augmentation (Kostrikov et al. 2020): algorithms A.2."""

import numpy as np
import pytest
import torch

from interventions.augment import Augment, shift
from runs.rng import stream
from tests.agents.tiny import timestep
from tests.interventions.small import agent
from tests.laws.members import taken


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(size=6, side=12, seed=0):
    return torch.randint(256, (size, 4, side, side), dtype=torch.uint8, generator=generator(seed))


def offsets(shifted, original, pad):
    """Where each sample was cropped, by trying all of them."""
    padded = torch.nn.functional.pad(original, (pad,) * 4, mode="replicate")
    side = original.shape[-1]
    rows = []
    for i, image in enumerate(shifted):
        places = [(y, x) for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
        rows += [[p for p in places if torch.equal(padded[i, :, p[0] : p[0] + side, p[1] : p[1] + side], image)]]
    return rows


SHIFT = Augment(augment_on=True, augment_intensity=0.0)
BRIGHTNESS = Augment(augment_on=True, augment_shift=0)
BOTH = Augment(augment_on=True)


def test_pad_0_and_scale_0_is_the_identity():
    x = images()
    assert torch.equal(Augment(augment_shift=0, augment_intensity=0.0).augmented(x, generator()), x)


def test_an_intensity_of_next_to_nothing_is_the_image_over_255_as_the_network_takes_it():
    learner = agent(updates=0)
    x = images(4, learner.spec.observation.shape[-1])
    still = Augment(augment_shift=0, augment_intensity=1e-9).augmented(x, generator())
    assert torch.equal(still, x / 255)
    assert torch.equal(learner.parts["q"].net(still), learner.parts["q"].net(x))


def test_all_frames_of_a_stack_are_shifted_alike():
    x = images(1)[:, :1].expand(5, 4, 12, 12).contiguous()
    moved = shift(x, 4, generator())
    for frame in range(1, 4):
        assert torch.equal(moved[:, frame], moved[:, 0])
    assert len({tuple(m.flatten().tolist()) for m in moved}) > 1  # but not all stacks


def test_a_shift_is_a_crop_of_the_padded_image_and_offsets_are_0_to_8_with_mean_4():
    x = images(1).expand(400, 4, 12, 12)
    found = offsets(shift(x, 4, generator()), x, 4)
    assert all(len(places) == 1 for places in found)
    places = np.array([p[0] for p in found])
    assert set(places.flatten().tolist()) == set(range(9))
    assert abs(places.mean() - 4) < 4 * np.sqrt(60 / 9) / np.sqrt(places.size)  # variance of 0..8 is 60 / 9


def test_the_edge_is_repeated():
    """A 1x1 picture stays what it is wherever it is cropped."""
    x = images(8, 1)
    assert torch.equal(shift(x, 4, generator()), x)


def test_the_intensity_is_one_number_a_stack_cut_off_at_two_deviations():
    x = torch.full((2000, 4, 2, 2), 255, dtype=torch.uint8)
    seen = BRIGHTNESS.augmented(x, generator())
    factor = seen.flatten(1)
    assert torch.equal(factor.amin(1), factor.amax(1))
    assert factor.min().item() == pytest.approx(0.9)
    assert factor.max().item() == pytest.approx(1.1)
    assert factor[:, 0].mean().item() == pytest.approx(1, abs=0.005)
    assert factor[:, 0].std().item() == pytest.approx(0.05 * 0.96, abs=0.003)  # cut at 2: sqrt(.92) of the deviation


def test_shift_alone_keeps_bytes_and_intensity_alone_keeps_places():
    x = images()
    assert SHIFT.augmented(x, generator()).dtype == torch.uint8
    bright = BRIGHTNESS.augmented(x, generator())
    torch.testing.assert_close(bright / bright.amax((1, 2, 3), True), x / x.amax((1, 2, 3), True))


def test_both_ends_of_a_transition_are_augmented_independently():
    learner = agent()
    subject = learner.view(stream(0, "augment"))
    batch = subject.batch(32)
    batch = batch._replace(next_obs=batch.obs)
    seen = SHIFT.before_update({}, subject, batch)
    assert not torch.equal(seen.obs, seen.next_obs)
    assert seen.action is batch.action


def test_the_batch_itself_is_not_written_into():
    learner = agent()
    subject = learner.view(stream(0, "augment"))
    batch = subject.batch(8)
    before = batch.obs.clone()
    BOTH.before_update({}, subject, batch)
    assert torch.equal(batch.obs, before)


def test_acting_sees_images_as_they_are():
    plain, on = agent("toy:catch", updates=0), agent("toy:catch", "--augment-on", updates=0)
    on.parts["q"].load_state_dict(plain.parts["q"].state_dict())
    obs = images(16, plain.spec.observation.shape[-1]).numpy()
    for greedy in (True, False):
        actions = [x.act(timestep(obs), np.random.default_rng(0), greedy) for x in (plain, on)]
        assert actions[0].tolist() == actions[1].tolist()
    assert on.chain.links[0].rng.bit_generator.state == stream(0, "augment").bit_generator.state


@pytest.mark.parametrize("flags", [[], ["--augment-shift=0"], ["--augment-intensity=0"]])
def test_images_are_taken_by_either_and_both(flags):
    assert taken("dqn", "toy:catch", "--augment-on", *flags) is not None


def test_vectors_and_what_does_nothing_are_refused():
    assert taken("dqn", "toy:catch", "--augment-on", "--augment-shift=0", "--augment-intensity=0") is None
    assert taken("dqn", "toy:chain", "--augment-on") is None
    (sentence,) = BOTH.refuse(agent("toy:chain", updates=0).view(stream(0, "augment")))
    assert "--amplitude-low" in sentence
