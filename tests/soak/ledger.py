"""The state ledger (docs/reliability.md, section 2) as data: every entry of a saved state, by name.

An entry is what one line of some state_dict saves: a generator, a counter, an array; of all parameters or games
together. So a new method's or environment's state is an entry, and a mutant, by itself.
"""

import copy
import re
from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from runs import pack

State = dict[str, Any]
Path = tuple[str, ...]
# (where, name of the entry): what lies under the first is one entry, called the second.
JOINED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(agent/parts/\w+/(?:net|target))(?:/.*)?", r"\1"),
        (r"(agent/parts/\w+/opt)/[^/]+/(\w+)", r"\1/*/\2"),
        (r"(agent/chain/links/\w+/state/[^/]+)/.*", r"\1"),
        (r"(world/env/finished)/.*", r"\1"),
        (r"world/env/games/\d+/physics/(\w+)(?:/.*)?", r"world/env/games/*/physics/\1"),
        (r"world/env/games/\d+/(.*)", r"world/env/games/*/\1"),
    )
]
# Of which agent, and entries that a fresh object holds already at every mark: there is nothing to forget.
CONSTANT = {
    "* agent/rng/init": "drawn from only while the agent is built",
    "* agent/chain/links/clip/state/*": "bounds of the initialiser, which a fresh agent draws again from the same seed",
    "* agent/chain/links/adaptratio/state/low": "the ratio that the run began with",
    "* agent/chain/links/spectral/rng": "drawn from only while the agent is built",
    "* agent/chain/links/softshrink/state/updates": "counts for --softshrink-toward fresh; here it is init",
    "* world/env/finished": "emptied at each step, before any save",
    "* world/env/games/*/layers/*": "attributes of gymnasium's classes that nothing changes after their constructor",
    "* world/env/games/*/task/*": "attributes of dm_control's tasks, likewise",
    "dqn world/env/games/*/physics": "Atari and CartPole have none of MuJoCo's",
    "dqn agent/loss_rng": "DQN's loss draws nothing",
    "sac agent/clock/targets": "counts hard copies, and SAC's targets are moving averages",
    "classifier agent/loss_rng": "its losses draw nothing",
    "classifier agent/rng/act": "it does not act",
    "classifier agent/rng/replay": "a stream's minibatches are a function of its seed, task and step",
    "classifier agent/replay/checksum": "guards against other data; a load compares it",
    "classifier agent/clock/episodes": "labelled data have none",
    "classifier agent/clock/targets": "it has no slow network",
    "classifier agent/targets/*": "it has no slow network",
    "classifier agent/pace/*": "its warm-up is over before the first step, and nothing changes its ratio of 1",
}
# Entries that differ and change nothing that is compared.
REDUNDANT = {
    "* table/save": "says only when the next checkpoint is written; every checkpoint is exact",
    "* world/now/reward": "the replay holds it in its newest row; only a game's very first row is read from here",
    "* world/now/discount": "likewise, as world/now/reward",
    "sac world/env/games/*/tally/over": "set where a game ends; its reset makes a new tally",
    "sac world/env/games/*/physics/flags": "say what the last step has computed; computed again it is the same here",
    "sac optimizer: memory order of the moments": "matrices and vectors have only one",
    "dqn world/env/games/*/layers/*/steps_beyond_terminated": "set where a game ends; its reset sets it anew",
}


def entries(state: State) -> dict[str, list[Path]]:
    """{name of the entry: where its values are}."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in leaves(state, ()):
        found[named("/".join(path))].append(path)
    return dict(found)


def leaves(node: Any, path: Path) -> list[Path]:
    """Where the values are; a generator's state is one value."""
    if not isinstance(node, dict) or "bit_generator" in node:
        return [path]
    return [found for key, item in node.items() for found in leaves(item, (*path, key))]


def named(path: str) -> str:
    for pattern, name in JOINED:
        if pattern.fullmatch(path):
            return pattern.sub(name, path)
    return path


def reason(name: str, reasons: Mapping[str, str]) -> str:
    """Why it is in the list; "" if it is not. name: agent and entry, "dqn agent/rng/init"."""
    return next((why for pattern, why in reasons.items() if fnmatch(name, pattern)), "")


def forget(saved: State, fresh: State, paths: list[Path]) -> State:
    """`saved` with the values of `fresh` at these paths; what a fresh object lacks is left out."""
    state = copy.deepcopy(saved)
    for path in paths:
        parent, other = inside(state, path[:-1]), inside(fresh, path[:-1])
        if path[-1] in other:
            parent[path[-1]] = other[path[-1]]
        else:
            del parent[path[-1]]
    return state


def inside(state: State, path: Path) -> State:
    for key in path:
        state = state.get(key, {})
    return state


def same(a: State, b: State) -> bool:
    return pack.digest(a) == pack.digest(b)
