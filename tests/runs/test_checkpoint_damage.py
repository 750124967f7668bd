"""A flipped bit, a missing tail, a foreign file: detected, and the previous checkpoint or a sentence follows."""

import random
import shutil

import pytest
from rowlog import FINGERPRINT, RowLog, files, opened, put, restored, same, state_at

from runs import checkpoint, manifest
from runs.checkpoint import Damaged, Store
from runs.lock import RunLock

CONTENT = {step: RowLog().add(20 * step).content() for step in (1, 2, 3)}


def harm(path, rng):
    """Flips a bit, cuts, appends, empties, deletes, or overwrites a stretch."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    kind = rng.choice(["flip", "flip", "flip", "cut", "append", "empty", "delete", "stretch", "swap"])
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    if kind in ("cut", "empty"):
        del data[0 if kind == "empty" else at :]
    if kind == "append":
        data += rng.randbytes(rng.randint(1, 9))
    if kind == "stretch":
        data[at : at + 16] = bytes(b ^ 0xFF for b in data[at : at + 16])
    if kind == "swap":
        data[at], data[at - 1] = data[at] ^ 1, data[at - 1] ^ 1
    path.unlink() if kind == "delete" else path.write_bytes(data)


def sweep(run_dir, tries, seed):
    """Harms one file at a time: the newest checkpoint is never read otherwise than as it was written."""
    rng = random.Random(seed)
    good = {name: (run_dir / name).read_bytes() for name in sorted(files(run_dir) - {"LOCK", "owner.json"})}
    newest = manifest.read(run_dir / "MANIFEST.json").files() | {"MANIFEST.json"}
    for _ in range(tries):
        name = rng.choice(list(good))
        harm(run_dir / name, rng)
        check(run_dir, {name, name.partition("/")[0]} & newest)
        (run_dir / name).write_bytes(good[name])
    assert checkpoint.load(run_dir).notes == []


def check(run_dir, of_newest):
    try:
        loaded = checkpoint.load(run_dir)
    except Damaged as error:  # a chunk of both
        assert of_newest and "\n" not in str(error) and "--out" in str(error)
        return
    step = loaded.clock["steps"]
    assert step == (1 if of_newest else 2)
    assert bool(loaded.notes) == bool(of_newest)
    assert same(loaded.state, state_at(step))
    assert restored(loaded).content() == CONTENT[step]


def test_hundreds_of_harmed_files_are_detected(run):
    sweep(run, 300, seed=0)


@pytest.mark.slow
def test_ten_thousand_harmed_files_are_detected(run):
    sweep(run, 10_000, seed=1)


@pytest.mark.parametrize("step", [101, pytest.param(1, marks=pytest.mark.slow)])
def test_every_bit_of_a_manifest_counts(run, step):
    path = run / "MANIFEST.json"
    good = path.read_bytes()
    for at in range(0, 8 * len(good), step):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        path.write_bytes(bad)
        with pytest.raises(Damaged):
            manifest.read(path)


def test_the_note_names_the_file_and_the_checkpoint_that_is_used(run):
    part = next(run.glob("ckpt-000000002-*/state.json"))
    part.write_bytes(b"{}")
    (note,) = checkpoint.load(run).notes
    assert note.startswith(f"{part} is damaged (2 bytes instead of ")
    assert "continuing from the previous checkpoint, ckpt-000000001-" in note


def test_when_both_are_harmed_the_sentence_names_both(run):
    for path in run.glob("ckpt-*/state.safetensors"):
        path.unlink()
    with RunLock(run) as lock, pytest.raises(Damaged) as caught:
        Store(lock, FINGERPRINT).load()
    assert str(caught.value).count("state.safetensors is missing") == 2
    assert caught.value.code == 2


def test_a_run_goes_on_after_a_harmed_checkpoint(run):
    next(run.glob("ckpt-000000002-*/state.json")).write_bytes(b"{}")
    store = opened(run)
    log = restored(store.load())
    put(store, 3, log.add(40))
    assert store.load().clock["steps"] == 3
    (run / "MANIFEST.json").unlink()  # the one before is the one that was good
    loaded = store.load()
    assert loaded.clock["steps"] == 1 and same(loaded.state, state_at(1))
    assert restored(loaded).content() == CONTENT[1]
    store.lock.close()


@pytest.mark.parametrize("text", [None, b"", b"garbage", b"{}"])
def test_a_run_goes_on_after_a_harmed_manifest(run, text):
    (run / "MANIFEST.json").unlink() if text is None else (run / "MANIFEST.json").write_bytes(text)
    store = opened(run)
    loaded = store.load()
    assert loaded.clock["steps"] == 1 and len(loaded.notes) == 1
    put(store, 3, restored(loaded).add(40))
    assert restored(store.load()).content() == CONTENT[3]
    assert len(list(run.glob("ckpt-*"))) == 2
    store.lock.close()


def test_nothing_but_temporary_files_is_collected_beside_an_illegible_manifest(run):
    before = files(run)
    (run / "MANIFEST.json").write_bytes(b"garbage")
    (run / "MANIFEST-01234567.tmp").touch()
    opened(run).lock.close()
    assert files(run) == before


def test_a_folder_in_place_of_a_file_is_damage(run):
    part = next(run.glob("ckpt-000000002-*/state.json"))
    part.unlink()
    part.mkdir()
    assert checkpoint.load(run).clock["steps"] == 1
    shutil.rmtree(part.parent)
    assert checkpoint.load(run).clock["steps"] == 1
