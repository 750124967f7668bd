"""A run in progress: what is measured, recorded and saved while an agent learns."""

import time
from pathlib import Path
from typing import Any, Self

import dm_env
import numpy as np
import torch

from agents.build import examination
from agents.flags import Settings
from agents.learner import Learner, NotFinite
from envs.spec import Env
from probes import measurements
from runs import directory, pack, snapshot
from runs.checkpoint import Damaged, Loaded, Store
from runs.evaluate import play
from runs.fingerprint import differences, fingerprint
from runs.lock import RunLock
from runs.loop import Timetable
from runs.picture import draw
from runs.progress import Progress, say
from runs.record import Recorder
from runs.rng import draw_seed, stream
from runs.scores import human_normalised
from runs.signals import Stop

MEASURED = ("eval", "probe", "snapshot", "record", "save")


class Session:
    """Owns everything of a run that is neither the environment nor the agent."""

    def __init__(self, settings: Settings, env: Env, agent: Learner, lock: RunLock, stop: Stop) -> None:
        self.settings, self.run, self.env, self.agent = settings, settings.run, env, agent
        self.path, self.stop = lock.run_dir, stop
        self.fingerprint = fingerprint(str(agent.device))
        self.store = Store(lock, self.fingerprint)
        self.table = Timetable({name: getattr(self.run, f"{name}_every") for name in MEASURED})
        self.probes = measurements()
        self.exact, self.reason = True, ""
        loaded = self.store.load()
        self.now = self.load(loaded) if loaded else env.reset(draw_seed(stream(self.run.seed, "env")))
        self.resumed = loaded is not None
        self.recorder = Recorder(self.path, loaded.extra["metrics"] if loaded else 0, self.step, lock.check)
        self.progress = Progress(self.run.steps, self.step)
        self.mark, self.marked = (time.monotonic(), time.process_time()), self.step

    @property
    def step(self) -> int:
        return self.agent.clock["steps"]

    # ---- measuring

    def measure(self) -> None:
        """Everything due at this step, before any intervention of this step."""
        for game in self.env.finished():
            self.recorder.write(self.step, self.returns("train", np.array([game.score])) | {"length/train": game.steps})
            self.agent.clock["episodes"] += 1
            self.progress.remark(f"return {game.score:g}")
        for event in self.agent.chain.drain():
            self.recorder.write(int(event.pop("step")), event)
        if self.table.due("eval", self.step) and not self.evaluate():
            self.table.put_off("eval")  # asked to stop: the resumed run begins with this evaluation
            return
        if self.table.due("probe", self.step):
            self.recorder.write(self.step, self.probe())
        if self.table.due("snapshot", self.step):
            self.snap()
        if self.table.due("record", self.step):
            self.recorder.write(self.step, self.row())
        self.progress.update(self.step)

    def returns(self, kind: str, scores: np.ndarray) -> dict[str, float]:
        """return/<kind>, and human-normalised where the game has scores."""
        row = {f"return/{kind}": float(scores.mean())}
        normalised = human_normalised(self.env.spec.name, row[f"return/{kind}"])
        return row if normalised is None else row | {f"hns/{kind}": normalised}

    def row(self) -> dict[str, float]:
        """The means of the updates since the last row, and the speed."""
        metrics = self.agent.metrics()
        if not all(np.isfinite(list(metrics.values()))):
            raise NotFinite(", ".join(name for name, x in metrics.items() if not np.isfinite(x)), None)
        steps, before = self.step - self.marked, self.mark
        self.mark, self.marked = (time.monotonic(), time.process_time()), self.step
        wall, cpu = (max(b - a, 1e-9) for a, b in zip(before, self.mark, strict=True))
        return metrics | {
            "clock/updates": self.agent.clock["updates"],
            "speed/steps": steps / wall,
            "speed/steps_per_cpu": steps / cpu,
        }

    def evaluate(self) -> bool:
        """Whole games of the greedy policy on fresh environments, the same seeds every time; False if asked to stop."""
        self.progress.remark("evaluating")
        rng = stream(self.run.seed, "eval")
        games = examination(self.settings)
        scores = play(lambda now: self.agent.act(now, rng, greedy=True), games, draw_seed(rng), lambda: bool(self.stop))
        if scores is None:
            return False
        row = self.returns("eval", scores)
        say(f"step {self.step:,}: return {row['return/eval']:g} over {len(scores)} games")
        row |= {"return/eval/min": float(scores.min()), "return/eval/max": float(scores.max())}
        self.recorder.write(self.step, row)
        return True

    def probe(self) -> dict[str, float]:
        """Every measurement on one batch; reads only, draws from a stream of this step."""
        subject = self.agent.view(stream(self.run.seed, "probe", self.step))
        batch = subject.batch(self.run.probe_batch)
        rows = {name: probe.measure(subject, batch) for name, probe in self.probes.items()}
        return {f"probe/{name}/{tag}".rstrip("/"): x for name, row in rows.items() for tag, x in row.items()}

    def snap(self) -> None:
        """Keep what later probes need of this step."""
        parts = {name: part.state_dict() for name, part in self.agent.parts.items()}
        if self.run.snapshot_optim == "no":
            parts = {name: {**part, "opt": {}} for name, part in parts.items()}
        rng = stream(self.run.seed, "probe", "snapshot", self.step)
        replay = self.agent.replay.excerpt(snapshot.TRANSITIONS, rng, self.agent.learn.n_step, self.agent.learn.gamma)
        state = {"config": self.settings.saved(), "clock": dict(self.agent.clock), "parts": parts}
        snapshot.save(self.path, self.step, state, replay)

    # ---- saving

    def state_dict(self) -> dict[str, Any]:
        now = {name: np.array(x) for name, x in self.now._asdict().items()}
        return {
            "agent": self.agent.state_dict(),
            "env": self.env.state_dict(),
            "now": now,
            "table": self.table.state_dict(),
        }

    def save(self) -> None:
        """The one safe point. A state that is not finite is never saved."""
        for name, part in self.agent.parts.items():
            if not all(bool(torch.isfinite(p).all()) for p in part.net.parameters()):
                raise NotFinite(name, None)
        state, cursor = self.state_dict(), self.recorder.flush()
        self.store.save(state, self.agent.replay.logs(), self.agent.clock, {"metrics": cursor}, self.exact, self.reason)

    def load(self, loaded: Loaded) -> dm_env.TimeStep:
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
            self.env.load_state_dict(state["env"])
            self.now = dm_env.TimeStep(**state["now"])
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"{self.path} holds the checkpoint of another agent or version: {error}") from error
        if pack.digest({**self.state_dict(), "table": state["table"]}) != loaded.digest:
            raise Damaged(
                f"{self.path}: the state read is not the state saved; use the version that wrote it or a new --out"
            )
        self.table.load_state_dict(state["table"], self.step)
        return self.now

    def wreck(self, error: NotFinite) -> None:
        """The last good state as a checkpoint, the batch that broke it aside."""
        self.exact, self.reason = False, f"stopped at step {self.step}, in the middle of an update: {error}"
        if error.batch is not None:
            tensors, rest = pack.encode(dict(error.batch._asdict()))
            (self.path / f"nonfinite-{self.step:09d}.safetensors").write_bytes(tensors)
            (self.path / f"nonfinite-{self.step:09d}.json").write_bytes(rest)
            self.save()

    def finish(self) -> Path:
        """The picture and the mark that the run is done."""
        picture = draw(self.path)
        directory.mark_done(self.path, self.agent.clock)
        return picture

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.close()
        self.recorder.close()
