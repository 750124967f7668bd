"""A run in progress: what is measured, recorded and saved while an agent learns."""

import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from agents.flags import Settings
from agents.learner import Learner
from agents.readings import readings
from agents.tally import NotFinite
from agents.world import Row, World
from probes import chosen
from probes.base import Memory
from runs import directory, pack, snapshot
from runs.checkpoint import Damaged, Loaded, Store
from runs.fingerprint import differences, fingerprint
from runs.lock import RunLock
from runs.loop import Timetable
from runs.picture import draw
from runs.progress import Progress, say
from runs.record import Recorder
from runs.rng import stream
from runs.signals import Stop

MEASURED = ("eval", "probe", "deep", "snapshot", "record", "save")


class Session:
    """Owns everything of a run that is neither its world nor its agent."""

    def __init__(self, settings: Settings, world: World, agent: Learner, lock: RunLock, stop: Stop) -> None:
        self.settings, self.run, self.world, self.agent = settings, settings.run, world, agent
        self.path, self.stop = lock.run_dir, stop
        self.fingerprint = fingerprint(str(agent.device))
        self.store = Store(lock, self.fingerprint)
        self.table = Timetable({name: getattr(self.run, f"{name}_every") for name in MEASURED})
        self.probes = {"probe": chosen(self.run.probes), "deep": chosen(self.run.deep_probes)}
        self.memory: dict[str, Memory] = {}  # of each probe that keeps something
        self.exact, self.reason = True, ""
        self.ticked = False  # whether the tick of this step has been: a prelude is under way
        loaded = self.store.load()
        self.load(loaded) if loaded else world.begin()
        self.resumed = loaded is not None
        self.recorder = Recorder(self.path, loaded.extra["metrics"] if loaded else 0, self.step, lock.check)
        self.progress = Progress(self.run.steps, self.step)
        self.mark, self.marked = (time.monotonic(), time.process_time()), self.step

    @property
    def step(self) -> int:
        return self.agent.clock["steps"]

    # ---- measuring

    def write(self, row: Row) -> None:
        """Into the record, and before the eyes of the interventions."""
        self.recorder.write(self.step, row)
        self.agent.chain.observe(row)

    def measure(self) -> None:
        """Everything due at this step, before any intervention of this step."""
        self.events()  # of the step before
        for row in self.world.news(self.agent):
            self.write(row)
            if "return/train" in row:
                self.progress.remark(f"return {row['return/train']:g}")
        if self.table.due("eval", self.step) and not self.evaluate():
            self.table.put_off("eval")  # asked to stop: the resumed run begins with this evaluation
            return
        for kind, probes in self.probes.items():
            if self.table.due(kind, self.step):
                self.write(readings(self.agent, probes, self.run.probe_batch, self.memory, self.run.seed))
        if self.table.due("snapshot", self.step):
            self.snap()
        if self.table.due("record", self.step):
            self.write(self.row())
        self.progress.update(self.step)

    def events(self) -> None:
        """What the interventions have done."""
        for event in self.agent.chain.drain():
            self.recorder.write(int(event.pop("step")), event)
            self.agent.chain.observe(event)

    def row(self) -> dict[str, float]:
        """The means of the updates since the last row, and the speed."""
        metrics = self.agent.metrics()
        if not all(np.isfinite(list(metrics.values()))):
            raise NotFinite(", ".join(name for name, x in metrics.items() if not np.isfinite(x)), None)
        steps, before = self.step - self.marked, self.mark
        self.mark, self.marked = (time.monotonic(), time.process_time()), self.step
        wall, cpu = (max(b - a, 1e-9) for a, b in zip(before, self.mark, strict=True))
        clock = self.agent.clock
        extra = {"clock/extra": clock["extra"]} if clock["extra"] else {}
        return metrics | {
            "clock/updates": clock["updates"],
            **extra,
            "speed/steps": steps / wall,
            "speed/steps_per_cpu": steps / cpu,
        }

    def evaluate(self) -> bool:
        """False if asked to stop before the end."""
        self.progress.remark("evaluating")
        row = self.world.evaluate(self.agent, lambda: bool(self.stop))
        if row is not None:
            self.write(row)
        return row is not None

    def snap(self) -> None:
        """Keep what later probes need of this step."""
        parts = {name: part.state_dict() for name, part in self.agent.parts.items()}
        if self.run.snapshot_optim == "no":
            parts = {name: {**part, "opt": {}} for name, part in parts.items()}
        rng = stream(self.run.seed, "probe", "snapshot", self.step)
        replay = self.agent.replay.excerpt(snapshot.TRANSITIONS, rng, *self.agent.window)
        state = {
            "config": self.settings.saved(),
            "clock": dict(self.agent.clock),
            "parts": parts,
            "seen": {} if self.agent.seen is None else self.agent.seen.state_dict(),
        }
        snapshot.save(self.path, self.step, state, replay)

    # ---- saving

    def pause(self, due: bool) -> bool:
        """A safe point: save if due or asked to stop; whether it was asked."""
        leave = bool(self.stop)
        if due or leave:
            self.save()
        if leave:
            say(f"stopped by {self.stop} at step {self.step:,}; the same command line continues")
        return leave

    def pretrain(self) -> bool:
        """The updates that methods make before the agent's first one, a safe point behind each; whether it was stopped
        there. They are saved as often as the steps that owe as many."""
        agent = self.agent
        while agent.chain.ahead():
            self.ticked = True
            self.events()  # of this step's tick, before they can be saved
            if not agent.clock["updates"]:
                agent.targets.begin(agent.clock)  # as at the first update
            self.progress.remark(agent.chain.pretrain())
            self.progress.bar.miniters = 0  # drawn though no step passes
            self.progress.update(self.step)
            every = self.run.save_every.n
            if self.pause(every > 0 and agent.clock["extra"] % max(1, int(every * agent.pace.ratio)) == 0):
                return True
        self.ticked = False
        return False

    def state_dict(self) -> dict[str, Any]:
        return {
            "agent": self.agent.state_dict(),
            "world": self.world.state_dict(),
            "table": self.table.state_dict(),
            "probes": self.memory,
            **({"ticked": True} if self.ticked else {}),
        }

    def save(self) -> None:
        """A state that is not finite is never saved."""
        for name, part in self.agent.parts.items():
            if not all(bool(torch.isfinite(p).all()) for p in part.net.parameters()):
                raise NotFinite(name, None)
        state, cursor = self.state_dict(), self.recorder.flush()
        self.store.save(state, self.agent.replay.logs(), self.agent.clock, {"metrics": cursor}, self.exact, self.reason)

    def load(self, loaded: Loaded) -> None:
        """The state of a checkpoint into fresh objects; refused unless they then have the same digest."""
        for note in loaded.notes:
            say(note)
        self.exact, self.reason = loaded.exact, loaded.reason
        if other := differences(loaded.fingerprint, self.fingerprint):
            self.exact, self.reason = False, f"resumed at step {loaded.clock['steps']} where {'; '.join(other)}"
            say(f"not bit for bit from here: {'; '.join(other)}")
        state = loaded.state
        try:
            self.agent.load_state_dict(state["agent"])
            for name, log in self.agent.replay.logs().items():
                loaded.restore(name, log)
            self.world.load_state_dict(state["world"])
            self.memory, self.ticked = state["probes"], state.get("ticked", False)
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{self.path} holds the checkpoint of another agent or version: {error}") from error
        if pack.digest({**self.state_dict(), "table": state["table"]}) != loaded.digest:
            raise Damaged(
                f"{self.path}: the state read is not the state saved; use the version that wrote it or a new --out"
            )
        self.table.load_state_dict(state["table"], self.step)

    def wreck(self, error: NotFinite) -> None:
        """The last good state as a checkpoint, the batch that broke it aside."""
        self.exact, self.reason = False, f"stopped at step {self.step}, in the middle of an update: {error}"
        if error.batch is not None:
            tensors, rest = pack.encode(error.batch.named())
            (self.path / f"nonfinite-{self.step:09d}.safetensors").write_bytes(tensors)
            (self.path / f"nonfinite-{self.step:09d}.json").write_bytes(rest)
            self.agent.chain.summary()  # what this update told of itself may not be finite
            self.save()

    def finish(self) -> Path:
        """The picture and the mark that the run is done."""
        for row in self.world.closing():
            self.recorder.write(self.step, row)
        picture = draw(self.path)
        directory.mark_done(self.path, self.agent.clock)
        return picture

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.close()
        self.recorder.close()
