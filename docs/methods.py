"""docs/methods.md, docs/probes.md and the README's table, made from interventions/ and probes/: `make docs`."""

import inspect
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from interventions import methods
from interventions.base import Intervention
from probes import measurements
from runs.units import Period

TABLE = """# Methods

Made from the files of interventions/ by `make docs`. Each is one file; any of them can be combined with any other, on
every agent and network, unless the last column says otherwise: then the run is refused with a sentence at its start.

{table}
## Networks, losses and optimizers

These are flags of the agent, because they decide what is built.

{flags}
## What each method computes, and where it differs from its source

{sections}"""
PROBES = """# Probes

Made from the files of probes/ by `make docs`. `--probes cheap` (the default) measures the cheap ones every
`--probe-every` steps, `mid` those too that take longer, `all` the dear ones, for `--deep-every`; names choose
single ones. `python -m agents.probe NAMES RUN` measures them on the snapshots of a run. Each number is
`probe/<file>/<tag>`; a number that is undefined is absent, one of a network that is not finite is NaN. Only
`trainability` fits targets: none of the others is a measure of plasticity.

| probe | cost | what it reads |
|---|---|---|
{table}
{sections}"""
BEGIN, END = "<!-- methods -->\n", "<!-- /methods -->"

# (method, its paper, the flag, what it does)
FLAGS = (
    (
        "LayerNorm",
        "Ba et al. 2016; Lyle et al. 2023",
        "--norm layer",
        "writer, LayerNorm, activation in every hidden layer",
    ),
    (
        "LayerNorm over channels",
        "Liu et al. 2022",
        "--norm layer_channels --norm-eps 1e-6",
        "the same at each position of a convolution, as flax's",
    ),
    ("GroupNorm", "Wu & He 2018", "--norm group --norm-groups 8", "the same with groups of units"),
    (
        "QK-norm",
        "Dehghani et al. 2023",
        "--qk-norm",
        "of queries and keys in the vision transformer, of the classifier alone",
    ),
    ("Leaky ReLU", "Maas et al. 2013; Lyle et al. 2023", "--activation leaky_relu --slope .01", "no unit dies"),
    ("PReLU", "He et al. 2015", "--activation prelu", "a learned slope per unit"),
    ("CReLU", "Abbas et al. 2023", "--activation crelu", "[relu x, relu -x]"),
    ("tanh", "-", "--activation tanh", "saturates instead of dying"),
    ("Deep Fourier features", "Lewandowski et al. 2024", "--activation fourier", "[sin x, cos x]"),
    ("HL-Gauss, two-hot", "Farebrother et al. 2024", "--loss hl_gauss, --loss two_hot", "values by classification"),
    ("Two-hot of symlog", "Hafner et al. 2023", "--loss two_hot_symlog", "the same over many decades of values"),
    ("C51", "Bellemare et al. 2017", "--loss c51 --bins 51 --value-range -10 10", "the distribution of the return"),
    ("QR-DQN", "Dabney et al. 2018", "--loss quantile --bins 200", "its quantiles"),
    ("Noisy layers", "Fortunato et al. 2018", "--noisy .5", "learned noise on the weights explores"),
    ("Slow network acts", "D'Oro et al. 2023; Schwarzer et al. 2023", "--act-by target", "in training and evaluation"),
    (
        "Annealed n and gamma",
        "Schwarzer et al. 2023",
        "--n-step-start 10 --gamma-start .97 --anneal-updates 10k",
        "from the start of each cycle of resets",
    ),
    ("Prioritised replay", "Schaul et al. 2016", "--priority-exponent .5", "what is learned badly is drawn more often"),
    (
        "Target-scale ladder",
        "Lyle et al. 2024",
        "--target-scale 1 10 100; Pong@reward=10",
        "a scale of targets per task: of the classifier, which alone has the flag; of rewards",
    ),
    ("Adam's eps and betas", "Lyle et al. 2023", "--eps, --betas", "a bound on the step; a fresher second moment"),
    ("AdamW", "Loshchilov & Hutter 2019", "--optimizer adamw --weight-decay", "decoupled decay of matrices"),
    ("Coupled L2", "-", "--optimizer adam --weight-decay", "decay that joins the gradient, matrices only"),
    (
        "Adam-Rel",
        "Ellis et al. 2024",
        "--optreset-every 1:targets --optreset-what step",
        "Adam's step count begins anew with each target copy: the method optreset",
    ),
    ("Adam with a step per element", "Dohare et al. 2024", "--adam-step elements", "recycled weights begin anew"),
    ("TRAC", "Muppidi et al. 2024", "--optimizer trac", "a parameter-free step from the reference point"),
    ("UPGD", "Elsayed & Mahmood 2024", "--optimizer upgd, adam_upgd", "perturbs weights of little utility"),
)


