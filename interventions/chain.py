"""The chain: the active interventions in order of reach, their state, and the record of what they did."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

import numpy as np
from torch import Tensor

from interventions.base import Intervention
from interventions.link import Link, heard
from nets.anatomy import Tape, record
from nets.part import Make, Part, Weights
from nets.subject import Loss, Subject
from replay.batch import Batch

WHOLE = ("loss", "grad", "q", "policy", "speed")  # kinds of which every number stands in the same row
ONCE = 1  # row since the first update that may lack a number: what compares with the last time is undefined at first


class Unheard(ValueError):
    """A condition on a number that is not recorded."""

    code = 2


class Chain:
    """All hook points of interventions/base.py, over every active method; empty when nothing is switched on."""

    def __init__(self, methods: Sequence[Intervention] = ()) -> None:
        self.methods = sorted((m for m in methods if m.on), key=lambda m: (m.reach, m.name()))
        self.links: list[Link] = []
        self.events: list[dict[str, float]] = []
        self.tapes: dict[str, Tape] = {}  # of each part, as it was when its last loss came
        self.running: dict[str, Tape] = {}
        self.firing = False
        self.left: list[Callable[[], None]] = []
        self.metrics: dict[str, float] = {}  # the last recorded number of every tag
        self.settle: Callable[[], None] = lambda: None  # what the agent does as soon as a method has fired

    def build(self, part: str, make: Make) -> Make:
        for method in self.methods:
            make = method.on_build(part, make)
        return make

    def start(
        self,
        view: Callable[[np.random.Generator], Subject],
        stream: Callable[..., np.random.Generator],
        clock: dict[str, int],
    ) -> None:
        """view: the agent seen through a generator; stream: the generator of a name. Raises all refusals at once."""
        self.clock = clock
        problems: list[str] = []
        for method in self.methods:
            name, rng = method.name(), stream(method.name())
            subject = view(rng)

            def witness(name: str = name) -> Subject:
                return view(stream("witness", name, clock["steps"], clock["updates"]))

            problems += [*unknown(method, subject), *idle(method, self.methods, subject), *barred(method, self.methods)]
            problems += method.refuse(subject)
            self.links.append(Link(method, rng, subject, witness, self.settle))
        if problems:
            raise ValueError("\n".join(problems))
        for link in self.links:
            link.state = link.method.init(link.subject)
            link.fired = link.crossed
        self.watched = any(m.watches for m in self.methods)
        self.feeding, self.losing, self.backing, self.updated, self.lending = (
            [x for x in self.links if getattr(type(x.method), hook) is not getattr(Intervention, hook)]
            for hook in ("before_update", "on_loss", "after_backward", "after_update", "acting")
        )
        busy = {x.name for hooked in (self.feeding, self.losing, self.backing, self.updated) for x in hooked}
        self.busy = [x for x in self.links if x.name in busy]  # act at every update

    def acting(self, part: str) -> Weights | None:
        """Weights that act in place of a part's own, if a method has any."""
        rows = (link.method.acting(link.state, link.subject, part) for link in self.lending)
        return next((row for row in rows if row is not None), None)

    # ---- before the first update

    def ahead(self) -> int:
        """Updates that methods have still to make before the agent's first one."""
        return sum(max(0, of - made) for made, of in (x.method.prelude(x.state) for x in self.links))

    def pretrain(self) -> str:
        """One of them, and how far the method then is; "" if none is left."""
        for link in self.links:
            made, of = link.method.prelude(link.state)
            if made < of:
                link.hook(link.method.pretrain)
                return f"{link.name}: {made + 1:,} of {of:,} offline updates"
        return ""

    # ---- hook points of an update

    @contextmanager
    def watching(self, parts: Mapping[str, Part]) -> Iterator[None]:
        """Within the block the forward passes of an update are kept on tape, if a method watches."""
        if not self.watched:
            yield
            return
        with ExitStack() as stack:
            self.running = {name: stack.enter_context(record(part.net)) for name, part in parts.items()}
            self.tapes = dict(self.running)
            yield

    def before_update(self, batch: Batch) -> Batch:
        for link in self.busy:
            link.report({"updates": 1.0})
        for link in self.feeding:
            batch = link.hook(link.method.before_update, batch)
        return batch

    def on_loss(self, loss: Loss, batch: Batch) -> Tensor:
        if self.watched:
            self.tapes[loss.part] = self.running[loss.part].cut()
        for link in self.losing:
            value = link.hook(link.method.on_loss, loss, batch)
            if value is not loss.value:
                link.report({f"loss/{loss.part}": value.detach() - loss.value.detach()})
                loss = loss._replace(value=value)
        return loss.value

    def after_backward(self, part: str, batch: Batch) -> None:
        for link in self.backing:
            link.report(link.hook(link.method.after_backward, part, batch))
        if self.watched:  # a part may have a second loss in this update
            self.running[part].clear()

    def after_update(self) -> None:
        for link in self.updated:
            link.report(link.hook(link.method.after_update))

    # ---- firing

    def tick(self) -> None:
        """Fire what has fallen due."""
        due = [link for link in self.links if link.due()]
        if not due:
            return
        self.firing = True
        redrawing = [link for link in due if link.method.redrawing(link.state, link.subject)]
        for link in self.links if redrawing else ():
            link.method.before_reset(link.state, link.subject)
        redrawn: dict[str, set[str]] = {}
        for link in due:
            row, moved = link.fire()
            self.events.append({"step": self.clock["steps"], **row})
            for name, paths in moved.items() if link in redrawing else ():
                redrawn[name] = redrawn.get(name, set()) | paths
        if redrawing:
            self.clock["resets"] += 1
            for link in self.links:
                if row := link.follow(redrawn):
                    self.events.append({"step": self.clock["steps"], **row})
        self.firing = False
        while self.left:
            self.left.pop(0)()

    def leave(self, act: Callable[[], None]) -> None:
        """Left to the end of the tick, so that all that fires with it still has states to read; where none is, now."""
        if self.firing:
            self.left.append(act)
        else:
            act()

    # ---- what is recorded

    def observe(self, row: Mapping[str, float]) -> None:
        """A row that was recorded: conditions read it. Raises Unheard where a condition waits for no tag of the row."""
        row = {tag: x for tag, x in row.items() if not tag.startswith("speed/")}  # wall time is not to be resumed on
        self.metrics |= row
        for link in self.links:
            tag = link.method.when.tag
            if not tag or heard(tag, self.metrics) is not None:
                continue
            kin = [t for t in row if t == (kind := kind_of(tag)) or t.startswith(f"{kind}/")]
            link.misses += bool(kin) and self.clock["updates"] > 0  # an optimizer has nothing to read before
            if kind_of(tag) == "speed" or link.misses > ONCE:
                raise Unheard(f"{link.name}_when: no number {tag!r} is recorded{nearest(tag, kin)}")

    def drain(self) -> list[dict[str, float]]:
        """The event rows since the last call."""
        events, self.events = self.events, []
        return events

    def summary(self) -> dict[str, float]:
        """One row of what the hooks of every update did since the last one."""
        return {tag: x for link in self.links for tag, x in link.summary().items()}

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        links = {link.name: link.state_dict() for link in self.links}
        return {"links": links, "metrics": [list(row) for row in self.metrics.items()] if links else []}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.metrics = dict(state["metrics"])
        for link in self.links:
            link.load_state_dict(state["links"].get(link.name))


