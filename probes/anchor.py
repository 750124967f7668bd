"""States that stay: drawn at a probe's first measurement and kept in its memory, so that change is of the network.

They are kept as the network saw them: with --norm-obs, as the statistics of that time made them.
"""

from probes.base import Memory
from replay.batch import Batch, labelled


def anchor(memory: Memory, batch: Batch, size: int) -> Batch:
    """The first `size` states of the first batch, with their actions; nothing follows them."""
    if "anchor" not in memory:
        memory["anchor"] = {"obs": batch.obs[:size].clone(), "action": batch.action[:size].clone()}
    kept, device = memory["anchor"], batch.obs.device
    return labelled(kept["obs"], kept["action"]).each(lambda x: x.to(device))
