"""What a mutant's life does to itself: resume without one entry of the state, or without one act of resuming."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import agents.session
from agents.arena import Arena
from agents.learner import Learner
from agents.school import School
from agents.session import Session
from runs import chunks, pack
from runs.checkpoint import Loaded
from runs.record import Recorder
from tests.soak import faults, ledger
from tests.soak.cases import Case
from tests.soak.ledger import State

Setup = Callable[[], None]
COLUMNS = ("frame", "action", "reward", "discount", "step_type", "age")


def unloaded(session: Session) -> list[State]:
    """The state of an object that nothing was loaded into: as constructed, and after a reset. It has then played."""
    world = session.world
    if isinstance(world, Arena):
        made = world.env.state_dict()
        world.now = world.env.reset(0)
        state = session.state_dict()
        fresh = [state, {**state, "world": {**state["world"], "env": made}}]
    else:
        assert isinstance(world, School)
        fresh = [session.state_dict()]
        world.data.turn()
    return [pack.decode(*pack.encode(each)) for each in fresh]


def without(saved: State, fresh: list[State], name: str) -> State | None:
    """`saved` with the entry as a fresh object has it; None if that is no difference."""
    paths = ledger.entries(saved)[name]
    mutants = (ledger.forget(saved, each, paths) for each in fresh)
    return next((each for each in mutants if not ledger.same(each, saved)), None)


def survey(path: Path) -> Setup:
    """Write which entries there are, and whether a fresh object lacks them, to a file; then end."""

    def load(self: Session, loaded: Loaded) -> None:
        fresh = unloaded(self)
        found = {name: without(loaded.state, fresh, name) is not None for name in ledger.entries(loaded.state)}
        path.write_text(json.dumps(found))
        os._exit(0)

    return patched("load", load)


def entry(name: str, checked: bool = False) -> Setup:
    """Resume without an entry; "" forgets nothing and loads into an object that has played. checked: digest and all."""
    proper = Session.load

    def load(self: Session, loaded: Loaded) -> None:
        fresh = unloaded(self)
        state = without(loaded.state, fresh, name) if name else loaded.state
        assert state is not None
        if not checked:
            pack.digest = lambda state: loaded.digest
        proper(self, replace(loaded, state=state))

    return patched("load", load)


def patched(name: str, method: Callable[..., Any]) -> Setup:
    def setup() -> None:
        faults.small()
        setattr(Session, name, method)

    return setup


def acts(case: Case) -> dict[str, Setup]:
    """Everything of a resume that is no entry of the state: rows, log, loop, memory order."""
    rows = {f"replay rows: {column}": thawed(column) for column in COLUMNS} | {
        "replay rows: tail": thawed("", "tail-"),
        "replay rows: chunks": thawed("", "chunk-"),
    }
    return (rows if case.plays else {}) | {
        "metrics: rows kept up to the cursor": recorder(lambda path, cursor, *rest: Recorder(path, 0, *rest)),
        "metrics: rows behind the cursor cut off": truncation,
        "loop: entered at the yield": entered_anew,
        "optimizer: memory order of the moments": contiguous,
    }


def thawed(column: str, prefix: str = "") -> Setup:
    """Rows come back as zeros: one column, or all of them in files that begin with the prefix."""
    proper = chunks.thaw

    def thaw(folder: Path, piece: Any, limit: int) -> Any:
        arrays = dict(proper(folder, piece, limit))
        for name in arrays if piece.file.name.startswith(prefix) else ():
            if column in ("", name):
                arrays[name] = 0 * arrays[name]
        return arrays

    def setup() -> None:
        faults.small()
        chunks.thaw = thaw

    return setup


def recorder(make: Callable[..., Recorder]) -> Setup:
    def setup() -> None:
        faults.small()
        agents.session.Recorder = make

    return setup


def truncation() -> None:
    faults.small()
    os.truncate = lambda path, length: None


def entered_anew() -> None:
    """The first life's way into the loop: a step, where the resumed one still owes the last step's updates."""
    faults.small()
    for world in (Arena, School):
        world.loop = stepping(world.loop)


def stepping(proper: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
    def loop(self: Any, agent: Learner, resumed: bool = False) -> Iterator[None]:
        rows = proper(self, agent, resumed)
        if resumed:
            next(rows)
        return rows

    return loop


def contiguous() -> None:
    faults.small()
    proper = Session.load

    def load(self: Session, loaded: Loaded) -> None:
        proper(self, loaded)
        for part in self.agent.parts.values():
            for slots in part.opt.state.values():
                slots.update({name: slot.contiguous() for name, slot in slots.items()})

    Session.load = load