def kind_of(tag: str) -> str:
    """What comes in one row with a number: the tags of its probe, or of all losses."""
    first = tag.removeprefix("probe/").partition("/")[0]
    return first if first in WHOLE and not tag.startswith("probe/") else f"probe/{first}"


def nearest(tag: str, known: Sequence[str]) -> str:
    near = get_close_matches(tag, [*known, *(t.removeprefix("probe/") for t in known)], 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def barred(method: Intervention, methods: Sequence[Intervention]) -> list[str]:
    """A sentence for each active method that this one excludes."""
    active = [m.name() for m in methods]
    return [f"{method.name()} and {other}: {why}" for other, why in method.excludes.items() if other in active]


def idle(method: Intervention, methods: Sequence[Intervention], subject: Subject) -> Iterator[str]:
    """A sentence if it waits for what never comes: resets that no active method makes, or it alone; hard copies."""
    switch, unit = fields(method)[0].name, method.period.unit if method.period else ""
    if unit == "targets" and not any(part.tau == 1.0 for part in subject.parts.values()):
        names = ", ".join(subject.parts)
        yield f"{switch} {method.period}: part {names} has no hard target copies; write e.g. 2k:updates"
    if method.redraws and unit == "resets":
        yield f"{switch}: each firing is itself a reset; take another unit, e.g. 100k (agent steps)"
    elif method.waits and not any(m.redraws for m in methods):
        yield f"{switch} does nothing where no network is drawn anew; add e.g. --reset-every 100k"


def unknown(method: Intervention, subject: Subject) -> list[str]:
    """Groups and parts that a method names and no part of the agent has."""
    groups = sorted({g for part in subject.parts.values() for g in part.groups()})
    known = {"groups": groups, "skip": [*groups, "norm"], "parts": list(subject.parts)}
    rows = []
    for f in fields(method):
        kind = f.name.rpartition("_")[2]
        for word in str(getattr(method, f.name)).split(",") if kind in known else ():
            if word and word not in known[kind]:
                near = get_close_matches(word, known[kind], 1, 0)
                hint = f"; did you mean {near[0]}?" if near else ""
                rows.append(f"{f.name}: no {kind.rstrip('s')} {word!r}, there are {', '.join(known[kind])}{hint}")
    return rows
