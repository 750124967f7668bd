"""A flipped bit, a missing tail, a foreign file: detected, and the previous checkpoint or a sentence follows."""

import json
import random
import shutil

import pytest
from rowlog import FINGERPRINT, RowLog, files, opened, put, restored, same, state_at

from runs import checkpoint, chunks, manifest, pack
from runs.checkpoint import Damaged, Store
from runs.lock import RunLock

CONTENT = {step: RowLog().add(20 * step).content() for step in (1, 2, 3)}


@pytest.fixture
def run(tmp_path):
    """A run directory with two checkpoints, at 1 and 2."""
    with RunLock(tmp_path / "run") as lock:
        store, log = Store(lock, FINGERPRINT), RowLog()
        for step in (1, 2):
            put(store, step, log.add(20))
    return tmp_path / "run"


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


def forge(run_dir, change):
    """A manifest with a good SHA-256 of its own, as a foreign writer might make."""
    (run_dir / "MANIFEST.json.prev").unlink(missing_ok=True)
    path = run_dir / "MANIFEST.json"
    body = json.loads(path.read_bytes())
    del body["sha256"]
    change(body)
    path.write_bytes(manifest._sealed(body))


def set_at(*keys):
    *path, last, value = keys

    def change(body):
        for key in path:
            body = body[key]
        body[last] = value

    return change


SPAN = ("logs", "replay")
FORGED = {
    "schema": set_at("schema", 99),
    "no schema": lambda body: body.pop("schema"),
    "path": set_at("checkpoint", "../run"),
    "absolute": set_at("checkpoint", "/etc"),
    "parts": set_at("parts", []),
    "part name": set_at("parts", 0, "name", "../../x"),
    "part size": set_at("parts", 0, "size", 1 << 60),
    "negative": set_at("parts", 0, "size", -1),
    "float size": set_at("parts", 0, "size", 1.5),
    "clock": set_at("clock", {"steps": "7"}),
    "clock kind": set_at("clock", [1]),
    "clock sign": set_at("clock", {"steps": -1}),
    "exact": set_at("exact", 1),
    "log name": set_at("logs", {"../x": {}}),
    "log kind": set_at("logs", {"replay": 3}),
    "gap": lambda body: body["logs"]["replay"]["chunks"].pop(1),
    "twice": lambda body: body["logs"]["replay"]["chunks"].insert(0, body["logs"]["replay"]["chunks"][0]),
    "no tail": set_at(*SPAN, "tail", []),
    "stop": set_at(*SPAN, "stop", 41),
    "backwards": set_at(*SPAN, "start", 41),
    "chunk name": set_at(*SPAN, "chunks", 0, "file", "name", ".."),
    "sha": set_at(*SPAN, "chunks", 0, "file", "sha256", "0" * 64),
    "tail missing": set_at(*SPAN, "tail", 0, "file", "name", "state.json"),
    "lists": lambda body: body.update({key: [] for key in body}) or body.update(schema=1),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_forged_manifest_is_one_sentence(run, change):
    forge(run, change)
    with pytest.raises(Damaged) as caught:
        checkpoint.load(run)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


@pytest.mark.parametrize("raw", [0, 1, 1 << 50])
def test_a_chunk_that_is_not_its_declared_size_is_not_unpacked(run, raw):
    forge(run, set_at(*SPAN, "chunks", 0, "raw", raw))
    with pytest.raises(Damaged, match="declared"):
        restored(checkpoint.load(run))


def test_a_chunk_that_would_fill_the_memory_is_not_unpacked(run):
    bomb = chunks.zstandard.ZstdCompressor().compress(bytes(1 << 22))
    body = json.loads((run / "MANIFEST.json").read_bytes())["logs"]["replay"]["chunks"][0]
    (run / "replay" / body["file"]["name"]).write_bytes(bomb)
    file = manifest.file_of(body["file"]["name"], bomb)
    forge(run, set_at(*SPAN, "chunks", 0, {**body, "raw": 1 << 22, "file": file.__dict__}))
    with pytest.raises(Damaged, match="allowed"):
        restored(checkpoint.load(run))


SHORT = pack.to_bytes(RowLog().add(9).rows(0, 7))


@pytest.mark.parametrize(
    "content",
    [SHORT, pack.to_bytes({}), pack.encode({})[1], b"", None],
    ids=["short", "empty", "text", "nothing", "raw"],
)
def test_a_foreign_chunk_is_damage(run, content):
    """Valid by its SHA-256 and yet no rows of ours."""
    data = b"no zstd" if content is None else chunks.zstandard.ZstdCompressor().compress(content)
    body = json.loads((run / "MANIFEST.json").read_bytes())["logs"]["replay"]["chunks"][0]
    (run / "replay" / body["file"]["name"]).write_bytes(data)
    file = manifest.file_of(body["file"]["name"], data)
    forge(run, set_at(*SPAN, "chunks", 0, {**body, "raw": len(content or b""), "file": file.__dict__}))
    with pytest.raises(Damaged, match="holds no rows of ours"):
        restored(checkpoint.load(run))


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"a": {"$": "torch"}}', b"[" * 100_000], ids=len)
def test_a_foreign_state_is_damage(run, text):
    part = next(run.glob("ckpt-000000002-*/state.json"))
    part.write_bytes(text)
    forge(run, set_at("parts", 1, manifest.file_of("state.json", text).__dict__))
    with pytest.raises(Damaged, match="holds no state of ours"):
        checkpoint.load(run)


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"1" * 5_000, b"null", b"[]", b'"x"', b"{}", b'{"sha256": 1}'], ids=len
)
def test_a_foreign_manifest_is_damage(tmp_path, text):
    (tmp_path / "MANIFEST.json").write_bytes(text)
    with pytest.raises(Damaged) as caught:
        checkpoint.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_damage(run):
    part = next(run.glob("ckpt-000000002-*/state.json"))
    part.unlink()
    part.mkdir()
    assert checkpoint.load(run).clock["steps"] == 1
    shutil.rmtree(part.parent)
    assert checkpoint.load(run).clock["steps"] == 1
