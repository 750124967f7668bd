"""Interventions: what is done to a network. One file each; this folder is walked, so a new file is a new flag."""

from importlib import import_module
from pkgutil import iter_modules

from interventions.base import Intervention

FRAME = ("base", "chain", "imitation", "link", "penalty", "surgery")  # files of this folder that hold no method


def methods() -> dict[str, type[Intervention]]:
    """{name: class} of every intervention, sorted by name; the name is the file's."""
    found: dict[str, type[Intervention]] = {}
    for module in sorted(iter_modules(__path__), key=lambda m: m.name):
        if module.name not in FRAME:
            rows = vars(import_module(f"{__name__}.{module.name}")).values()
            (found[module.name],) = {
                r for r in rows if isinstance(r, type) and issubclass(r, Intervention) and r is not Intervention
            }
    return found
