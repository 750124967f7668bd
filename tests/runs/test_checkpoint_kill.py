"""A process killed anywhere in a save leaves the last committed checkpoint or the new one, and nothing astray."""

import os
import random
import signal
import time

import pytest
from rowlog import RowLog, belongs, files, forked, opened, put, restored, same, state_at

from runs import checkpoint, faults
from runs.lock import Locked

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
LAST = 6
CONTENT = {step: RowLog().add(11 * step).content() for step in range(LAST + 1)}  # the ring turns at step 4


def train(run_dir, fault=""):
    """Resumes and saves six times in all; notes each save when it begins and when it has returned."""
    faults.arm(fault)
    store = opened(run_dir / "run")
    loaded = store.load()
    step, log = (loaded.clock["steps"], restored(loaded)) if loaded else (0, RowLog())
    journal = os.open(run_dir / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while step < LAST:
        step += 1
        os.write(journal, b"begun %d\n" % step)
        put(store, step, log.add(11))
        os.write(journal, b"saved %d\n" % step)


def check(run_dir):
    """What is loaded is whole, not older than the last save that returned, and all that is there."""
    journal = run_dir / "journal"
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
    saved = max([int(line[6:]) for line in lines if line.startswith("saved")], default=0)
    begun = max([int(line[6:]) for line in lines], default=0)
    store = opened(run_dir / "run")
    loaded = store.load()
    step = loaded.clock["steps"] if loaded else 0
    assert step in (saved, begun)
    if loaded:
        assert loaded.notes == [] and same(loaded.state, state_at(step))
        assert restored(loaded).content() == CONTENT[step]
    assert files(run_dir / "run") == belongs(run_dir / "run")
    assert not list((run_dir / "run").rglob("*.tmp"))
    store.lock.close()
    with open(journal, "a") as file:
        file.write(f"saved {step}\n")  # seen once, it must be seen again


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("name", faults.POINTS)
def test_a_kill_at_a_named_point(tmp_path, name, k):
    """Three kills in a row, each process resuming where the one before died; then to the end."""
    codes = []
    for _ in range(3):
        codes.append(forked(lambda: train(tmp_path, f"{name}:{k}")))
        check(tmp_path)
    assert set(codes) <= {0, -signal.SIGKILL}
    assert codes[0] == (0 if (name, k) in NEVER else -signal.SIGKILL)
    assert forked(lambda: train(tmp_path)) == 0
    check(tmp_path)
    assert checkpoint.load(tmp_path / "run").clock["steps"] == LAST


NEVER = {
    (name, 7) for name in ("gc", "dir-renamed", "saved", *(point for point in faults.POINTS if "manifest" in point))
}


@pytest.mark.parametrize("name", faults.POINTS)
def test_dying_again_and_again_leaves_no_rubbish(tmp_path, name):
    """A crash loop at one point: the directory does not grow, and the next sound process finishes."""
    sizes = []
    for _ in range(4):
        forked(lambda: train(tmp_path, f"{name}:1"))
        sizes.append(len(list((tmp_path / "run").rglob("*"))))
    assert max(sizes) <= 30
    assert forked(lambda: train(tmp_path)) == 0
    check(tmp_path)


def killed_at_random(tmp_path, kills, seed):
    rng = random.Random(seed)
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            try:
                train(tmp_path)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check(tmp_path)
        if checkpoint.load(tmp_path / "run") and checkpoint.load(tmp_path / "run").clock["steps"] == LAST:
            tmp_path = tmp_path / "next"
            tmp_path.mkdir()


def test_fifteen_kills_at_random(tmp_path):
    killed_at_random(tmp_path, 15, seed=0)


@pytest.mark.slow
def test_a_thousand_kills_at_random(tmp_path):
    killed_at_random(tmp_path, 1_000, seed=1)


def test_a_stopped_process_keeps_its_lock(tmp_path):
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        opened(tmp_path)
        os.write(told, b"!")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGSTOP)
    try:
        with pytest.raises(Locked, match=f"process {child}"):
            opened(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    opened(tmp_path).lock.close()
