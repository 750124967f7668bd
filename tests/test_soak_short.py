"""The fault harness in short (make soak is the whole): a kill at every named point, a few at random, a few mutants."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "atari": "--only atari-all-random --kills 2 --points chunk-mid,part,manifest-mid,gc",
    "cartpole": "--only cartpole-all-greedy,mutants --jobs 1 --kills 2 "
    "--points chunk-before-rename,dir-renamed,manifest-before-rename,manifest-after-rename,saved "
    "--mutated cartpole-all-greedy --mutants agent/synced,agent/rng/replay,agent/parts/q/opt/*/step,"
    "agent/chain/redo/fired,env/games/*/rng,now/step_type",
}


@pytest.mark.parametrize("name", CASES)
def test_killed_runs_equal_the_run_left_alone(name: str, tmp_path: Path) -> None:
    # A process of its own: pytest has threads, and a fork with threads is no copy of a process.
    line = [sys.executable, "-m", "tests.soak", "--occurrences", "1", "--work", str(tmp_path), *CASES[name].split()]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
