"""What a mutant's life does to itself: resume without one entry of the state, or without one act of resuming."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dm_env

import agents.main
import agents.session
from agents.session import Session
from runs import chunks, pack
from runs.checkpoint import Loaded
from runs.record import Recorder
from tests.soak import faults, ledger
from tests.soak.ledger import State

Setup = Callable[[], None]
COLUMNS = ("frame", "action", "reward", "discount", "step_type", "age")


def unloaded(session: Session) -> list[State]:
    """The state of an object that nothing was loaded into: after a reset, and as constructed."""
    made = session.env.state_dict()
    session.now = session.env.reset(0)
    state = session.state_dict()
    return [pack.decode(*pack.encode(each)) for each in (state, {**state, "env": made})]


def without(saved: State, fresh: list[State], name: str) -> State | None:
    """`saved` with the entry as a fresh object has it; None if that is no difference."""
    paths = ledger.entries(saved)[name]
    mutants = (ledger.forget(saved, each, paths) for each in fresh)
    return next((each for each in mutants if not ledger.same(each, saved)), None)


def survey(path: Path) -> Setup:
    """Write which entries there are, and whether a fresh object lacks them, to a file; then end."""

    def load(self: Session, loaded: Loaded) -> dm_env.TimeStep:
        fresh = unloaded(self)
        found = {name: without(loaded.state, fresh, name) is not None for name in ledger.entries(loaded.state)}
        path.write_text(json.dumps(found))
        os._exit(0)

    return patched("load", load)


def entry(name: str, checked: bool = False) -> Setup:
    """Resume without an entry; "" forgets nothing and loads into an object that has played. checked: digest and all."""
    proper = Session.load

    def load(self: Session, loaded: Loaded) -> dm_env.TimeStep:
        fresh = unloaded(self)
        state = without(loaded.state, fresh, name) if name else loaded.state
        assert state is not None
        if not checked:
            pack.digest = lambda state: loaded.digest
        return proper(self, replace(loaded, state=state))

    return patched("load", load)


def patched(name: str, method: Callable[..., Any]) -> Setup:
    def setup() -> None:
        faults.small()
        setattr(Session, name, method)

    return setup


def acts() -> dict[str, Setup]:
    """Everything of a resume that is no entry of the state: rows, log, loop, memory order."""
    rows = {f"replay rows: {column}": thawed(column) for column in COLUMNS}
    return rows | {
        "replay rows: tail": thawed("", "tail-"),
        "replay rows: chunks": thawed("", "chunk-"),
        "metrics: rows kept up to the cursor": recorder(lambda path, cursor, step: Recorder(path, 0, step)),
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
    faults.small()
    proper = agents.main.interact

    def interact(agent: Any, env: Any, now: dm_env.TimeStep, resumed: bool) -> Iterator[dm_env.TimeStep]:
        return proper(agent, env, now)

    agents.main.interact = interact


def contiguous() -> None:
    faults.small()
    proper = Session.load

    def load(self: Session, loaded: Loaded) -> dm_env.TimeStep:
        now = proper(self, loaded)
        for part in self.agent.parts.values():
            for slots in part.opt.state.values():
                slots.update({name: slot.contiguous() for name, slot in slots.items()})
        return now

    Session.load = load
