"""The fault harness in short (make soak is the whole): a kill at every named point, a few at random, a few mutants."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHORT = "--jobs 1 --kills 2 --occurrences 1 --marks 2"
CASES = {
    "tasks": "--only tasks-all-greedy --points chunk-mid,part,manifest-mid,gc",
    "cartpole": "--only cartpole-all-greedy,mutants-dqn "
    "--points chunk-before-rename,dir-renamed,manifest-before-rename,manifest-after-rename,saved "
    "--mutated cartpole-all-greedy --mutants agent/targets/met,agent/rng/replay,agent/parts/q/opt/*/corrected1,"
    "agent/chain/links/redo/fired,world/env/games/*/rng,world/now/step_type",
    "hopper": "--only hopper-all-noisy,mutants-sac --points chunk-mid,saved --mutated hopper-all-noisy "
    "--mutants agent/loss_rng,agent/parts/alpha/net,world/env/games/*/physics/arrays",
    "labels": "--only labels-all,mutants-classifier --points manifest-before-rename,gc --mutated labels-all "
    "--mutants agent/replay/step,agent/clock/tasks,world/epoch",
}


@pytest.mark.parametrize("name", CASES)
def test_killed_runs_equal_the_run_left_alone(name: str, tmp_path: Path) -> None:
    # A process of its own: pytest has threads, and a fork with threads is no copy of a process.
    line = [sys.executable, "-m", "tests.soak", *f"{SHORT} {CASES[name]}".split(), "--work", str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
