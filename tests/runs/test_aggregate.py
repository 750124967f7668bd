"""Runs put together: by hand on rows written here."""

import json
import sys
from pathlib import Path

import pytest
import tyro

from runs import interval
from runs.aggregate import Aggregate, Run, course, main
from runs.compare import Refused, command
from runs.scores import RANDOM_AND_HUMAN


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(interval.estimate, "__defaults__", (20, 0))


@pytest.fixture
def write(tmp_path):
    """write("Pong", 0, {10: 0.5}): a run of Pong with seed 0 that scored halfway to the human at step 10."""

    def one(game, seed, scores, agent="dqn", settings="aa", root="results", raw=False):
        run = tmp_path / root / game / agent / f"{seed}-{settings}"
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps({"agent": "dqn", "env": game, "seed": seed}))
        random, human = (0, 1) if raw else RANDOM_AND_HUMAN[game.partition("@")[0]]
        rows = [{"step": s, "return/eval": random + x * (human - random)} for s, x in scores.items()]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [{"step": 1, "loss": 2}, *rows]))
        return run

    return one


def told(runs, tmp_path, capsys, *flags):
    """The lines that are said."""
    main(tyro.cli(Aggregate, args=[*map(str, runs), f"--out={tmp_path / 'x.png'}", *flags]))
    return capsys.readouterr().err.splitlines()


def refused(runs, tmp_path, *flags):
    with pytest.raises(Refused) as refusal:
        main(tyro.cli(Aggregate, args=[*map(str, runs), f"--out={tmp_path / 'x.png'}", *flags]))
    assert not (tmp_path / "x.png").exists()
    return str(refusal.value).replace(str(tmp_path), "")


def test_games_of_one_configuration_are_pooled_and_several_stand_side_by_side(write, tmp_path, capsys):
    plain = [write(game, seed, {10: 0.1, 20: x}) for game, x in (("Pong", 0.2), ("Qbert", 0.4)) for seed in (0, 1)]
    reset = [write(game, 0, {10: 0.1, 20: 2.0}, "dqn+reset", "bb") for game in ("Pong", "Qbert")]
    lines = told([*plain, *reset], tmp_path, capsys)
    assert lines[0].split("  ")[-1].strip() == "optimality gap"
    assert lines[1].split()[:3] == ["dqn/aa", "0.3", "[0.3,"]
    assert lines[2].split()[:3] == ["dqn+reset/bb", "2", "[2,"]
    assert lines[2].split()[-3:] == ["0", "[0,", "0]"]
    assert [line.split() for line in lines[4:7]] == [
        ["mean", "(runs)", "dqn/aa", "dqn+reset/bb"],
        ["Pong", "0.2", "(2)", "2", "(1)"],
        ["Qbert", "0.4", "(2)", "2", "(1)"],
    ]
    assert lines[7:] == [
        "dqn+reset/bb: a game with one run adds nothing to the interval, which is too narrow",
        str(tmp_path / "x.png"),
    ]
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_the_last_evaluation_counts_or_the_one_at_a_step(write, tmp_path, capsys):
    runs = [write("Pong", 0, {10: 0.5, 20: 1.0}), write("Pong", 1, {10: 0.7, 20: 3.0})]
    assert "2 (2)" in told(runs, tmp_path, capsys)[4]
    assert "0.6 (2)" in told(runs, tmp_path, capsys, "--step=10")[4]


def test_the_curve_is_over_the_steps_of_all_runs_up_to_the_one_asked_for():
    plain, longer = Run(Path("a"), {10: 0.0, 20: 1.0, 30: 2.0}), Run(Path("b"), {10: 1.0, 20: 2.0, 30: 3.0, 40: 4.0})
    games = {"Pong": [plain], "Qbert": [longer]}
    steps, low, middle, high = course(games, 0)
    assert (steps.tolist(), middle.tolist()) == ([10, 20, 30], [0.5, 1.5, 2.5])
    assert low.tolist() == high.tolist() == middle.tolist()  # one run a game
    assert course(games, 20)[0].tolist() == [10, 20]
    assert course(games, 10) is None


def test_last_evaluations_at_different_steps_are_remarked(write, tmp_path, capsys):
    runs = [write("Pong", 0, {1000: 0.5, 2000: 1.0}), write("Pong", 1, {1000: 0.7})]
    said = "the last evaluations are at steps 1,000 to 2,000: --step compares at one"
    assert said in told(runs, tmp_path, capsys)
    assert said not in told(runs, tmp_path, capsys, "--step=1k")
    assert "dqn/aa: no curve, its runs share fewer than two steps of evaluation" in told(runs, tmp_path, capsys)


def test_unequal_runs_are_remarked(write, tmp_path, capsys):
    runs = [write("Pong", seed, {10: 0.0}) for seed in range(6)] + [write("Qbert", seed, {10: 1.0}) for seed in (0, 1)]
    lines = told(runs, tmp_path, capsys)
    assert [word for word in lines[1].split() if "[" not in word and "]" not in word] == (
        ["dqn/aa", "0", "0.5", "0.5", "0.75"]
    )
    assert "dqn/aa: 2 to 6 runs a game: IQM and gap weigh runs alike, not games" in lines


def test_raw_returns_are_put_together_if_asked_and_have_no_gap(write, tmp_path, capsys):
    runs = [write("dmc:walker-walk", seed, {10: 500.0 + seed}, raw=True) for seed in (0, 1)]
    lines = told(runs, tmp_path, capsys, "--tag=return/eval")
    assert lines[0].split() == ["IQM", "median", "mean"]
    assert "500.5 (2)" in lines[4]


