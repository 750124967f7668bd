"""A checkpoint with sound checksums that we did not write: one sentence, and nothing allocated on its word."""

import json

import pytest
from rowlog import RowLog, restored

from runs import checkpoint, chunks, manifest, pack
from runs.checkpoint import Damaged


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
