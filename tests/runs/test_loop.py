"""The loop's order and its counting of steps; the timetable along it."""

from itertools import islice

import dm_env
import numpy as np
import pytest

from runs.loop import Timetable, interact
from runs.units import Period, period

FIRST, MID, LAST = 0, 1, 2


class Diary:
    """An agent, a memory and a world in one, that write down what is asked of them."""

    def __init__(self, kinds):
        self.clock, self.rng = {"steps": 0}, {"act": object()}
        self.kinds, self.log = iter(kinds), []

    def act(self, now, rng):
        assert rng is self.rng["act"]
        self.log.append(("act", now))
        return np.array([7])

    def step(self, action):
        self.log.append(("step", action.tolist()))
        return timestep(next(self.kinds))

    def remember(self, now, action, then):
        self.log.append(("add", now, then))


def timestep(kinds):
    n = len(kinds)
    return dm_env.TimeStep(np.array(kinds, np.uint8), np.zeros(n), np.ones(n), np.zeros((n, 1)))


def counted(kinds):
    diary = Diary(kinds)
    start = timestep([FIRST] * len(kinds[0]))
    return [diary.clock["steps"] for _ in islice(interact(diary, diary, start), len(kinds))]


def test_act_step_remember_count_yield():
    diary, start = Diary([[MID], [LAST]]), timestep([FIRST])
    loop = interact(diary, diary, start)
    one = next(loop)
    assert [entry[0] for entry in diary.log] == ["act", "step", "add"]
    assert diary.log[0][1] is start
    assert diary.log[1] == ("step", [7])
    assert diary.log[2][1] is start
    assert diary.log[2][2] is one
    assert diary.clock["steps"] == 1
    two = next(loop)
    assert diary.log[3][1] is one
    assert diary.log[5][2] is two


def test_a_resumed_run_enters_at_the_yield():
    diary, now = Diary([[MID]]), timestep([MID])
    loop = interact(diary, diary, now, resumed=True)
    assert next(loop) is now
    assert (diary.log, diary.clock["steps"]) == ([], 0)
    next(loop)
    assert diary.clock["steps"] == 1


@pytest.mark.parametrize(
    ("kinds", "steps"),
    [
        ([[MID], [MID], [LAST], [FIRST], [MID]], [1, 2, 3, 3, 4]),
        ([[LAST], [FIRST], [LAST], [FIRST]], [1, 1, 2, 2]),
        ([[MID, MID, LAST], [LAST, MID, FIRST], [FIRST, LAST, MID], [MID, FIRST, MID]], [3, 5, 7, 9]),
        ([[LAST, LAST], [FIRST, FIRST]], [2, 2]),
    ],
)
def test_a_step_is_a_row_that_is_not_first_over_all_environments(kinds, steps):
    assert counted(kinds) == steps


def test_the_clock_stays_a_python_int():
    diary = Diary([[MID, MID]])
    next(interact(diary, diary, timestep([FIRST, FIRST])))
    assert type(diary.clock["steps"]) is int


def fires(text, clocks, table=None):
    table = table or Timetable({"x": period(text)})
    return [clock for clock in clocks if table.due("x", clock)]


@pytest.mark.parametrize(
    ("text", "clocks", "due"),
    [
        ("10", range(41), [10, 20, 30, 40]),
        ("10", range(0, 60, 7), [14, 21, 35, 42, 56]),
        ("10", [5, 35, 36, 40], [35, 40]),  # three at once are one
        ("10", [10, 10, 10, 11], [10]),
        ("5,12", range(40), [5, 12]),
        ("5,12", [3, 20, 30], [20]),
        ("never", range(40), []),
    ],
)
def test_a_period_fires_on_crossing(text, clocks, due):
    assert fires(text, clocks) == due


def test_rows_of_a_timetable_do_not_know_each_other():
    table = Timetable({"x": Period(10), "y": Period(15)})
    assert [(table.due("x", c), table.due("y", c)) for c in (10, 15, 30)] == [
        (True, False),
        (False, True),
        (True, True),
    ]


@pytest.mark.parametrize("stop", range(0, 40))
def test_a_resumed_timetable_neither_skips_nor_repeats(stop):
    first = Timetable({"x": Period(10)})
    before = fires("", range(stop + 1), first)
    second = Timetable({"x": Period(10)})
    second.load_state_dict(first.state_dict(), stop)
    assert before + fires("", range(stop, 41), second) == [10, 20, 30, 40]


def test_what_was_put_off_is_due_again_once():
    table = Timetable({"x": Period(10)})
    assert table.due("x", 35)
    table.put_off("x")
    resumed = Timetable({"x": Period(10)})
    resumed.load_state_dict(table.state_dict(), 35)
    assert fires("", [35, 36, 40], resumed) == [35, 40]


def test_a_changed_period_starts_where_its_clock_stands():
    first = Timetable({"x": Period(10)})
    fires("", range(36), first)
    second = Timetable({"x": Period(7)})
    second.load_state_dict(first.state_dict(), 35)
    assert fires("", range(35, 50), second) == [42, 49]


def test_a_period_that_joins_on_resume_does_not_catch_up():
    second = Timetable({"x": Period(10), "y": Period(10)})
    second.load_state_dict({"y": ["10", 3]}, 35)
    assert fires("", range(35, 45), second) == [40]


def test_a_timetable_survives_json():
    import json

    table = Timetable({"x": period("5,12"), "y": period("1k:updates")})
    table.due("x", 7)
    assert json.loads(json.dumps(table.state_dict())) == {"x": ["5,12", 1], "y": ["1k:updates", 0]}
