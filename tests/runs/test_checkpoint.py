"""What is saved is what is loaded, in an order that survives a power cut; only what is referenced stays."""

import os
import shutil

import numpy as np
import pytest
from rowlog import FINGERPRINT, RowLog, belongs, files, put, restored, same, state_at

from runs import checkpoint, faults, manifest, pack
from runs.checkpoint import Damaged, Store
from runs.lock import Locked, RunLock


def test_a_new_directory_has_no_checkpoint(store):
    assert store.load() is None


def test_what_is_saved_is_loaded(store, tmp_path):
    log = RowLog().add(29)
    put(store, 7, log, exact=False, reason="env has no state")
    loaded = store.load()
    assert same(loaded.state, state_at(7))
    assert (loaded.clock, loaded.extra, loaded.notes) == ({"steps": 7}, {"metrics": 70}, [])
    assert (loaded.exact, loaded.reason, loaded.fingerprint) == (False, "env has no state", FINGERPRINT)
    assert loaded.digest == pack.digest(state_at(7))
    assert restored(loaded).content() == log.content()
    assert files(tmp_path) == belongs(tmp_path)


def test_a_reader_needs_no_lock_and_writes_nothing(store, tmp_path):
    put(store, 7, RowLog().add(29))
    (tmp_path / "MANIFEST-00000000.tmp").touch()
    before = files(tmp_path)
    assert same(checkpoint.load(tmp_path).state, state_at(7))
    assert files(tmp_path) == before


def test_a_state_without_logs_is_enough(store):
    store.save({"a": 1}, {}, {}, {})
    assert store.load().state == {"a": 1}


def test_a_log_that_was_not_saved_is_refused(store):
    put(store, 1, RowLog().add(3))
    with pytest.raises(Damaged, match=r"no log 'demos' in its checkpoint; it has replay"):
        store.load().restore("demos", RowLog())


def test_two_checkpoints_are_kept(store, tmp_path):
    log = RowLog()
    for step in range(1, 5):
        put(store, step, log.add(6))
    assert sorted(path.name[:14] for path in tmp_path.glob("ckpt-*")) == ["ckpt-000000003", "ckpt-000000004"]
    assert files(tmp_path) == belongs(tmp_path)


def test_equal_runs_write_equal_bytes(tmp_path):
    for name in ("a", "b"):
        with RunLock(tmp_path / name) as lock:
            put(Store(lock, FINGERPRINT), 1, RowLog().add(30))
    first, second = (checkpoint.load(tmp_path / name).manifest for name in ("a", "b"))
    assert [part.sha256 for part in first.parts] == [part.sha256 for part in second.parts]
    assert [piece.file.sha256 for piece in first.logs["replay"].pieces] == [
        piece.file.sha256 for piece in second.logs["replay"].pieces
    ]


def test_only_our_own_strays_are_deleted(store, tmp_path):
    put(store, 1, RowLog().add(20))
    good = files(tmp_path)
    strays = ["MANIFEST-01234567.tmp", "MANIFEST-01234567.prev.tmp", "ckpt-000000009-01234567/a"]
    strays += [
        "ckpt-000000009-01234567.tmp/a",
        "replay/chunk-0000000-01234567.zst",
        "replay/chunk-0000000-01234567.zst.tmp",
    ]
    foreign = [
        "config.json",
        "metrics.jsonl",
        "events.out.tmp",
        "DONE",
        "snapshots/chunk-1.zst",
        "ckpt-mine/a",
        "x.tmp",
    ]
    for name in strays + foreign:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    Store(store.lock, FINGERPRINT)
    assert files(tmp_path) == good | set(foreign)
    assert not list(tmp_path.glob("ckpt-*.tmp"))


def test_a_checkpoint_must_be_loaded_before_it_is_replaced(store, tmp_path):
    put(store, 1, RowLog())
    before = files(tmp_path)
    with pytest.raises(Damaged, match="was not loaded"):
        put(Store(store.lock, FINGERPRINT), 2, RowLog())
    assert files(tmp_path) == before


def test_lost_manifests_are_not_a_new_start(store, tmp_path):
    for step in (1, 2):
        put(store, step, RowLog().add(20))
    for name in ("MANIFEST.json", "MANIFEST.json.prev"):
        (tmp_path / name).unlink()
    again = Store(store.lock, FINGERPRINT)
    with pytest.raises(Damaged, match=r"MANIFEST\.json is missing"):
        again.load()
    assert len(list(tmp_path.glob("ckpt-*/*"))) == 6


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "a b", "-x"])
def test_a_log_has_a_plain_name(store, tmp_path, name):
    with pytest.raises(ValueError, match="plain name"):
        store.save({}, {name: RowLog().add(20)}, {"steps": 1}, {})
    assert files(tmp_path) == {"LOCK", "owner.json"}
    assert not (tmp_path.parent / "x").exists()


