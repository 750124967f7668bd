"""The tables at the end, and the verdict."""

from collections.abc import Sequence
from typing import Any

Result = dict[str, Any]
HEAD = ("case", "kills", "stops", "resumes", "runs", "equal", "slowest stop")


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need be; numbers to the right."""
    text = [[f"{x:.2f} s" if isinstance(x, float) else str(x) for x in row] for row in rows]
    columns = list(zip(*text, strict=True))
    widths = [max(map(len, column)) for column in columns]
    sides = [">" if all(cell[:1].isdigit() for cell in column[1:]) else "<" for column in columns]
    forms = [f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True)]
    return "\n".join("  ".join(forms).format(*row).rstrip() for row in text)


def first_line(text: str) -> str:
    return text.partition("\n")[0]


def summary(results: dict[str, Result]) -> tuple[str, list[str]]:
    """All tables, and a sentence on everything that does not hold."""
    scores = [score for result in results.values() for score in result.get("scores", [])]
    befallen = [row for result in results.values() for row in result.get("accidents", [])]
    verdicts = [row for result in results.values() for row in result.get("verdicts", [])]
    wrong = [str(result["broken"]) for result in results.values() if "broken" in result]
    wrong += [failure for score in scores for failure in score["failures"]]
    wrong += [f"{name}: {what}" for name, what in befallen if what and not what.startswith("skipped")]
    wrong += [f"mutant {row['name']} was missed: {row['how']}" for row in verdicts if row["verdict"] == "missed"]
    wrong += [f"a load without {row['name']} is not refused" for row in verdicts if row["loaded"]]
    parts = [kills(scores), accidents(befallen), mutants(verdicts)]
    return "\n\n".join(part for part in parts if part), wrong


def kills(scores: list[Result]) -> str:
    if not scores:
        return ""
    columns = ("kills", "stops", "resumes", "runs", "equal")
    rows = [[score["name"], *(score[c] for c in columns), score["slowest"]] for score in scores]
    total = ["all", *(sum(score[c] for score in scores) for c in columns), max(score["slowest"] for score in scores)]
    return table([HEAD, *rows, total])


def accidents(rows: list[Sequence[str]]) -> str:
    if not rows:
        return ""
    return table([("accident", "outcome"), *((name, first_line(what) or "ok") for name, what in rows)])


def mutants(rows: list[Result]) -> str:
    """Each mutant that was tried, then the entries that need none."""
    if not rows:
        return ""
    of = {
        kind: [row for row in rows if row["verdict"] == kind] for kind in ("caught", "missed", "redundant", "constant")
    }
    lines = [("mutant: a resume without", "verdict", "where", "how it is noticed, or why it need not be")]
    lines += [(row["name"], kind, row["where"], row["how"]) for kind in of if kind != "constant" for row in of[kind]]
    reasons = {
        row["how"]: [each["name"] for each in of["constant"] if each["how"] == row["how"]] for row in of["constant"]
    }
    text = [table(lines), ", ".join(f"{len(rows)} {kind}" for kind, rows in of.items())]
    text += [f"constant, {why}: {', '.join(names)}" for why, names in reasons.items()]
    return "\n".join(text)
