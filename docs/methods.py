"""docs/methods.md and the README's table, made from the interventions' own files: `make docs`."""

import inspect
from dataclasses import fields
from pathlib import Path

from interventions import methods

TABLE = """# Methods

Made from the files of interventions/ by `make docs`. Each is one file; any of them can be combined.

{table}"""
BEGIN, END = "<!-- methods -->\n", "<!-- /methods -->"


def table() -> str:
    """A row for each method: name, paper, switch, what it touches."""
    rows = ["| method | what it is | switch | touches |", "|---|---|---|---|"]
    for name, method in methods().items():
        switch = fields(method)[0].name.replace("_", "-")
        rows.append(f"| `{name}` | {inspect.getdoc(method)} | `--{switch}` | {method.touches} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    here = Path(__file__).parent
    (here / "methods.md").write_text(TABLE.format(table=table()))
    readme = here.parent / "README.md"
    head, rest = readme.read_text().split(BEGIN)
    readme.write_text(head + BEGIN + table() + END + rest.split(END, 1)[1])


if __name__ == "__main__":
    main()