def test_settings_of_a_game_are_games_of_their_own_with_its_human_score(write, tmp_path, capsys):
    lines = told([write("Pong", 0, {10: 0.5}), write("Pong@mode=1", 0, {10: 1.0})], tmp_path, capsys)
    assert [line.split() for line in lines[4:6]] == [["Pong", "0.5", "(1)"], ["Pong@mode=1", "1", "(1)"]]


def test_a_directory_named_twice_counts_once(write, tmp_path, capsys):
    run = write("Pong", 0, {10: 0.5})
    assert "0.5 (1)" in told([run, run], tmp_path, capsys)[4]


def test_named_games_alone_are_compared(write, tmp_path, capsys):
    runs = [write("Pong", 0, {10: 0.5}), write("Qbert", 0, {10: 0.5}), write("Tetris", 0, {10: 7.0}, raw=True)]
    runs.append(write("Pong", 0, {10: 1.5}, "dqn+reset"))
    lines = told(runs, tmp_path, capsys, "--games=Pong", "--labels=plain,resets")
    assert [line.split() for line in lines[4:6]] == [
        ["mean", "(runs)", "plain", "resets"],
        ["Pong", "0.5", "(1)", "1.5", "(1)"],
    ]
    assert "Qbert" not in " ".join(lines)


def test_configurations_on_different_games_are_refused(write, tmp_path):
    runs = [write("Pong", 0, {10: 0.5}), write("Qbert", 0, {10: 0.5}), write("Pong", 0, {10: 1.5}, "dqn+reset")]
    assert refused(runs, tmp_path) == (
        "dqn+reset/aa has no run of Qbert: a comparison needs the same games; give --games Pong"
    )
    assert refused(runs, tmp_path, "--games=Qbert").startswith("dqn+reset/aa has no run of Qbert")
    assert refused(runs[1:], tmp_path).endswith("give runs that share a game")


def test_no_runs_are_refused(tmp_path):
    assert refused([], tmp_path) == "no runs; name run directories, e.g. results/Pong/*/*"


def test_a_run_without_evaluation_is_refused(write, tmp_path):
    assert refused([write("Pong", 0, {})], tmp_path) == (
        "/results/Pong/dqn/0-aa has no return/eval; run it with --eval-every, or ask for another --tag"
    )


def test_a_run_without_a_record_is_refused(write, tmp_path):
    run = write("Pong", 0, {10: 0.5})
    (run / "metrics.jsonl").unlink()
    assert refused([run], tmp_path) == "/results/Pong/dqn/0-aa has no record: No such file or directory; run it again"


def test_a_game_without_human_score_is_refused(write, tmp_path):
    assert refused([write("Tetris", 0, {10: 7.0}, raw=True)], tmp_path) == (
        "Tetris has no human score; leave it out, or aggregate raw returns by --tag return/eval"
    )
    assert refused([write("Pong,Qbert", 0, {10: 7.0}, raw=True)], tmp_path).startswith("Pong,Qbert has no human score")


def test_a_step_without_evaluation_is_refused(write, tmp_path):
    assert refused([write("Pong", 0, {10_000: 0.5, 20_002: 0.5})], tmp_path, "--step=20k") == (
        "/results/Pong/dqn/0-aa has no evaluation at step 20,000; the nearest is at 20,002"
    )


def test_a_score_that_is_not_finite_is_refused(write, tmp_path):
    run = write("Pong", 0, {10: 0.5, 20: 0.5})
    (run / "metrics.jsonl").write_text('{"step": 10, "return/eval": null}\n')
    assert refused([run], tmp_path) == (
        "/results/Pong/dqn/0-aa: return/eval at step 10 is not finite; leave this run out"
    )


def test_one_seed_twice_is_refused(write, tmp_path):
    runs = [write("Pong", 0, {10: 0.5}, root=root) for root in ("a", "b")]
    assert refused(runs, tmp_path) == (
        "/b/Pong/dqn/0-aa and /a/Pong/dqn/0-aa are both seed 0 of dqn/aa in Pong; leave one out"
    )


def test_a_directory_whose_name_was_chosen_by_hand_is_refused(write, tmp_path):
    run = write("Pong", 0, {10: 0.5})
    assert "is not named <seed>-<hash>" in refused([run.rename(run.with_name("1-aa"))], tmp_path)


def test_what_is_not_a_run_is_refused(tmp_path):
    assert refused([tmp_path], tmp_path) == (
        " is not a run: it has no config.json with env and seed; name run directories"
    )


def test_labels_must_fit(write, tmp_path):
    runs = [write("Pong", 0, {10: 0.5}), write("Pong", 0, {10: 1.5}, "dqn+reset")]
    assert refused(runs, tmp_path, "--labels=a") == "1 labels for 2 configurations: dqn/aa, dqn+reset/aa"
    assert "calls two configurations the same" in refused(runs, tmp_path, "--labels=a,a")


def test_without_rliable_the_line_that_installs_it_is_said(write, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rliable", None)
    assert "pip install -c constraints.txt -e '.[report]'" in refused([write("Pong", 0, {10: 0.5})], tmp_path)


def test_the_exit_code_is_2_with_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["aggregate"])
    with pytest.raises(SystemExit) as stop:
        command(main, Aggregate)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: no runs; name run directories, e.g. results/Pong/*/*\n"
    monkeypatch.setattr(sys, "argv", ["aggregate"])
    with pytest.raises(SystemExit) as stop:
        command(lambda flags: None, Aggregate)
    assert stop.value.code == 0
