"""Law 3. Resume is exact: stopped at k and continued to n equals the straight run to n, bit for bit.

`make test` takes every method alone on the agents that derive from no other, and all together on each; `make laws` all.
"""

import pytest

from tests.laws.members import AGENTS, METHODS, case, derived, home, homes, same, switched_on, taken, together, trained

SETS = ["none", "together", *METHODS]
WATCHED = ("--probe-every=30", "--eval-every=50", "--eval-episodes=2", "--snapshot-every=60")
CASES = [
    case(a, e, s, slow=e != home(a) or derived(a)) if s in METHODS else (a, e, s)
    for a in AGENTS
    for e in homes(a)
    for s in SETS
]


def flags_of(which, name, env):
    if which == "none":
        return []
    return list(together(name, env)) if which == "together" else switched_on(which, name, env)


@pytest.mark.parametrize(("name", "env", "which"), CASES)
def test_continued_equals_straight(name, env, which, tmp_path):
    flags = [*flags_of(which, name, env), *WATCHED]
    if not taken(name, env, *flags):
        return
    straight, straight_rows = trained(name, tmp_path / "straight", env, 130, *flags)
    for steps in (53, 91):
        trained(name, tmp_path / "parts", env, steps, *flags)
    parts, parts_rows = trained(name, tmp_path / "parts", env, 130, *flags)
    assert parts_rows == straight_rows
    assert same(parts, straight)
