"""metrics.jsonl and its twin for TensorBoard: rows, cuts, resumes, full disks."""

import errno
import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from runs.disk import DiskFull
from runs.record import DASHBOARD, METRICS, Recorder, rows


@pytest.fixture
def record(tmp_path):
    """record(cursor, step) opens the record of tmp_path; all are closed at the end."""
    opened = []

    def open_(*args):
        opened.append(Recorder(tmp_path, *args))
        return opened[-1]

    yield open_
    for recorder in opened:
        recorder.close()


class Broken:
    """A file on a full disk, or one that takes a few bytes at a time."""

    def __init__(self, file, most):
        self.file, self.most = file, most

    def write(self, data):
        if not self.most:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data[: self.most])

    def __getattr__(self, name):
        return getattr(self.file, name)


def lines(path):
    return (path / METRICS).read_text().splitlines()


def board(path):
    events = EventAccumulator(str(path))
    events.Reload()
    return events


def scalars(path):
    events = board(path)
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_row_is_one_json_object_with_its_step(record, tmp_path):
    record().write(7, {"loss/q": 0.5, "clock/updates": 3})
    assert [json.loads(line) for line in lines(tmp_path)] == [{"step": 7, "loss/q": 0.5, "clock/updates": 3}]


def test_an_empty_row_is_not_written(record, tmp_path):
    record().write(7, {})
    assert lines(tmp_path) == []


def test_a_number_that_is_not_finite_is_null_and_reads_as_nan(record, tmp_path):
    record().write(7, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0})
    assert lines(tmp_path) == ['{"step": 7, "a": null, "b": null, "c": null, "d": 1.0}']
    (row,) = rows(tmp_path)
    assert [math.isnan(row[tag]) for tag in "abcd"] == [True, True, True, False]


def test_rows_are_on_the_disk_as_soon_as_they_are_written(record, tmp_path):
    recorder = record()
    for step in (1, 2):
        recorder.write(step, {"a": 1.0})
        assert len(lines(tmp_path)) == step


def test_a_last_line_cut_off_is_left_out(record, tmp_path):
    recorder = record()
    for step in (1, 2):
        recorder.write(step, {"a": 1.0})
    whole = (tmp_path / METRICS).read_bytes()
    for cut in (1, 5, 19):
        (tmp_path / METRICS).write_bytes(whole[:-cut])
        assert [row["step"] for row in rows(tmp_path)] == [1]


def test_what_lies_behind_the_cursor_is_cut_off(record, tmp_path):
    first = record()
    first.write(1, {"a": 1.0})
    cursor = first.flush()
    first.write(2, {"a": 2.0})
    second = record(cursor, 1)
    second.write(2, {"a": 3.0})
    assert [(row["step"], row["a"]) for row in rows(tmp_path)] == [(1, 1), (2, 3)]
    assert second.flush() == (tmp_path / METRICS).stat().st_size


def test_a_cursor_beyond_the_end_pads_nothing(record, tmp_path):
    record().write(1, {"a": 1.0})
    record(10_000, 1).write(2, {"a": 2.0})
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_a_run_without_a_checkpoint_keeps_nothing_of_an_earlier_try(record, tmp_path):
    first = record()
    first.write(1, {"a": 1.0})
    first.close()
    record().write(2, {"a": 2.0})
    assert [row["step"] for row in rows(tmp_path)] == [2]
    assert len(list(tmp_path.glob("events*"))) == 1


def test_the_cursor_is_the_length_of_the_file(record, tmp_path):
    recorder = record()
    assert recorder.flush() == 0
    recorder.write(1, {"a": 1.0})
    assert recorder.flush() == len(lines(tmp_path)[0]) + 1


def test_tensorboard_holds_the_same_numbers(record, tmp_path):
    recorder = record()
    recorder.write(5, {"loss/q": 0.5, "q/mean": 2.0})
    recorder.write(9, {"loss/q": 0.25})
    recorder.flush()
    assert scalars(tmp_path) == {"loss/q": [(5, 0.5), (9, 0.25)], "q/mean": [(5, 2.0)]}


def test_tensorboard_has_a_dashboard_of_our_panels(record, tmp_path):
    record().flush()
    content = board(tmp_path).SummaryMetadata("custom_scalars__config__")
    assert content.plugin_data.plugin_name == "custom_scalars"
    (tensor,) = board(tmp_path).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(tensor.tensor_proto.string_val[0])
    (category,) = layout.category
    assert [chart.title for chart in category.chart] == list(DASHBOARD["Run"])
    assert [list(chart.multiline.tag) for chart in category.chart] == [tags for _, tags in DASHBOARD["Run"].values()]


def test_tensorboard_forgets_what_a_resume_cuts_off(record, tmp_path):
    first = record()
    first.write(1, {"a": 1.0})
    first.write(2, {"a": 2.0})
    cursor = first.flush()
    first.write(3, {"a": 3.0})
    first.close()
    second = record(cursor, 2)
    second.write(3, {"a": 30.0})
    second.flush()
    assert scalars(tmp_path) == {"a": [(1, 1), (2, 2), (3, 30)]}


def test_on_a_full_disk_rows_wait_and_the_run_goes_on(record, tmp_path):
    recorder = record()
    recorder.write(1, {"a": 1.0})
    file, recorder.file = recorder.file, Broken(recorder.file, 0)
    for step in (2, 3):
        with pytest.warns(UserWarning, match="metrics.jsonl cannot be written, its rows wait: .*No space left"):
            recorder.write(step, {"a": 1.0})
    assert len(lines(tmp_path)) == 1
    recorder.file = file
    recorder.write(4, {"a": 1.0})
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]


def test_a_process_that_lost_its_directory_writes_no_row(tmp_path):
    def lost():
        raise RuntimeError("taken over")

    recorder = Recorder(tmp_path, own=lost)
    with pytest.raises(RuntimeError, match="taken over"):
        recorder.write(1, {"a": 1.0})
    recorder.close()
    assert lines(tmp_path) == []


def test_a_write_that_takes_a_few_bytes_at_a_time_loses_none(record, tmp_path):
    recorder = record()
    recorder.file = Broken(recorder.file, 3)
    for step in (1, 2):
        recorder.write(step, {"a": 1.0})
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_a_checkpoint_does_not_vouch_for_rows_that_wait(record):
    recorder = record()
    recorder.file = Broken(recorder.file, 0)
    with pytest.warns(UserWarning):
        recorder.write(1, {"a": 1.0})
    with pytest.warns(UserWarning), pytest.raises(DiskFull, match=r"no room in .*; make room there"):
        recorder.flush()


def test_a_board_that_cannot_be_written_warns_and_the_row_is_kept(record, tmp_path, monkeypatch):
    recorder = record()

    def full(summary, step):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder.events, "add_summary", full)
    with pytest.warns(UserWarning, match="TensorBoard in .* cannot be written"):
        recorder.write(1, {"a": 1.0})
    assert [row["step"] for row in rows(tmp_path)] == [1]
