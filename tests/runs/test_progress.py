"""What a person sees: durations in words, plain lines without a terminal, a bar with one."""

import io
import sys

import pytest

from runs import progress
from runs.progress import Progress, clock, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def now(monkeypatch):
    """now(seconds) sets the clock on the wall."""
    time = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return lambda seconds: time.__setitem__(0, 1000.0 + seconds)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *[
            (0, "0 s"),
            (40, "40 s"),
            (59.9, "59 s"),
            (60, "1 min"),
            (125, "2 min"),
            (3599, "59 min"),
            (3600, "1 h 0 min"),
        ],
        *[(5 * 3600 + 90, "5 h 1 min"), (86_399, "23 h 59 min"), (86_400, "1 d 0 h"), (93_784, "1 d 2 h")],
    ],
)
def test_seconds_in_words(seconds, words):
    assert clock(seconds) == words


def test_say_is_a_line_on_stderr(capsys):
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_without_a_terminal_nothing_is_said_in_the_first_minute(capsys, now):
    bar = Progress(1000, 0)
    for step in range(1, 60):
        now(step)
        bar.update(step)
    bar.close()
    assert capsys.readouterr().err == ""


def test_without_a_terminal_a_plain_line_a_minute(capsys, now):
    bar = Progress(10_000, 1000)
    bar.remark("return 3")
    for seconds, step in ((61, 1610), (62, 1620), (100, 2000), (122, 2220)):
        now(seconds)
        bar.update(step)
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "1,610 of 10,000 steps, 10.0 steps/s, 13 min left, return 3",
        "2,220 of 10,000 steps, 10.0 steps/s, 12 min left, return 3",
    ]


def test_before_the_first_step_the_time_left_is_not_known(capsys, now):
    bar = Progress(1000, 50)
    now(61)
    bar.update(50)
    assert capsys.readouterr().err == "50 of 1,000 steps, 0.0 steps/s, ? left\n"


def test_a_terminal_has_a_bar_that_starts_where_the_run_does(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    bar = Progress(1000, 250)
    bar.remark("return 3")
    bar.update(500)
    bar.bar.refresh()
    bar.close()
    assert "25%" in screen.getvalue()
    assert "50%" in screen.getvalue()
    assert "return 3" in screen.getvalue()


def test_a_clock_that_stands_still_moves_nothing():
    bar = Progress(1000, 0)
    bar.update(5)
    bar.update(5)
    assert bar.bar.n == 5
    bar.close()
