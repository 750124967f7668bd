"""Rows come back whatever the ring went through; chunks are written once and nothing stale is read."""

import numpy as np
import pytest
from rowlog import CHUNK, FINGERPRINT, RowLog, belongs, files, opened, put, restored

from runs import checkpoint, chunks
from runs.checkpoint import Store
from runs.lock import RunLock


def names(run_dir):
    return sorted(path.name[: path.name.rindex("-")] for path in (run_dir / "replay").iterdir())


def stamps(run_dir):
    return {path.name: path.stat().st_mtime_ns for path in (run_dir / "replay").iterdir()}


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 17, 39, 40, 41, 48, 49, 100, 1000])
def test_a_ring_of_any_age_comes_back(store, n):
    log = RowLog().add(n)
    put(store, n, log)
    assert restored(store.load()).content() == log.content()


def test_a_saved_ring_keeps_coming_back_as_it_turns(store, tmp_path):
    log = RowLog()
    for step in range(1, 40):
        put(store, step, log.add(step % 7))
        assert restored(checkpoint.load(tmp_path)).content() == log.content()
        assert files(tmp_path) == belongs(tmp_path)


def test_a_resumed_ring_turns_on(tmp_path):
    straight = RowLog()
    for step in range(1, 25):
        store = opened(tmp_path)
        loaded = store.load()
        log = restored(loaded) if loaded else RowLog()
        put(store, step, log.add(5))
        assert log.content() == straight.add(5).content()
        store.lock.close()
    assert files(tmp_path) == belongs(tmp_path)


@pytest.mark.parametrize(
    ("start", "stop", "ranges", "tail"),
    [
        (0, 0, [], (0, 0)),
        (0, 8, [], (0, 8)),  # row 7 may still change
        (0, 9, [(0, 8)], (8, 9)),
        (5, 21, [(5, 8), (8, 16)], (16, 21)),
        (5, 8, [], (5, 8)),
        (9, 9, [], (9, 9)),
        (16, 16, [], (16, 16)),
    ],
)
def test_the_grid(start, stop, ranges, tail):
    assert chunks.grid(start, stop, 8) == (ranges, tail)


def test_a_chunk_of_frames_has_1024_rows(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1 << 23)
    assert [chunks.rows_per_chunk(n) for n in (7056, 8192, 8193, 1 << 30, 0)] == [1024, 1024, 512, 1, 1 << 23]


def test_a_chunk_is_written_once(store, tmp_path):
    log = RowLog().add(20)
    put(store, 1, log)
    before = stamps(tmp_path)
    put(store, 2, log.add(10))
    assert names(tmp_path) == ["chunk-0000000", "chunk-0000001", "chunk-0000002"]
    assert before.items() < stamps(tmp_path).items()


def test_a_restored_log_shares_the_old_chunks(tmp_path):
    with RunLock(tmp_path) as lock:
        put(Store(lock, FINGERPRINT), 1, RowLog().add(20))
    before = stamps(tmp_path)
    with RunLock(tmp_path) as lock:
        store = Store(lock, FINGERPRINT)
        log = restored(store.load())
        put(store, 2, log.add(1))
    assert stamps(tmp_path) == before


def test_the_pending_row_is_never_sealed(store):
    log = RowLog().add(8)
    put(store, 1, log)
    log.add(1)  # completes row 7
    put(store, 2, log)
    assert restored(store.load()).reward[7] == 7.5


def test_chunks_below_the_start_go_when_no_manifest_has_them(store, tmp_path):
    log = RowLog().add(40)
    put(store, 1, log)
    put(store, 2, log.add(9))  # rows 9 .. 48: chunk 0 is left to the previous checkpoint
    assert names(tmp_path)[0] == "chunk-0000000"
    put(store, 3, log.add(1))
    assert names(tmp_path)[0] == "chunk-0000001"


def test_a_cleared_log_reads_nothing_stale(store, tmp_path):
    log = RowLog().add(20)
    put(store, 1, log)
    log.thin()
    put(store, 2, log)
    assert checkpoint.load(tmp_path).manifest.logs["replay"].pieces == ()
    put(store, 3, log.add(13))  # rows 20 .. 32
    spans = [(piece.lo, piece.hi) for piece in checkpoint.load(tmp_path).manifest.logs["replay"].pieces]
    assert spans == [(20, 24), (24, 32), (32, 33)]
    assert restored(store.load()).content() == log.content()
    assert files(tmp_path) == belongs(tmp_path)


def test_a_sealed_chunk_that_the_start_has_entered_is_shared(store, tmp_path):
    log = RowLog().add(40)
    put(store, 1, log)
    before = stamps(tmp_path)
    put(store, 2, log.add(3))
    assert stamps(tmp_path).items() >= before.items()
    assert restored(store.load()).content() == log.content()


def test_a_grid_that_became_coarser_shares_nothing(store, monkeypatch):
    log = RowLog().add(40)
    put(store, 1, log)
    monkeypatch.setattr(chunks, "CHUNK", 2 * CHUNK)
    put(store, 2, log.add(1))
    assert restored(store.load()).content() == log.content()


def test_another_log_of_the_same_name_shares_nothing(store):
    put(store, 1, RowLog(salt=0).add(30))
    other = RowLog(salt=9).add(33)
    put(store, 2, other)
    assert restored(store.load()).content() == other.content()


def test_a_log_that_went_back_shares_nothing(store):
    log = RowLog(salt=0).add(30)
    put(store, 1, log)
    log.start = log.stop = 0
    log.salt = 9
    put(store, 2, log.add(20))
    assert restored(store.load()).content() == log.content()


def test_a_log_that_was_not_restored_shares_nothing(tmp_path):
    with RunLock(tmp_path) as lock:
        put(Store(lock, FINGERPRINT), 1, RowLog(salt=0).add(30))
    with RunLock(tmp_path) as lock:
        store = Store(lock, FINGERPRINT)
        store.load()
        fresh = RowLog(salt=9).add(30)
        put(store, 2, fresh)
        assert restored(store.load()).content() == fresh.content()


def test_a_chunk_that_somebody_deleted_is_written_again(store, tmp_path):
    log = RowLog().add(30)
    put(store, 1, log)
    next((tmp_path / "replay").glob("chunk-0000001*")).unlink()
    put(store, 2, log)
    assert restored(store.load()).content() == log.content()


def test_two_logs_live_in_two_folders(store, tmp_path):
    logs = {"replay": RowLog(salt=1).add(30), "demos": RowLog(salt=2).add(20)}
    for step in (1, 2, 3):
        store.save({}, logs, {"steps": step}, {})
    for name, log in logs.items():
        other = RowLog()
        store.load().restore(name, other)
        assert other.content() == log.content()
    assert files(tmp_path) == belongs(tmp_path)


def test_a_log_that_gives_too_few_rows_is_refused(store):
    log = RowLog().add(20)
    log.rows = lambda lo, hi: {"frame": np.zeros((hi - lo - 1, 24), np.uint8)}
    with pytest.raises(ValueError, match=r"rows\(0, 8\) gave 'frame' the shape \(7, 24\)"):
        put(store, 1, log)