@pytest.mark.parametrize("extra", [{"a": float("nan")}, {"a": np.int64(1)}, {"a": {1}}])
def test_what_the_manifest_cannot_hold_leaves_the_old_checkpoint(store, tmp_path, extra):
    put(store, 1, RowLog().add(20))
    before = files(tmp_path)
    with pytest.raises((TypeError, ValueError)):
        store.save({}, {}, {"steps": 2}, extra)
    assert files(tmp_path) == before


def test_an_interrupted_save_leaves_the_old_checkpoint(store, tmp_path, monkeypatch):
    put(store, 1, RowLog().add(20))
    before = files(tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "render", interrupt)
    with pytest.raises(KeyboardInterrupt):
        put(store, 2, RowLog().add(30))
    assert files(tmp_path) == before
    assert same(store.load().state, state_at(1))


def test_everything_is_on_the_disk_before_a_name_points_to_it(store, tmp_path, monkeypatch):
    """Each rename finds its source fsynced and its folder is fsynced after it; deletions come after the commit."""
    events = []

    def record(call, describe):
        original = getattr(os, call)

        def recorded(*args, **kwargs):
            events.append((call, *describe(args)))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, call, recorded)

    record("fsync", lambda args: [os.readlink(f"/proc/self/fd/{args[0]}")])
    for call in ("rename", "replace"):
        record(call, lambda args: [str(args[0]), str(args[1])])
    record("unlink", lambda args: [str(args[0])])
    put(store, 1, RowLog().add(20))
    put(store, 2, RowLog().add(20))
    put(store, 3, RowLog().add(20))

    assert_ordered(events, str(tmp_path))


def assert_ordered(events, run_dir):
    synced, unsynced_names, commits = set(), set(), 0
    for call, *paths in events:
        if call == "fsync":
            synced.add(paths[0])
            unsynced_names = {name for name in unsynced_names if os.path.dirname(name) != paths[0]}
        elif call == "unlink":
            assert commits and not unsynced_names
        else:
            assert paths[0] in synced
            committing = paths[1] == f"{run_dir}/MANIFEST.json"
            assert not committing or unsynced_names <= {f"{run_dir}/MANIFEST.json.prev"}
            commits += committing
            unsynced_names.add(paths[1])
    assert commits == 3 and not unsynced_names
    assert [call for call, *_ in events].count("unlink") > 3


def test_what_a_commit_references_is_synced_too(store, tmp_path, monkeypatch):
    synced = set()
    original = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.add(os.stat(fd).st_ino), original(fd)))
    put(store, 1, RowLog().add(20))
    assert {path.stat().st_ino for path in tmp_path.rglob("*") if path.name not in ("LOCK", "owner.json")} <= synced
    assert tmp_path.stat().st_ino in synced


def test_a_zombie_cannot_commit(store, tmp_path):
    log = RowLog().add(20)
    put(store, 1, log)
    (tmp_path / "LOCK").unlink()  # what a network file system may do to a sleeper
    with RunLock(tmp_path) as lock:
        heir = Store(lock, FINGERPRINT)
        put(heir, 2, restored(heir.load()).add(20))
        before = files(tmp_path)
        with pytest.raises(Locked, match="taken over by process"):
            put(store, 3, log.add(20))
        assert files(tmp_path) == before
        assert same(heir.load().state, state_at(2))


def overtaken(monkeypatch, run_dir, name):
    """At the point `name`, another process has become the owner and has left something of its own."""

    def point(reached):
        if reached == name:
            (run_dir / "owner.json").write_text('{"pid": 1, "host": "elsewhere", "nonce": "other"}')
            (run_dir / "ckpt-000000009-01234567.tmp").mkdir(exist_ok=True)

    monkeypatch.setattr(faults, "point", point)


@pytest.mark.parametrize(("name", "step"), [("manifest-before-rename", 1), ("manifest-after-rename", 2)])
def test_a_process_overtaken_while_it_saves_commits_and_deletes_nothing(store, tmp_path, monkeypatch, name, step):
    put(store, 1, RowLog().add(20))
    overtaken(monkeypatch, tmp_path, name)
    with pytest.raises(Locked, match="taken over by process 1 on elsewhere"):
        put(store, 2, RowLog().add(30))
    assert same(checkpoint.load(tmp_path).state, state_at(step))
    assert (tmp_path / "ckpt-000000009-01234567.tmp").exists()


def test_a_copied_run_is_a_run(store, tmp_path):
    log = RowLog().add(30)
    put(store, 1, log)
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    assert restored(checkpoint.load(tmp_path / "copy")).content() == log.content()
