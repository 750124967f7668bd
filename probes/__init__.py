"""Probes: what is read off a network. One file each; this folder is walked, so a new file is a new measurement."""

from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules

from probes.base import Probe

FRAME = (
    "anchor",
    "base",
    "fit",
    "gram",
    "hessian",
    "spectrum",
    "targets",
)  # files of this folder that hold no measurement
COSTS = {"cheap": ("cheap",), "mid": ("cheap", "mid"), "all": ("cheap", "mid", "dear")}


def measurements() -> dict[str, Probe]:
    """{name: probe} of every measurement, sorted by name; the name is the file's and the tag's."""
    found: dict[str, Probe] = {}
    for module in sorted(iter_modules(__path__), key=lambda m: m.name):
        if module.name not in FRAME:
            rows = vars(import_module(f"{__name__}.{module.name}")).values()
            (kind,) = {r for r in rows if isinstance(r, type) and issubclass(r, Probe) and r is not Probe}
            found[module.name] = kind()
    return found


def chosen(words: str) -> dict[str, Probe]:
    """ "cheap", "mid" (and cheap), "all", or names: "dormant,rank". ValueError names what there is."""
    every = measurements()
    if words in COSTS:
        return {name: probe for name, probe in every.items() if probe.cost in COSTS[words]}
    for word in words.split(","):
        if word not in every:
            near = get_close_matches(word, [*every, *COSTS], 1, 0)[0]
            raise ValueError(f"no probe {word!r}; did you mean {near}? There are {', '.join([*COSTS, *every])}")
    return {name: probe for name, probe in every.items() if name in words.split(",")}
