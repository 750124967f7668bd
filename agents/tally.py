"""Metrics summed over updates on the device; they leave it when they are recorded."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from replay.batch import Batch


class NotFinite(Exception):
    """A loss or gradient that is not finite, found before the step: the part's weights are still good."""

    code = 5

    def __init__(self, part: str, batch: Batch | None) -> None:
        super().__init__(f"the loss of part {part!r} or its gradient is not finite")
        self.batch = batch


class Tally:
    """Sums of each metric over the updates since the last row, and the metrics of the last update."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.latest: dict[str, Tensor] = {}

    def add(self, metrics: dict[str, Tensor]) -> None:
        self.latest = metrics
        for name, value in metrics.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def means(self) -> dict[str, float]:
        """Over the updates since the last call; {} if there were none."""
        row = {name: float(total) / self.count for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"sums": [list(row) for row in self.sums.items()], "count": self.count}  # a tag is no key of a state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sums, self.count = {name: x.to(self.device) for name, x in state["sums"]}, state["count"]
