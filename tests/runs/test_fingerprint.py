"""What must be equal for equal bits, and where a run came from."""

import subprocess
import sys

import pytest
import torch

from runs.checkpoint import load
from runs.fingerprint import ROOT, differences, fingerprint, provenance, source
from tests.laws.members import trained


def test_the_same_process_has_the_same_fingerprint():
    assert fingerprint() == fingerprint()
    assert all(isinstance(value, str) for value in fingerprint().values())
    assert fingerprint()["torch"] == torch.__version__
    assert fingerprint()["device"] == "cpu"


def test_the_thread_count_is_part_of_it():
    before, threads = fingerprint(), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert differences(before, fingerprint()) == [f"threads was {threads}, is {threads + 1}"]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY"])
def test_what_chooses_kernels_is_part_of_it(monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    before = fingerprint()
    monkeypatch.setenv(name, "Haswell")
    assert differences(before, fingerprint()) == [f"{name} was unset, is Haswell"]


def test_differences_name_what_is_only_on_one_side():
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == ["b was 2, is 3"]
    assert differences({"a": "1"}, {"c": ""}) == ["a was 1, is unset"]
    assert differences({}, {}) == []


def test_what_an_older_checkpoint_does_not_know_is_not_compared():
    assert differences({"a": "1"}, {"a": "1", "source": "b568a32"}) == []
    assert differences({"source": ""}, {"source": "b568a32"}) == ["source was unset, is b568a32"]


def committed(path):
    """A repository of one file and one commit."""
    git = ["git", "-C", str(path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (path / "a.txt").write_text("one\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)


def fresh(path):
    """The source of a process that starts now."""
    source.cache_clear()
    return source(path)


def test_the_source_is_part_of_it():
    assert fingerprint()["source"] == source(ROOT)


def test_the_source_is_the_commit_and_what_was_changed_since(tmp_path):
    committed(tmp_path)
    clean = fresh(tmp_path)
    assert clean == provenance(tmp_path)["commit"][:7]
    found = {clean}
    for text in ("two\n", "three\n"):
        (tmp_path / "a.txt").write_text(text)
        assert source(tmp_path) in found  # the code that runs was read before
        found.add(fresh(tmp_path))
    assert len(found) == 3
    assert all(name.startswith(clean) and len(name) in (7, 15) for name in found)
    (tmp_path / "a.txt").write_text("one\n")
    assert fresh(tmp_path) == clean


def test_without_a_repository_of_its_own_the_source_is_unknown(tmp_path, monkeypatch):
    committed(tmp_path)
    (tmp_path / "site-packages").mkdir()
    assert fresh(tmp_path / "site-packages") == ""
    assert fresh(tmp_path / "nowhere") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fresh(tmp_path) == ""


def test_a_resume_under_other_source_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    for commit, steps in (("a1b2c3d", 60), ("d4e5f6a", 90)):
        monkeypatch.setattr("runs.fingerprint.source", lambda root, commit=commit: commit)
        trained("dqn", tmp_path / "run", "toy:chain", steps)
    said = capsys.readouterr().err
    assert "not bit for bit from here: source was a1b2c3d, is d4e5f6a" in said
    loaded = load(tmp_path / "run")
    assert not loaded.exact
    assert loaded.reason == "resumed at step 61 where source was a1b2c3d, is d4e5f6a"


def test_provenance_holds_commit_and_changes(tmp_path):
    committed(tmp_path)
    assert provenance(tmp_path)["diff"] == ""
    (tmp_path / "a.txt").write_text("two\n")
    found = provenance(tmp_path)
    assert len(found["commit"]) == 40
    assert "-one\n+two\n" in found["diff"]
    assert found["versions"]["torch"] == torch.__version__
    assert found["command"].startswith(sys.executable)


def test_provenance_without_a_repository_is_empty(tmp_path, monkeypatch):
    assert provenance(tmp_path / "nowhere")["commit"] == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance(tmp_path)["diff"] == ""
