"""The running mean and deviation of the observations seen (as SimBa, Lee et al. 2024, arXiv:2410.09754)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.wrappers.utils import RunningMeanStd
from torch import Tensor

EPS = 1e-8  # SimBa's


class Seen:
    """Statistics over every observation of the training environments, resets included; all parts share them, so they
    outlive a reset. (obs - mean) / sqrt(var + 1e-8)."""

    def __init__(self, space: Box) -> None:
        if space.dtype.kind != "f":
            raise ValueError(f"norm_obs is for vectors of numbers; these observations are {space.dtype} images")
        self.moments = RunningMeanStd(shape=space.shape)  # type: ignore[no-untyped-call]
        self.shift, self.scale = torch.zeros(space.shape), torch.ones(space.shape)

    def add(self, obs: np.ndarray) -> None:
        """obs: [N, *O]"""
        self.moments.update(obs)  # type: ignore[no-untyped-call]
        self.refresh()

    def refresh(self) -> None:
        self.shift = torch.as_tensor(self.moments.mean, dtype=torch.float32)
        self.scale = torch.as_tensor((self.moments.var + EPS) ** -0.5, dtype=torch.float32)

    def normalise(self, obs: Tensor) -> Tensor:
        """obs: [B, *O] -> [B, *O], of mean 0 and deviation 1 over what was seen."""
        return (obs - self.shift.to(obs.device)) * self.scale.to(obs.device)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.moments.mean, "var": self.moments.var, "count": float(self.moments.count)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.moments.mean, self.moments.var = np.array(state["mean"]), np.array(state["var"])
        self.moments.count = state["count"]
        self.refresh()
