"""The picture of a run, from metrics.jsonl alone."""

import math

import pytest
from matplotlib import pyplot

from runs import picture
from runs.picture import chosen, draw, gather
from runs.record import Recorder

PNG = b"\x89PNG"


@pytest.fixture
def run(tmp_path):
    """run(rows) writes a record; rows are (step, {tag: number})."""

    def write(rows):
        recorder = Recorder(tmp_path)
        for step, row in rows:
            recorder.write(step, row)
        recorder.close()
        return tmp_path

    return write


@pytest.fixture
def axes(monkeypatch):
    """The panels of the last picture, kept open."""
    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    yield lambda: pyplot.gcf().axes
    monkeypatch.undo()
    pyplot.close("all")


def full(events=()):
    rows = [(k, {"return/train": float(k), "loss/q": 1 / k, "q/mean": 2.0, "q/max": 3.0}) for k in range(1, 9)]
    rows += [(k, {"probe/dormant": 0.1, "probe/dormant/dead": 0.0, "probe/dormant/torso.fc1": 0.3}) for k in (3, 6)]
    return rows + [(6, {"probe/norm": 5.0})] + [(k, {"event/reset": 1.0, "event/reset/norm": 9.0}) for k in events]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        full(),
        full(events=[4]),
        full(events=range(1, 100)),
        [(1, {"event/reset": 1.0})],
        [(1, {"return/eval": -5.0})],
        [(k, {"loss/q": math.nan}) for k in range(1, 4)],
        [(k, {"return/train": math.nan if k == 30 else 1.0}) for k in range(1, 61)],
    ],
    ids=["nothing", "no events", "an event", "many events", "events alone", "one point", "nan", "a nan among many"],
)
def test_it_draws(run, rows):
    path = draw(run(rows))
    assert path.name == "run.png"
    assert path.read_bytes().startswith(PNG)


def test_it_can_be_drawn_again(run):
    path = run(full())
    assert draw(path) == draw(path)


def test_it_draws_a_run_whose_last_row_is_cut_off(run):
    path = run(full())
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "loss/q"')
    assert draw(path).exists()


def test_no_figure_is_left_open(run):
    draw(run(full()))
    assert pyplot.get_fignums() == []


def test_each_panel_shows_its_tags_and_a_line_for_each_event(run, axes):
    draw(run(full(events=[4, 7])))
    titles = [axis.get_title(loc="left") for axis in axes()]
    assert titles == ["return", "loss", "Q", "dormant units (fraction)", "parameter norm"]
    labels = [[t.get_text() for t in axis.get_legend().get_texts()] for axis in axes()]
    assert labels[2] == ["q/max", "q/mean", "event/reset"]
    assert labels[3] == ["probe/dormant", "probe/dormant/dead", "event/reset"]
    assert all(sum(list(line.get_xdata()) in ([4, 4], [7, 7]) for line in axis.lines) == 2 for axis in axes())


def test_the_x_axis_counts_agent_steps(run, axes):
    draw(run(full()))
    assert axes()[-1].get_xlabel() == "agent steps"
    assert list(axes()[1].lines[0].get_xdata()) == list(range(1, 9))


def test_many_games_have_a_running_mean_of_twenty(run, axes):
    draw(run([(k, {"return/train": float(k)}) for k in range(1, 31)]))
    _, mean = axes()[0].lines
    assert mean.get_label() == "mean of 20 games"
    assert (mean.get_xdata()[0], mean.get_ydata()[0]) == (20, 10.5)  # of 1..20
    assert len(mean.get_xdata()) == 11


def test_many_events_are_a_rug_at_the_foot(run, axes, monkeypatch):
    monkeypatch.setattr(picture, "MARKED", 2)
    draw(run([(k, {"loss/q": 1.0}) for k in range(9)] + [(k, {"event/redo": 1.0}) for k in (1, 2, 3)]))
    assert [line.get_ydata()[1] for line in axes()[0].lines[1:]] == [0.06] * 3


def test_events_and_series_are_told_apart(run):
    series, events = gather(run(full(events=[4])))
    assert events == {"event/reset": [4]}
    assert series["event/reset/norm"] == [(4, 9.0)]
    assert series["loss/q"][:2] == [(1, 1.0), (2, 0.5)]
    assert "step" not in series


@pytest.mark.parametrize(
    ("prefixes", "tags"),
    [(("loss/",), ["loss/a", "loss/b"]), (("return/eval",), ["return/eval"]), (("x", "loss"), []), ((), [])],
)
def test_a_panel_takes_whole_names_or_all_below_a_slash(prefixes, tags):
    assert chosen({tag: [] for tag in ("loss/b", "loss/a", "return/eval", "return/eval/min")}, prefixes) == tags
