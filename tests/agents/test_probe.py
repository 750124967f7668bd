"""python -m agents.probe: fits of snapshots, done once, continued, and told in a word; other probes; the page."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import fits, probe, report, snapshots, trainability
from agents.fits import Done, Fit
from agents.trainability import Trainability, measure, tracks
from agents.verdict import verdict
from probes.fit import Trial
from runs.rng import stream
from tests.laws.members import trained

LINE = ("--updates=12", "--batch=16", "--repeats=2", "--pool=32", "--jobs=1")


def past(path, name="dqn", env="CartPole-v1", steps=90, *flags):
    trained(name, path, env, steps, "--snapshot-every=30", "--reset-every=60", "--num-envs=1", *flags)
    return path


@pytest.fixture(scope="module")
def dqn(tmp_path_factory):
    return past(tmp_path_factory.mktemp("dqn") / "run")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return past(tmp_path_factory.mktemp("classifier") / "run", "classifier", "labels:generated")


@pytest.fixture(autouse=True)
def clean(dqn, classifier):
    yield
    for run in (dqn, classifier):
        for path in (run / "probes").glob("*"):
            path.unlink()
    for cache in (snapshots.place, snapshots.thaw, fits.states, fits.goal):
        cache.cache_clear()


@pytest.fixture
def called(capsys):
    """called(*argv) -> (exit code, lines of stderr)."""

    def call(*argv):
        code = probe.run([str(word) for word in argv])
        return code, capsys.readouterr().err.splitlines()

    return call


def flags(run, **options):
    return Trainability((run,), **{"updates": 12, "batch": 16, "repeats": 2, "pool": 32, "jobs": 1, **options})


def test_every_snapshot_is_fitted_beside_fresh_networks_and_all_is_written(dqn, called):
    code, lines = called("trainability", dqn, *LINE, "--targets=sine,random-net,noise,labels")
    saved = json.loads((dqn / "probes/trainability.json").read_text())
    assert code == 0
    assert [row["step"] for row in saved["tracks"][0]["snapshots"]] == [30, 60, 90]
    assert [track["target"] for track in saved["tracks"]] == ["sine", "random-net", "noise", "labels"]
    first = saved["tracks"][0]["snapshots"][0]
    assert first["P"] == pytest.approx(first["const"] - first["loss"])
    assert first["gap"] == pytest.approx(first["fresh"] - first["score"])
    assert {"held", "curve", "gap_interval", "since_first", "fresh_curve"} <= first.keys()
    assert (dqn / "probes/trainability.png").read_bytes()[:4] == b"\x89PNG"
    assert list((dqn / "probes").glob("events.out.tfevents*"))
    rows = [json.loads(line) for line in (dqn / "probes/trainability.jsonl").read_text().splitlines()]
    assert rows[2]["probe/trainability/sine"] == pytest.approx(saved["tracks"][0]["snapshots"][2]["score"])
    assert lines[0] == "sine: 12 updates of 16 states, 2 repeats (standard)"
    assert "unclear" in lines


def test_fresh_networks_are_fitted_once_a_run(dqn, monkeypatch):
    seen, work = [], fits.work
    monkeypatch.setattr(fits, "work", lambda job: seen.append(job) or work(job))
    measure(flags(dqn))
    starts = [fit.draw for fit, _ in seen]
    assert sorted(starts, key=str) == [0, 1, 2, None, None, None]
    measure(flags(dqn))
    assert len(seen) == 6


def test_what_was_kept_is_what_a_new_fit_finds(dqn):
    summary = measure(flags(dqn))[dqn]
    (track,) = tracks(flags(dqn), dqn)
    kept = Done(dqn)
    fits.goal.cache_clear()
    for fit, repeats in track.wanted():
        again = [fits.work((fit, (r,)))[0] for r in range(repeats)]
        for a, b in zip(kept.of(fit, repeats), again, strict=True):
            assert all(a["fit"][k] == pytest.approx(b["fit"][k], abs=1e-4) for k in b["fit"])
    assert summary["states"] == {"fit": 32, "held": 32}


def test_an_interrupted_probe_continues_to_the_same_numbers(dqn, called, monkeypatch):
    straight = measure(flags(dqn))[dqn]
    path = dqn / "probes/fits.jsonl"
    path.unlink()
    work, left = fits.work, iter(range(3))

    def dies(job):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return work(job)

    monkeypatch.setattr(fits, "work", dies)
    code, lines = called("trainability", dqn, *LINE)
    assert (code, lines[-1]) == (75, "interrupted; the same command line continues")
    path.write_bytes(path.read_bytes() + b'{"key": "cut o')
    done = len(Done(dqn).rows)
    assert done == 6
    seen = []
    monkeypatch.setattr(fits, "work", lambda job: seen.append(job) or work(job))
    assert measure(flags(dqn))[dqn] == straight
    assert len(seen) == 3


def children(pid):
    """Processes that fit for another, by number, read off /proc."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ends while we look
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in (path / "cmdline").read_text():
                found.add(int(path.name))
    return found


