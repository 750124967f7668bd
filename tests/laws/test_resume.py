"""Law 3. Resume is exact: stopped at k and continued to n equals the straight run to n, bit for bit."""

import pytest

from tests.laws.members import AGENTS, METHODS, homes, same, switched_on, trained

ALL = sorted({flag for m in METHODS for flag in switched_on(m)})
SETS = {"none": [], **{m: switched_on(m) for m in METHODS}, "all": ALL}
WATCHED = ("--probe-every=30", "--eval-every=50", "--eval-episodes=2", "--snapshot-every=60")


@pytest.mark.parametrize(("name", "env", "which"), [(a, e, s) for a in AGENTS for e in homes(a) for s in SETS])
def test_continued_equals_straight(name, env, which, tmp_path):
    flags = [*SETS[which], *WATCHED]
    straight, straight_rows = trained(name, tmp_path / "straight", env, 130, *flags)
    for steps in (53, 91):
        trained(name, tmp_path / "parts", env, steps, *flags)
    parts, parts_rows = trained(name, tmp_path / "parts", env, 130, *flags)
    assert parts_rows == straight_rows
    assert same(parts, straight)
