"""Law 9. One word: one method or probe a file, its name the prefix of its flags, every flag with a sourced sentence.
Law 10. The run's name and its config list every active intervention."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

import interventions
import probes
from agents.flags import command_line, flatten, parse
from docs.methods import FLAGS, page, probe_page, table
from interventions.base import Intervention
from tests.laws.members import AGENTS, METHODS, homes, small, switched_on

ROOT = Path(__file__).resolve().parents[2]
SOURCE = re.compile(r"\d{4}|arXiv|algorithms|paper|BBF|Dopamine|timoklein|SAC", re.I)


def files(package):
    return [p for p in sorted(Path(package.__path__[0]).glob("*.py")) if p.stem not in (*package.FRAME, "__init__")]


def docstrings(path):
    """{class: {field: the string beneath it}}."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            rows = zip(node.body, [*node.body[1:], None], strict=True)
            found[node.name] = {
                a.target.id: b.value.value
                for a, b in rows
                if isinstance(a, ast.AnnAssign) and isinstance(b, ast.Expr) and isinstance(b.value, ast.Constant)
            }
    return found


@pytest.mark.parametrize("path", files(interventions), ids=lambda p: p.stem)
def test_a_file_holds_one_method_with_prefixed_and_sourced_flags(path):
    (kind,) = [k for k in docstrings(path) if k == METHODS[path.stem].__name__]
    method = METHODS[path.stem]
    assert issubclass(method, Intervention)
    assert "reach" in vars(method)
    assert re.search(r"\(.*\d{4}", ast.get_docstring(ast.parse(path.read_text())).splitlines()[0])
    for f in fields(method):
        assert f.name.startswith(f"{path.stem}_")
        assert SOURCE.search(docstrings(path)[kind][f.name]), f"{f.name} names no source"
    assert not fields(method)[0].default, "the first field is the switch, off by default"


@pytest.mark.parametrize("path", files(probes), ids=lambda p: p.stem)
def test_a_file_holds_one_probe_that_states_its_source(path):
    assert len(docstrings(path)) >= 1
    assert SOURCE.search(ast.get_docstring(ast.parse(path.read_text())))


def test_the_table_of_methods_is_current():
    assert (ROOT / "docs" / "methods.md").read_text() == page()
    assert (ROOT / "docs" / "probes.md").read_text() == probe_page()
    assert table() in (ROOT / "README.md").read_text()


def test_every_flag_of_the_table_of_networks_is_a_flag():
    known = {key for config in (c for _, c in AGENTS.values()) for key in dict(flatten(command_line(config)()))}
    named = {word for _, _, flags, _ in FLAGS for word in re.findall(r"--([a-z-]+)", flags)}
    assert {word.replace("-", "_") for word in named} <= known


@pytest.mark.parametrize(("name", "method"), [(a, m) for a in AGENTS for m in METHODS])
def test_the_run_is_named_after_every_active_method(name, method):
    config = AGENTS[name][1]
    env = homes(name)[0]
    flags, switch = [f"--env={env}", "--preset=none", *small(name)], switched_on(method, name, env)
    off, on = parse(name, config, flags), parse(name, config, [*flags, *switch])
    assert off.directory != on.directory
    assert method in on.directory.parts[-2].split("+")
    assert method not in off.directory.parts[-2].split("+")
    word, _, value = switch[0].partition("=")
    assert str(on.saved()[word[2:].replace("-", "_")]) == (value or "True")
