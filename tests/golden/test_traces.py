"""The numbers of small runs do not drift unnoticed."""

import json

import pytest

from tests.golden.traces import CASES, HERE, UPDATES, losses


@pytest.mark.parametrize("case", CASES)
def test_losses_follow_the_golden_trace(case):
    golden = json.loads((HERE / f"{case}.json").read_text())
    assert len(golden) >= UPDATES
    assert losses(*CASES[case]) == pytest.approx(golden, rel=1e-4, abs=2e-5)  # AVX2 differs by 3e-5
