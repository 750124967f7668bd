"""A fault kills its own process, at the occurrence that was asked for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rowlog import forked

from runs import faults

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
ROOT = Path(faults.__file__).parents[1]


def run(fault):
    script = (
        "from runs import faults\nfor i in range(4): faults.point('part'), faults.point('gc'), print(i, flush=True)"
    )
    environment = {**os.environ, "PERENNIAL_FAULT": fault}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout.split()


def test_the_environment_names_point_and_occurrence():
    assert run("gc:3") == (-signal.SIGKILL, [b"0", b"1"])
    assert run("gc:5") == (0, [b"0", b"1", b"2", b"3"])
    assert run("") == (0, [b"0", b"1", b"2", b"3"])


def test_arming_in_a_child_leaves_the_parent_alone():
    def body():
        faults.arm("part:1")
        faults.point("gc")
        faults.point("part")

    assert forked(body) == -signal.SIGKILL
    faults.point("part")


@pytest.mark.parametrize("text", ["gc", "gc:", "gc:0", "gc:-1", "gc:x", "nowhere:1", ":1", "gc:1:1"])
def test_a_fault_that_would_never_come_is_refused(text):
    with pytest.raises(ValueError, match=r"chunk-mid, .* a number from 1"):
        faults.arm(text)
    assert not faults._left
