"""Probes: what is read off a network. One file each; this folder is walked, so a new file is a new measurement."""

from importlib import import_module
from pkgutil import iter_modules

from probes.base import Probe

FRAME = ("base",)  # files of this folder that hold no measurement


def measurements() -> dict[str, Probe]:
    """{name: probe} of every measurement, sorted by name; the name is the file's and the tag's."""
    found: dict[str, Probe] = {}
    for module in sorted(iter_modules(__path__), key=lambda m: m.name):
        if module.name not in FRAME:
            rows = vars(import_module(f"{__name__}.{module.name}")).values()
            (kind,) = {r for r in rows if isinstance(r, type) and issubclass(r, Probe) and r is not Probe}
            found[module.name] = kind()
    return found