def wait_for(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_processes_end_with_the_one_that_asked_for_them(dqn):
    """However it ended."""
    line = ["trainability", str(dqn), "--updates=1M", "--batch=16", "--pool=32", "--jobs=2"]
    parent = subprocess.Popen([sys.executable, "-m", "agents.probe", *line], stderr=subprocess.DEVNULL)
    wait_for(lambda: len(children(parent.pid)) == 2)
    workers = children(parent.pid)
    time.sleep(2)  # fitting
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_processes_find_the_same_numbers(dqn):
    alone = measure(flags(dqn, repeats=1))[dqn]
    (dqn / "probes/fits.jsonl").unlink()
    assert measure(flags(dqn, repeats=1, jobs=2))[dqn]["tracks"] == alone["tracks"]


def test_a_snapshots_own_states_need_fresh_networks_of_their_own(dqn):
    (last,), (own,), (middle,) = (tracks(flags(dqn, pool_of=word), dqn) for word in ("last", "own", "60"))
    assert {fit.states for fit in last.own.values()} == {90}
    assert {fit.states for fit in middle.own.values()} == {60}
    assert [fit.states for fit in own.own.values()] == [30, 60, 90]
    assert [len(track.wanted()) for track in (last, own)] == [3 + 3, 3 + 9]


def test_budgets_have_names_and_every_number_a_flag():
    budget = Trainability(()).budget_of
    assert budget("sine") == (2_000, 256, 10)
    assert budget("labels") == (3_000, 128, 3)
    assert Trainability((), budget="quick").budget_of("sine") == (1_000, 256, 3)
    assert Trainability((), budget="quick", updates=7, batch=8, repeats=9).budget_of("labels") == (7, 8, 9)


def test_the_next_task_of_a_stream_is_fitted_with_its_labels(classifier):
    snapshots.thaw.cache_clear()
    states = fits.states(classifier, 30, 40, "next-task")
    world = snapshots.place(classifier)
    world.data.task = snapshots.thaw(classifier, 30).learner.clock["tasks"]
    world.data.turn()
    assert torch.equal(states.fit.action, world.data.train[1][:40])
    (track,) = measure(flags(classifier, targets="next-task"))[classifier]["tracks"]
    assert track["snapshots"][0]["const"] > 1
    assert 0 <= track["snapshots"][0]["accuracy"] <= 1


def test_each_part_of_sac_that_has_an_output_is_fitted(tmp_path):
    run = past(tmp_path / "run", "sac", "toy:reach", 60)
    found = measure(flags(run))[run]["tracks"]
    assert [track["part"] for track in found] == ["critic", "actor"]
    assert all(np.isfinite(row["score"]) for track in found for row in track["snapshots"])


def test_a_ladder_of_learning_rates_is_a_line_each(dqn, called):
    assert called("trainability", dqn, *LINE, "--rates=0.1,1,10")[0] == 0
    rows = json.loads((dqn / "probes/trainability.jsonl").read_text().splitlines()[0])
    assert {f"probe/trainability/sine{x}" for x in ("", "@0.1", "@10")} <= rows.keys()


def test_other_ways_of_fitting_have_files_of_their_own(dqn):
    names = [flags(dqn, **x).name for x in ({}, {"optimizer": "sgd"}, {"head": "fresh", "pool_of": "own"})]
    assert names == ["trainability", "trainability-sgd", "trainability-own-head"]


ROWS = [
    ({"fresh": 0.4, "score": -3.0, "gap_interval": [3.0, 4.0]}, 3, "unclear"),
    ({"fresh": 0.9, "score": 0.9}, 1, "unclear"),
    ({"fresh": 0.9, "score": 0.88, "gap_interval": [-0.01, 0.05]}, 3, "plastic"),
    ({"fresh": 0.9, "score": 0.6, "gap_interval": [0.2, 0.4]}, 3, "worn"),
    ({"fresh": 0.9, "score": 0.4, "gap_interval": [0.4, 0.6]}, 3, "lost"),
    ({"fresh": 0.9, "score": float("nan"), "gap_interval": [float("nan")] * 2}, 3, "lost"),
]


@pytest.mark.parametrize(("row", "repeats", "word"), ROWS)
def test_the_verdict_is_one_word(row, repeats, word):
    assert verdict(row, repeats) == word


def test_the_verdict_on_a_run_rests_on_sines_at_the_agents_learning_rate():
    rows = [{"target": t, "rate": r} for t in ("random-net", "sine") for r in (0.1, 1)]
    assert trainability.deciding(rows) == [rows[3]]
    assert trainability.deciding(rows[:2]) == [rows[1]]
    assert trainability.deciding(rows[:1]) == rows[:1]


REFUSED = [
    (["trainabilty", "RUN"], "no word 'trainabilty'; did you mean trainability?"),
    (["dormnt", "RUN"], "no probe 'dormnt'; did you mean dormant?"),
    (["trainability"], "trainability of which run? Name one or several run directories"),
    (["trainability", "RUN", "--targets=sin"], "no 'sin'; did you mean sine?"),
    (["trainability", "RUN", "--targets=next-task"], "next-task is for streams of labelled data"),
    (["trainability", "RUN", "--parts=critic"], "no 'critic'; did you mean q?"),
    (["trainability", "RUN", "--pool-of=5k"], "write last, own or one of 30, 60, 90"),
    (["trainability", "RUN", "--pool=100k"], "a snapshot keeps twice that"),
    (["trainability", "RUN", "--rates=0"], "numbers above 0"),
    (["trainability", "RUN", "--updtes=3"], "did you mean --updates?"),
    (["dormant", "/nowhere"], "is not a run directory; name a run that was started with --snapshot-every"),
    (["report", "/nowhere"], "is not a run directory"),
]


@pytest.mark.parametrize(("argv", "sentence"), REFUSED)
def test_what_cannot_be_done_is_refused_with_a_sentence(dqn, called, argv, sentence):
    code, lines = called(*[dqn if word == "RUN" else word for word in argv])
    assert code == 2
    assert any(sentence in line for line in lines), lines


def test_a_carried_optimizer_needs_snapshots_that_hold_it(tmp_path, called):
    run = past(tmp_path / "run", "dqn", "toy:chain", 30, "--snapshot-optim=no")
    code, lines = called("trainability", run, *LINE, "--optimizer=carried")
    assert (code, "leave --optimizer at agent" in lines[-1]) == (2, True)


def test_other_probes_read_every_snapshot(dqn, called):
    assert called("dormant,norm", dqn)[0] == 0
    for name in ("dormant", "norm"):
        rows = [json.loads(line) for line in (dqn / f"probes/{name}.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [30, 60, 90]
        assert f"probe/{name}" in rows[0]
        assert (dqn / f"probes/{name}.png").exists()


def test_the_page_shows_the_record_and_the_probes_with_every_event(dqn, called, monkeypatch):
    assert called("report", dqn)[1][-1] == "unmeasured"
    called("trainability", dqn, *LINE)
    called("norm", dqn)
    shown = {}
    monkeypatch.setattr(report, "page", lambda series, events, path, title: shown.update(s=series, e=events) or path)
    assert called("report", dqn)[1][-1] == "unclear"
    assert {"probe/norm", "probe/trainability/sine", "loss/q"} <= shown["s"].keys()
    assert shown["e"] == {"event/reset": [60]}
    titles = report.panels(shown["s"])
    assert "probe/trainability/sine" in titles["probe/trainability/sine"]
    assert "loss/q" in titles["loss"]


def test_a_key_names_all_that_a_fit_depends_on(dqn):
    one = Fit(dqn, Trial("q"), 30, None, 90, 32)
    others = [replace(one, step=60), replace(one, draw=0), replace(one, states=30), replace(one, size=64)]
    trials = [{"part": "x"}, {"target": "noise"}, {"updates": 1}, {"batch": 1}, {"optimizer": "sgd"}, {"rate": 10.0}]
    others += [replace(one, trial=replace(one.trial, **x)) for x in (*trials, {"head": "fresh"}, {"seed": 1})]
    assert len({fit.key for fit in (one, *others)}) == 13
    assert replace(one, draw=0).key == replace(one, draw=0, step=90).key.replace("step 90", "step 30")
    assert stream(0, "x").integers(9) == stream(0, "x").integers(9)
