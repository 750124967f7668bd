"""Random amplitude scaling (RAD, Laskin et al. 2020, arXiv:2004.14990): states times a random number.

Each transition has a number of its own, the same for its two states, as in the authors' code (rad_openaigym, whose
range is .5 to 1.5; rllte's is .6 to 1.2). Only minibatches are scaled, never what the agent acts on. Where observations
are normalised, what is scaled is the normalised state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
import torch

from interventions.base import Intervention, Reach, State
from nets.subject import Subject
from replay.batch import Batch
from runs.units import broken


@dataclass(frozen=True)
class Amplitude(Intervention):
    """Amplitude: every state of a minibatch times a random number (Laskin et al. 2020)"""

    reach = Reach.NETWORK
    touches = "the states of a minibatch, targets' too"
    clashes = "observations that are no vectors"

    amplitude_low: float = 0.0
    """Least factor, e.g. .6; 0 is off (rllte: .6; the authors' code: .5, arXiv:2004.14990)"""
    amplitude_high: float = 1.2
    """Largest factor (rllte: 1.2; the authors' code: 1.5, arXiv:2004.14990)"""

    def refuse(self, subject: Subject) -> Iterator[str]:
        rules = {
            "amplitude_low": (0 < self.amplitude_low < inf, "above 0"),
            "amplitude_high": (self.amplitude_low < self.amplitude_high < inf, "above amplitude_low"),
        }
        yield from broken(self, rules)
        space = subject.observation
        if len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
            yield f"amplitude_low is for vectors; for images of shape {space.shape} use --augment-on"

    def before_update(self, state: State, subject: Subject, batch: Batch) -> Batch:
        rng = torch.Generator().manual_seed(subject.seed())
        width = self.amplitude_high - self.amplitude_low
        factor = self.amplitude_low + width * torch.rand((len(batch.obs), 1), generator=rng)  # [B, 1]
        factor = factor.to(batch.obs.device)
        return batch._replace(obs=batch.obs * factor, next_obs=batch.next_obs * factor)
