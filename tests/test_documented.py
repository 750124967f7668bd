"""Every whole command line of README.md and docs/*.md is understood, and nothing about it is refused."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import tyro

from agents.build import problems
from agents.flags import parse
from agents.probe import Measure, Report, named, understood
from agents.snapshots import kinds
from agents.trainability import Trainability
from tests.pictures import drawn

ROOT = Path(__file__).resolve().parent.parent
LINE = re.compile(r"^ {4}\S*python -m (.+)$|`python -m ([^`]+)`", re.MULTILINE)  # indented, or between backticks


def whole(text):
    """Lines without comments and brackets, but for those with a word that stands for others: RUN, NAMES, RUN..."""
    for indented, inline in LINE.findall(text):
        words = shlex.split(re.sub(r"[][]", "", indented or inline), comments=True)
        if not any(word.isupper() or word.endswith("...") for word in words):
            yield words


def documented():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    lines = {" ".join(words): words for page in pages for words in whole(page.read_text())}
    return [
        pytest.param(words[0], words[1:], id=line, marks=drawn if "drq" in words[0] else [])
        for line, words in lines.items()
    ]


@pytest.mark.parametrize(("module", "flags"), documented())
def test_a_line_that_is_documented_can_be_run(module, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").touch()
    folder, name = module.split(".")
    if folder != "agents":
        tyro.cli(getattr(import_module(module), name.capitalize()), args=flags)
    elif name != "probe":
        assert problems(parse(name, kinds(name)[1], flags)) == []
    elif flags[0] == "trainability":
        assert understood(Trainability, flags[1:], flags[0]).problems() == []
    else:
        assert flags[0] == "report" or named(flags[0])
        understood(Report if flags[0] == "report" else Measure, flags[1:], flags[0])


def test_lines_are_found_indented_and_between_backticks_without_comments():
    lines = (
        "As `python -m a.b\n--c 'd e'` or",
        "    .venv/bin/python -m f.g [--h i]   # why",
        "    python -m f.g RUN...",
    )
    assert list(whole("\n".join(lines))) == [["a.b", "--c", "d e"], ["f.g", "--h", "i"]]
    assert {row.values[0] for row in documented()} >= {"agents.dqn", "agents.drq", "agents.probe", "runs.aggregate"}
