"""What must be equal for equal bits, and where a run came from."""

import subprocess
import sys

import pytest
import torch

from runs.fingerprint import differences, fingerprint, provenance


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


def test_provenance_holds_commit_and_changes(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a.txt").write_text("one\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
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
