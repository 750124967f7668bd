"""Counts, periods, conditions and durations: what is read, what is refused, and when a period comes round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.units import NEVER, NOWHEN, Period, When, count, duration, period, spell, when


@pytest.mark.parametrize(
    ("text", "n"),
    [
        *[("0", 0), ("7", 7), ("100000", 100_000), ("100_000", 100_000), ("100k", 100_000), ("2.5M", 2_500_000)],
        *[("0.1M", 100_000), ("0.3k", 300), (".5k", 500), ("5.k", 5_000), ("1.0", 1), ("1B", 10**9), ("007", 7)],
        *[("1.234567M", 1_234_567), ("0.000001B", 1_000)],
    ],
)
def test_a_count_is_exact(text, n):
    assert count(text) == n
    assert type(count(text)) is int


@pytest.mark.parametrize(
    "text",
    [
        *("1.5", "nan", "banana", "1e6", "1E6", "-3", "-0", "+3", "inf", "Infinity", "", " ", "k", ".", "_", "1.5.5k"),
        *(
            "0.0001k",
            "1k5",
            "k1",
            "1K",
            "1m",
            "1kk",
            "1Mk",
            "1kM",
            "1BMk",
            "0x10",
            "1 000",
            " 1",
            "1\n",
            "1,000",
            "½",
            "٣",
        ),
        *("1e999999999", "9" * 5000, "9223372036854775808", "10000000000B"),
    ],
)
def test_what_is_no_count_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"is not a count; write e.g. 100000, 100k or 2.5M") as refused:
        count(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1500, "1.5k"), (1001, "1001"), (100_000, "100k"), (2_500_000, "2.5M")],
)
def test_a_count_is_spelled_shortly(n, text):
    assert spell(n) == text


@given(st.integers(0, 2**63 - 1))
def test_a_count_reads_what_it_spelled(n):
    assert count(spell(n)) == n


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("100k", Period(100_000)),
        ("100k:steps", Period(100_000)),
        ("1k:updates", Period(1000, "updates")),
        ("1:targets", Period(1, "targets")),
        ("3:episodes", Period(3, "episodes")),
        ("2:tasks", Period(2, "tasks")),
        ("20k,40k,60k", Period(0, "steps", (20_000, 40_000, 60_000))),
        ("1,2:targets", Period(0, "targets", (1, 2))),
        ("1k:updates..2.5M", Period(1000, "updates", (), 2_500_000)),
        ("20k..100k", Period(20_000, until=100_000)),
        ("never", NEVER),
    ],
)
def test_a_period_carries_its_unit(text, read):
    assert period(text) == read


@pytest.mark.parametrize(
    "text",
    [
        *("10k,5k", "5,5", "0", "0,5", "", ",", "5,", ",5", "1.5", "nan", "banana", "1e6", "-3", "5:", "5:Updates"),
        *(
            "3:foo",
            "3:",
            ":updates",
            "never:updates",
            "Never",
            "1:updates:steps",
            "5 k",
            "5k,never",
            "5:updates,6",
            "steps",
            "5..",
            "..5",
            "5k...5M",
            "5,10..20",
            "5..20:updates",
            "5..20..40",
            "never..5",
            "5..never",
            "20k..20k",
            "20k..5k",
            "5..0",
        ),
    ],
)
def test_what_is_no_period_is_refused_by_name(text):
    with pytest.raises(ValueError) as refused:
        period(text)
    assert repr(text) in str(refused.value)


def test_an_unknown_unit_is_told_the_known_ones():
    with pytest.raises(ValueError, match="no unit 'foo'; write one of steps, updates, targets, episodes, tasks"):
        period("3:foo")


@pytest.mark.parametrize(
    "text",
    ["100k", "1k:updates", "1:targets", "20k,40k", "1,2:episodes", "1k:updates..2.5M", "20k..100k", "never"],
)
def test_a_period_reads_what_it_wrote(text):
    assert str(period(text)) == text
    assert period(str(period(text))) == period(text)


def test_never_is_falsy_and_every_other_period_is_not():
    assert not NEVER
    assert Period(1)
    assert Period(at=(5,))


@pytest.mark.parametrize(
    ("text", "crossed"),
    [
        ("10", {0: 0, 9: 0, 10: 1, 11: 1, 19: 1, 20: 2, 35: 3}),
        ("10,25", {0: 0, 9: 0, 10: 1, 24: 1, 25: 2, 10**9: 2}),
        ("20..100", {0: 0, 20: 1, 80: 4, 99: 4, 100: 4, 101: 4, 10**9: 4}),
        ("20..101", {80: 4, 99: 4, 100: 5, 101: 5, 10**9: 5}),
        ("never", {0: 0, 10**9: 0}),
        ("1:updates", {0: 0, 1: 1, 7: 7}),
    ],
)
def test_a_period_has_come_round_when_its_clock_has_crossed_it(text, crossed):
    assert {clock: period(text).crossed(clock) for clock in crossed} == crossed


@given(st.integers(1, 50), st.lists(st.integers(0, 30), max_size=20))
def test_however_a_clock_moves_a_period_comes_round_as_often(n, moves):
    clock, fired = 0, 0
    for move in moves:
        before, clock = clock, clock + move
        fired += Period(n).crossed(clock) - Period(n).crossed(before)
    assert fired == clock // n


@given(st.integers(1, 50), st.integers(2, 500), st.lists(st.integers(0, 30), max_size=20))
def test_a_period_with_an_end_comes_round_at_each_multiple_below_it(n, until, moves):
    every, clock, fired = Period(n, until=until), 0, 0
    for move in moves:
        before, clock = clock, clock + move
        fired += every.crossed(clock) - every.crossed(before)
    assert fired == len([k for k in range(n, clock + 1, n) if k < until])


def test_a_period_that_ends_before_its_first_time_says_so():
    with pytest.raises(ValueError, match=r"'20k\.\.20k' never comes round; it ends before 20k, so write more than 20k"):
        period("20k..20k")


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400), ("007m", 420)]
)
def test_a_duration_in_seconds(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1.5h", "3x", "1e3", "2 h", "2h30m", "nan", "never", "1w", "+5", "²"])
def test_what_is_no_duration_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"is not a duration; write e.g. 90s, 30m, 2h or 1d") as refused:
        duration(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("dormant > 0.3", When("dormant", True, 0.3, 0.3)),
        ("dormant>0.3 rearm .2", When("dormant", True, 0.3, 0.2)),
        ("return/train < 20 rearm 30", When("return/train", False, 20, 30)),
        ("never", NOWHEN),
    ],
)
def test_a_condition_is_read_and_written(text, condition):
    assert when(text) == condition
    assert when(str(condition)) == condition
    assert bool(condition) == (text != "never")


@pytest.mark.parametrize("level", ["0.12345678", "1234567.5", "1e-09", "3"])
def test_a_condition_is_written_with_every_digit_of_its_level(level):
    assert str(when(f"dormant > {level}")) == f"dormant > {level}"


@pytest.mark.parametrize("text", ["dormant > nan", "dormant < inf", "dormant > -inf", "dormant > 0.3 rearm -inf"])
def test_a_level_that_is_no_finite_number_is_refused(text):
    with pytest.raises(ValueError, match="a level must be a finite number"):
        when(text)


@pytest.mark.parametrize("text", ["dormant", "dormant > x", "dormant = 3", "> 0.3", "dormant > 0.3 until 0.2", ""])
def test_what_is_no_condition_says_how_one_is_written(text):
    with pytest.raises(ValueError, match=r"write e\.g\. 'dormant > 0\.3'"):
        when(text)


def test_a_condition_that_would_never_be_armed_again_is_refused():
    with pytest.raises(ValueError, match=r"rearm on the near side of 0\.3"):
        when("dormant > 0.3 rearm 0.4")