def table() -> str:
    """A row for each method: name, paper, switch, what it touches."""
    rows = ["| method | what it is | switch | touches |", "|---|---|---|---|"]
    for name, method in methods().items():
        rows.append(f"| `{name}` | {inspect.getdoc(method)} | `{switch(method)}` | {method.touches} |")
    return "\n".join(rows) + "\n"


def full_table() -> str:
    """The same with when it fires, its settings, and what it cannot do without or beside."""
    rows = ["| method | what it is | switch | fires | touches | other settings | needs, and is refused with |"]
    rows += ["|---|---|---|---|---|---|---|"]
    for name, method in methods().items():
        needs = method.needs and f"needs `{method.needs}`"
        reset = "needs a method that redraws, e.g. `--reset-every`" if method.follows else ""
        bounds = "; ".join(filter(None, [needs, reset, method.clashes])) or "nothing"
        cells = (
            f"`{name}`",
            inspect.getdoc(method),
            f"`{switch(method)}`",
            fires(method),
            method.touches,
            settings(method),
        )
        rows.append(f"| {' | '.join(map(str, cells))} | {bounds} |")
    return "\n".join(rows) + "\n"


def switch(method: type[Intervention]) -> str:
    return f"--{fields(method)[0].name.replace('_', '-')}"


def fires(method: type[Intervention]) -> str:
    if method.fires:
        return method.fires
    return "on a period or a condition" if isinstance(fields(method)[0].default, Period) else "every update"


def settings(method: type[Intervention]) -> str:
    """Every other field and its default."""
    rest = [f for f in fields(method)[1:] if not f.name.endswith("_when")]
    return ", ".join(f"`{f.name.removeprefix(method.name() + '_')}` {shown(f.default)}" for f in rest) or "none"


def shown(value: object) -> str:
    if value == "":
        return "all"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def flag_table() -> str:
    rows = ["| method | paper | flag | what it does |", "|---|---|---|---|"]
    return (
        "\n".join([*rows, *(f"| {name} | {paper} | `{flag}` | {what} |" for name, paper, flag, what in FLAGS)]) + "\n"
    )


def cell(kind: type) -> str:
    """A class's docstring as a cell of a table."""
    return " ".join((inspect.getdoc(kind) or "").split()).replace("|", "\\|")


def section(name: str, module: str) -> str:
    """A file's own docstring, under its name."""
    return f"### {name}\n\n{inspect.getdoc(import_module(module))}\n"


def page() -> str:
    sections = "\n".join(section(name, method.__module__) for name, method in methods().items())
    return TABLE.format(table=full_table(), flags=flag_table(), sections=sections)


def probe_page() -> str:
    found = measurements()
    rows = "\n".join(f"| `{name}` | {probe.cost} | {cell(type(probe))} |" for name, probe in found.items())
    sections = "\n".join(section(name, type(probe).__module__) for name, probe in found.items())
    return PROBES.format(table=rows + "\n", sections=sections)


def main() -> None:
    here = Path(__file__).parent
    (here / "methods.md").write_text(page())
    (here / "probes.md").write_text(probe_page())
    readme = here.parent / "README.md"
    head, rest = readme.read_text().split(BEGIN)
    readme.write_text(head + BEGIN + table() + END + rest.split(END, 1)[1])


if __name__ == "__main__":
    main()
