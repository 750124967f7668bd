"""Runs side by side: by hand on rows written here."""

import json

import pytest
import tyro

from runs.compare import Compare, Refused, configuration, curve, main, summary


def written(path, rows):
    path.mkdir(parents=True)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_runs_that_differ_in_their_seed_alone_are_one_configuration(tmp_path):
    runs = [tmp_path / "env" / "dqn+reset" / name for name in ("0-aa", "12-aa", "0-bb")]
    assert [configuration(run) for run in runs] == ["env/dqn+reset/aa", "env/dqn+reset/aa", "env/dqn+reset/bb"]


def test_a_summary_is_over_the_steps_that_all_runs_have():
    steps, low, mean, high = summary([{10: 1.0, 20: 2.0, 30: 9.0}, {10: 3.0, 20: 2.5}])
    assert steps.tolist() == [10, 20]
    assert (low.tolist(), mean.tolist(), high.tolist()) == ([1, 2], [2, 2.25], [3, 2.5])


def test_a_curve_is_one_tag_of_the_rows(tmp_path):
    run = written(tmp_path / "r", [{"step": 1, "a": 5.0}, {"step": 2, "b": 1.0}, {"step": 3, "a": 7.0}])
    assert curve(run, "a") == {1: 5.0, 3: 7.0}


def test_the_picture_and_the_last_figures_are_made(tmp_path, capsys):
    base = tmp_path / "env" / "dqn"
    runs = [written(base / f"{i}-aa", [{"step": 5, "x": float(i)}, {"step": 9, "x": i + 1.0}]) for i in range(3)]
    out = tmp_path / "x.png"
    main(tyro.cli(Compare, args=[*map(str, runs), "--tag=x", f"--out={out}", "--labels=plain"]))
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert "plain (3 seeds): x at step 9: 2 (1..3)" in capsys.readouterr().err


def test_a_misspelt_tag_is_a_sentence(tmp_path):
    run = written(tmp_path / "0-a", [{"step": 1, "a": 5.0}])
    with pytest.raises(Refused, match="misspelt"):
        main(Compare((run,), tag="b", out=tmp_path / "x.png"))
    assert not (tmp_path / "x.png").exists()


def test_labels_that_do_not_fit_are_a_sentence(tmp_path):
    run = written(tmp_path / "env" / "dqn" / "0-a", [{"step": 1, "a": 5.0}])
    with pytest.raises(Refused, match="2 labels for 1 configurations: env/dqn/a"):
        main(Compare((run,), tag="a", out=tmp_path / "x.png", labels="one,two"))
