"""Augmentation (DrQ, Kostrikov et al. 2020, arXiv:2004.13649; SPR, arXiv:2007.05929): random shifts and intensities.

The two ends of a transition, and each later step that a model predicts, are augmented independently, and only in
minibatches: acting, evaluation and probes see images as they are. The JAX code draws offsets from 0 to 7 of 8 because
its upper bound is excluded; ours are 0 to 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interventions.base import Intervention, Reach, State
from nets.encoders import pixels
from nets.subject import Subject
from replay.batch import Batch
from runs.units import broken

CUT = 2.0  # deviations at which an intensity is cut off (SPR's Intensity)


@dataclass(frozen=True)
class Augment(Intervention):
    """Augmentation: images shifted and brightened at random in every minibatch (Kostrikov et al. 2020)"""

    reach = Reach.NETWORK
    touches = "the images of a minibatch, targets' too"
    clashes = "observations that are no images"

    augment_on: bool = False
    """Whether images are augmented: as DrQ(eps), SPR and BBF unless a flag below is 0 (arXiv:2108.13264)"""
    augment_shift: int = 4
    """Pixels by which an image moves at most, its edge repeated behind it; 0 for none (Kostrikov et al. 2020: 4)"""
    augment_intensity: float = 0.05
    """Deviation of the brightness around 1, cut off at 2 of them; 0 for none, as DrQ-v2 (arXiv:2007.05929: .05)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "augment_shift": (self.augment_shift >= 0, "at least 0"),
            "augment_intensity": (0 <= self.augment_intensity < 0.5, "from 0 to below .5"),
        }
        yield from broken(self, rules)
        if not self.augment_shift and not self.augment_intensity:
            yield "augment_on does nothing with shift and intensity both 0; leave it out"
        space = subject.observation
        if len(space.shape) != 3 or space.dtype != np.uint8:
            yield f"augment_on is for images; for observations of shape {space.shape} use --amplitude-low"

    def before_update(self, state: State, subject: Subject, batch: Batch) -> Batch:
        rng = torch.Generator().manual_seed(subject.seed())
        future = batch.future
        if future is not None:
            steps = self.augmented(future.obs.flatten(0, 1), rng)
            future = future._replace(obs=steps.view(*future.obs.shape[:2], *steps.shape[1:]))
        obs, next_obs = self.augmented(batch.obs, rng), self.augmented(batch.next_obs, rng)
        return batch._replace(obs=obs, next_obs=next_obs, future=future)

    def augmented(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """images: [B, C, H, W] uint8 -> the same, or float32 / 255 where the intensity is drawn."""
        images = shift(images, self.augment_shift, rng)
        if not self.augment_intensity:
            return images
        noise = torch.randn(len(images), generator=rng).clamp_(-CUT, CUT)
        factor = (1 + self.augment_intensity * noise).to(images.device)
        return pixels(images).mul_(factor[:, None, None, None])


def shift(images: Tensor, pad: int, rng: torch.Generator) -> Tensor:
    """images: [B, C, H, W], each padded by its edge and cropped at an offset of its own, the same for all channels.
    Slices of one padded batch: .25 ms for 32 stacks of 84x84, where gathering pixels by index takes 7.9."""
    if not pad:
        return images
    height, width = images.shape[2:]
    padded = F.pad(images, (pad,) * 4, mode="replicate")
    places = torch.randint(2 * pad + 1, (len(images), 2), generator=rng).tolist()
    return torch.stack([padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(places)])
