"""Drift of features and of pre-activations on states that stay (Lyle et al. 2024, arXiv:2402.18762).

128 replay states of the first measurement are kept. features: ||phi_t - phi_s|| / ||phi_s||, s the measurement before;
cka: linear CKA of phi_t with the first phi (Kornblith et al. 2019, arXiv:1905.00414), 1 if they differ by a rotation
and a scale; output: mean |y_t - y_s| of the outputs that probes/scale.py describes. pre/mean and pre/std: of what
enters the activation (behind a norm), over units, and of each unit over states and positions, mean over units;
pre/shift: mean change of a unit's mean since s, in standard deviations of the layer at s. All units shifted to one
side of 0 are linear, then dead. What needs a past is absent the first time; of an ensemble the mean over members.
"""

from typing import Any

import torch
from torch import Tensor

from nets.anatomy import Tape, record
from nets.output import Output
from nets.subject import Subject
from probes.anchor import anchor
from probes.base import Memory, Probe
from probes.dormant import sound
from probes.spectrum import centred
from probes.units import rows
from replay.batch import Batch

STATES = 128


class Drift(Probe):
    """features, cka and output of each part where there are several; pre/mean, pre/std and pre/shift of each layer."""

    cost = "mid"

    @torch.no_grad()
    def measure(self, subject: Subject, batch: Batch, memory: Memory) -> dict[str, float]:
        row: dict[str, float] = {}
        states, parts = anchor(memory, batch, STATES), memory.setdefault("parts", {})
        for name, part in subject.parts.items():
            if part.output is None or not part.net.outputs():
                continue
            with record(part.net, pre=True) as tape:
                outputs = subject.run(name, states)
            units = {layer.name: layer.units for layer in part.net.layers()}
            now = seen(part.output, tape, outputs, units, 1.0 if sound(part) else torch.nan)
            prefix, tail = (f"{name}.", f"/{name}") if len(subject.parts) > 1 else ("", "")
            row |= levels(now, prefix)
            if name in parts:
                first, last = parts[name]["first"], parts[name]["last"]
                row |= {tag + tail: x for tag, x in changes(first, last, now).items()} | shifts(last, now, prefix)
            parts[name] = {"first": parts[name]["first"] if name in parts else now["features"].clone(), "last": now}
        return row


def seen(output: Output, tape: Tape, outputs: Tensor, units: dict[str, int], scale: float) -> dict[str, Any]:
    """What one pass showed, to be kept; scale NaN spoils it."""
    pre = {name: rows(x, units[name]).double() for name, x in tape.pre.items()}  # [U, B*space]
    return {
        "features": tape.features * scale,
        "output": output.values(outputs) * scale,
        "mean": {name: x.mean(1) * scale for name, x in pre.items()},
        "std": {name: x.std(1, correction=0).mean() * scale for name, x in pre.items()},
    }


def levels(now: dict[str, Any], prefix: str) -> dict[str, float]:
    """pre/mean and pre/std of each layer."""
    means = {f"pre/mean/{prefix}{layer}": float(x.mean()) for layer, x in now["mean"].items()}
    return means | {f"pre/std/{prefix}{layer}": float(x) for layer, x in now["std"].items()}


def changes(first: Tensor, last: dict[str, Any], now: dict[str, Any]) -> dict[str, float]:
    """features, cka and output; the change from nothing is absent, and so is the CKA of features that are all alike."""
    moved, size = (now["features"] - last["features"]).double().norm(), last["features"].double().norm()
    row = {"output": float((now["output"] - last["output"]).abs().mean())}
    if size != 0:
        row["features"] = float(moved / size)
    alike = [x for a, b in zip(first, now["features"], strict=True) if (x := cka(a, b)) is not None]
    return {**row, "cka": sum(alike) / len(alike)} if alike else row


def cka(a: Tensor, b: Tensor) -> float | None:
    """||A'B||_F^2 / (||A'A||_F ||B'B||_F) of [B, D] each, centred, by the Gram matrices over states."""
    x, y = centred(a), centred(b)
    if any(bool(c.norm() <= 1e-6 * raw.double().norm()) for c, raw in ((x, a), (y, b))):
        return None  # what rounding leaves of equal rows is no feature
    k, m = x @ x.T, y @ y.T
    return float((k * m).sum() / (k.norm() * m.norm()))


def shifts(last: dict[str, Any], now: dict[str, Any], prefix: str) -> dict[str, float]:
    """pre/shift of each layer whose units varied."""
    moved = {layer: (x - last["mean"][layer]).abs().mean() for layer, x in now["mean"].items()}
    return {f"pre/shift/{prefix}{layer}": float(x / s) for layer, x in moved.items() if (s := last["std"][layer]) != 0}
