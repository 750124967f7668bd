"""--help: every flag once, in its group, with words and a unit."""

import re
import sys
from subprocess import PIPE, Popen

import pytest

from agents.dqn import DQNConfig
from agents.flags import parse
from interventions import methods
from tests.agents.tiny import parsed


@pytest.fixture(scope="module")
def told():
    """{group: {flag: help text}}, as printed."""
    import contextlib
    import io

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("COLUMNS", "100")
        patch.setattr("tyro._fmtlib._should_use_utf8_drawing_chars", lambda: True)
        with pytest.raises(SystemExit) as stop:
            parse("dqn", DQNConfig, ["--help"])
    assert stop.value.code == 0
    groups, group = {}, {}
    for line in out.getvalue().splitlines():
        if line.startswith("╭"):
            group = groups[line.strip("╭─╮ ").removesuffix("options").strip()] = {}
        elif line.startswith(("│ --", "│ -h")):
            flag = re.search(r"--[a-z0-9-]+", line)[0]
            group[flag] = line.strip("│ ")
        elif line.startswith("│  ") and group:
            group[flag] += " " + line.strip("│ ")
    return groups


def test_flags_are_grouped_by_what_they_belong_to(told):
    agent = ["agent", "agent.learn", "agent.learn.optim", "agent.rl", "agent.net"]
    assert [g for g in told if told[g]] == ["", "run", "game", "tasks", *agent, *methods()]
    assert "--lr" in told["agent.learn.optim"]
    assert "--reset-groups" in told["reset"]


def test_every_flag_is_in_the_help(told):
    shown = {flag for group in told.values() for flag in group}
    assert {f"--{key.replace('_', '-')}" for key in parsed().flat} <= shown


def test_every_flag_has_words_of_its_own_and_its_default(told):
    for group in told.values():
        for flag, text in group.items():
            if flag != "--help":
                words = text.partition("(default:")[0].split()
                assert len(words) >= 5, text
                assert "(default:" in text


UNIT = r"steps?|frames|updates|targets|tasks|losses|minibatches|gradients|injections|samples"


def test_every_count_and_period_names_its_unit(told):
    for group in told.values():
        for text in group.values():
            if "COUNT" in text or "PERIOD" in text:
                assert re.search(UNIT, text.partition("(default:")[0], re.I), text


def test_the_head_says_how_a_period_is_written(capsys):
    with pytest.raises(SystemExit):
        parse("dqn", DQNConfig, ["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Periods: 100k (agent steps), 1k:updates, 20k,40k, 20k..100k (below 100k), never." in said


def test_a_reader_that_leaves_is_no_bug():
    with Popen([sys.executable, "-m", "agents.dqn", "--help"], stdout=PIPE, stderr=PIPE, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, "")
