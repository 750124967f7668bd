"""A run directory: what may continue there, what is done, what is whole or absent."""

import json

import pytest

from runs import directory
from runs.directory import changes, describe, finished, mark_done, reopen, strangers, write

SAVED = {"agent": "dqn", "steps": 100, "gamma": 0.99, "reset_every": "never", "hidden": [8]}
FREE = {"steps"}


@pytest.fixture
def run(tmp_path):
    write(tmp_path / "config.json", SAVED)
    return tmp_path


def test_the_same_settings_continue(run):
    assert changes(run, SAVED, {"hidden"}, FREE) == []


def test_a_directory_that_does_not_exist_is_free(tmp_path):
    assert changes(tmp_path / "new", SAVED, set(), FREE) == []


def test_an_empty_directory_is_free(tmp_path):
    assert changes(tmp_path, SAVED, set(), FREE) == []


@pytest.mark.parametrize("left", [["LOCK"], ["LOCK", "owner.json"], ["owner-1a2b3c4d.tmp", "LOCK"], ["config.tmp"]])
def test_what_a_start_that_died_leaves_behind_is_no_stranger(tmp_path, left):
    for name in left:
        (tmp_path / name).touch()
    assert not strangers(tmp_path)


@pytest.mark.parametrize("name", ["thesis.tex", "metrics.jsonl", ".hidden"])
def test_anything_else_is_a_stranger(tmp_path, name):
    (tmp_path / name).touch()
    assert changes(tmp_path, SAVED, set(), FREE) == [
        f"{tmp_path} is not a run directory and not empty; choose another --out"
    ]


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").touch()
    assert "choose another --out" in changes(tmp_path / "file", SAVED, set(), FREE)[0]


def test_every_changed_setting_is_named_with_both_values(run):
    *rows, mend = changes(run, {**SAVED, "gamma": 0.9, "hidden": [8, 8]}, set(), FREE)
    assert rows == [
        f"cannot resume: gamma is 0.99 in {run}, 0.9 in the command",
        f"cannot resume: hidden is [8] in {run}, [8, 8] in the command",
    ]
    assert "choose another --out" in mend


def test_another_agent_may_not_continue(run):
    assert "agent is dqn in" in changes(run, {**SAVED, "agent": "sac"}, set(), FREE)[0]


def test_free_settings_may_change(run):
    assert changes(run, {**SAVED, "steps": 7}, {"steps"}, FREE) == []


def test_a_flag_younger_than_the_run_counts_only_if_it_is_used(run):
    younger = {**SAVED, "churn_weight": 0.0}
    assert changes(run, younger, set(), FREE) == []
    assert "churn_weight is None in" in changes(run, {**younger, "churn_weight": 0.5}, {"churn_weight"}, FREE)[0]


def test_a_flag_that_no_longer_exists_is_not_missed(run):
    fewer = {key: value for key, value in SAVED.items() if key != "hidden"}
    assert changes(run, fewer, set(), FREE) == []


@pytest.mark.parametrize("text", ['{"gam', "", "[1]", "3", "null", '"abc"'])
def test_a_config_that_cannot_be_read_is_said(run, text):
    (run / "config.json").write_text(text)
    (problem,) = changes(run, SAVED, set(), FREE)
    assert problem.startswith(f"{run / 'config.json'} cannot be read (")
    assert problem.endswith("put it back or choose another --out")


def test_a_run_is_done_from_its_mark_to_its_reopening(tmp_path):
    assert finished(tmp_path) == 0
    mark_done(tmp_path, {"steps": 120, "updates": 30})
    assert finished(tmp_path) == 120
    reopen(tmp_path)
    reopen(tmp_path)
    assert finished(tmp_path) == 0


@pytest.mark.parametrize("text", ["", "garbage", "[]", "{}", "null", '{"steps": "x"}', '{"steps": null}'])
def test_a_mark_that_cannot_be_read_is_no_mark(tmp_path, text):
    (tmp_path / "DONE").write_text(text)
    assert finished(tmp_path) == 0


def test_a_run_describes_itself(tmp_path):
    describe(tmp_path, SAVED, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == SAVED
    about = json.loads((tmp_path / "provenance.json").read_text())
    assert {"commit", "diff", "command", "versions"} <= about.keys()
    assert "torch" in about["versions"]


def test_a_file_is_written_whole_or_not_at_all(run, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(directory.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(run / "config.json", {"another": 1})
    assert json.loads((run / "config.json").read_text()) == SAVED


def test_a_file_half_written_before_is_written_over(run):
    (run / "config.tmp").write_text('{"ag')
    write(run / "config.json", {"another": 1})
    assert json.loads((run / "config.json").read_text()) == {"another": 1}
