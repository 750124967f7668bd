"""The update that all agents share. An agent states its parts, how it acts and its losses; nothing else differs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite
from typing import Any, ClassVar

import dm_env
import numpy as np
import torch
from torch import Tensor

from agents.config import AgentConfig
from agents.pace import Pace, Round
from agents.seen import Seen
from agents.tally import NotFinite, Tally
from agents.view import View
from envs.spec import EnvSpec
from interventions.chain import Chain
from nets.output import Output
from nets.part import Make, Net, Part, Weights
from nets.subject import Loss, Teacher
from replay.base import Replay
from replay.batch import Batch
from runs.rng import draw_seed, stream

CLOCKS = ("steps", "updates", "targets", "episodes", "tasks", "resets", "extra")


class Learner(ABC):
    """parts, replay, chain and clock; all randomness comes from generators named init, act, replay and loss."""

    acts: ClassVar[bool] = True  # in an environment; a learner on data does not
    ahead = 0  # steps behind each transition that a model is to predict

    def __init__(
        self, spec: EnvSpec, config: AgentConfig, replay: Replay, chain: Chain, seed: int, device: torch.device
    ) -> None:
        self.spec, self.config, self.replay, self.chain, self.device = spec, config, replay, chain, device
        self.learn, self.rl = config.learn, config.rl
        self.clock = dict.fromkeys(CLOCKS, 0)
        self.rng = {name: stream(seed, name) for name in ("init", "act", "replay")}
        self.loss_rng = self.generator(draw_seed(stream(seed, "loss")))
        self.parts: dict[str, Part] = {}
        self.shadowy = False  # whether its replay is another's
        self.targets, self.tally = Round(self.rl.target_every), Tally(device)
        self.teachers: dict[str, Teacher] = {}  # other runs that methods have asked for, by directory
        self.pace = Pace(self.rl.replay_ratio, self.rl.warmup)
        self.seen = Seen(spec.observation) if self.rl.norm_obs else None
        self.build()
        self.buffer = replay.buffer(self.learn.batch_size, 0 if self.rl.cycles else self.rl.n_step, self.ahead)
        chain.start(self.view, lambda *name: stream(seed, *name), self.clock)

    # ---- what an agent states

    @classmethod
    @abstractmethod
    def accepts(cls, spec: EnvSpec) -> None:
        """ValueError if it cannot learn in this environment, naming one that can."""

    @abstractmethod
    def build(self) -> None:
        """Fill self.parts by self.part(...)."""

    @abstractmethod
    def act(self, now: dm_env.TimeStep, rng: np.random.Generator, greedy: bool = False) -> np.ndarray:
        """Actions [N] for observations [N, *O]; greedy is the evaluation policy. All randomness comes from rng."""

    @abstractmethod
    def losses(self, batch: Batch, rng: torch.Generator) -> Iterator[Loss]:
        """A generator of losses; each part has stepped when the next is asked for. Writes nothing."""

    @abstractmethod
    def output(self, part: str, batch: Batch, net: Net) -> Tensor:
        """How a part is called: the output of its network, or of one in its place, on a batch, [B, ...]."""

    @abstractmethod
    def answer(self, batch: Batch, rng: torch.Generator, nets: Mapping[str, Net]) -> Batch:
        """The batch with the actions of the policy of these networks; as it is where outputs cover all actions."""

    # ---- what all agents share

    def part(
        self, name: str, make: Make, tau: float | None = None, lr: float = 0.0, output: Output | None = None
    ) -> Part:
        """Build a part: the chain may wrap `make`, the init stream gives its seed; lr 0 is --lr."""
        make, optim = self.chain.build(name, make), replace(self.learn.optim, lr=lr or self.learn.optim.lr)
        return Part(make, optim.make, draw_seed(self.rng["init"]), self.device, tau, output)

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)

    def remember(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> None:
        """Into the replay, and into the statistics of the observations."""
        self.replay.add(now, action, then)
        if self.seen is not None:
            self.seen.add(then.observation)

    def thin(self, keep: float = 0.0) -> None:
        """Keep the newest fraction of the replay; where less than a minibatch is left the warm-up begins again."""
        self.replay.thin(keep)
        if len(self.replay) < self.learn.batch_size:
            self.pace.restart(self.clock)

    def observe(self, now: dm_env.TimeStep) -> Tensor:
        """[N, *O] on the agent's device, as its networks take it."""
        obs = torch.as_tensor(now.observation, device=self.device)
        return obs if self.seen is None else self.seen.normalise(obs)

    @property
    def window(self) -> tuple[int, float]:
        """n and gamma as they now are."""
        return self.rl.window(min(part.age for part in self.parts.values()))

    def sample(self) -> Batch:
        """The next minibatch to learn from, in memory that the one after it overwrites."""
        rng = self.rng["replay"]
        return self.place(self.replay.sample(self.learn.batch_size, rng, *self.window, self.buffer, self.ahead))

    def place(self, batch: Batch) -> Batch:
        """A batch of the replay on the agent's device, as its networks take it."""
        if self.device.type != "cpu":
            batch = batch.each(lambda x: x.to(self.device, non_blocking=True))
        if self.seen is None:
            return batch
        return batch._replace(obs=self.seen.normalise(batch.obs), next_obs=self.seen.normalise(batch.next_obs))

    def run(self, part: str, batch: Batch, weights: Weights | None = None) -> Tensor:
        """The output of a part on a batch, for surgery and probes, with other weights if they are given."""
        mine = self.parts[part]
        return self.output(part, batch, mine.net if weights is None else mine.wearing(weights))

    def lent(self, part: str) -> Net | None:
        """The network that acts in place of a part's own, if a method has one."""
        weights = self.chain.acting(part)
        return None if weights is None else self.parts[part].wearing(weights)

    def exam(self, batch: Batch) -> Iterator[Loss]:
        """The losses of what acts, on a batch that nobody learns from."""
        return self.losses(batch, self.generator(0))

    def view(self, rng: np.random.Generator) -> View:
        return View(self, rng)

    def owed(self) -> int:
        """Updates that the replay ratio owes."""
        return self.pace.owed(self.clock)

    def update(self) -> None:
        """One minibatch through all parts, with every hook point of interventions/base.py."""
        if not self.clock["updates"]:
            self.targets.begin(self.clock)  # periods that came round in the warm-up are not owed
        batch = self.chain.before_update(self.sample())
        self.tally.add(self.minibatch(batch, self.losses(batch, self.loss_rng)))
        self.clock["updates"] += 1
        self.chain.after_update()
        self.follow()
        self.chain.tick()

    def extra_update(self, batch: Batch, seed: int, losses: Callable[[Batch], Iterator[Loss]] | None) -> None:
        """An update beside the replay ratio: of these losses; or of the agent's own, hooks and targets included."""
        self.clock["extra"] += 1
        if self.shadowy:
            batch = batch._replace(index=batch.index[:0])  # its replay is another's, whose priorities stay
        if losses is not None:
            self.minibatch(batch, losses(batch), hooked=False)
            return
        batch = self.chain.before_update(batch)
        self.minibatch(batch, self.losses(batch, self.generator(seed)))
        self.targets.advance(self.pace.ratio)
        self.chain.after_update()
        self.follow()

    def minibatch(self, batch: Batch, losses: Iterator[Loss], hooked: bool = True) -> dict[str, Tensor]:
        """Step every part as its loss comes. hooked: interventions change the losses and see what these showed."""
        metrics: dict[str, Tensor] = {}
        with self.chain.watching(self.parts) if hooked else nullcontext():
            for loss in losses:
                metrics |= self.step(loss, self.chain.on_loss(loss, batch) if hooked else loss.value, batch, hooked)
                if loss.td is not None and len(batch.index):  # none where the batch lies in no replay of ours
                    self.replay.reprioritize(batch.index, loss.td.detach())
        return metrics

    def step(self, loss: Loss, value: Tensor, batch: Batch, hooked: bool = True) -> dict[str, Tensor]:
        """Backward (where there is one part its weights go unnamed: 25 us), hooks, clip, check, optimizer step."""
        part, optim = self.parts[loss.part], self.learn.optim
        for p in part.trainable:
            p.grad = None
        value.backward(inputs=part.trainable if len(self.parts) > 1 else None)  # type: ignore[no-untyped-call]
        if hooked:
            self.chain.after_backward(loss.part, batch)
        grads = [p.grad for p in part.trainable if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        if optim.clip:
            torch.nn.utils.clip_grads_with_norm_(part.trainable, optim.clip, norm)
        value = value.detach()
        # On a CPU this read is free and comes before the step; elsewhere main reads the sums at each record.
        if self.device.type == "cpu" and not isfinite((value + norm).item()):
            raise NotFinite(loss.part, batch)
        part.opt.step()
        part.age += 1
        named = {name: x.detach() for name, x in loss.metrics.items()}
        return {f"loss/{loss.part}": value, f"grad/{loss.part}": norm, **named}

    def follow(self) -> None:
        """Targets: a hard copy or a step of the moving average when --target-every has come round."""
        if self.targets.due(self.clock):
            slow = [part for part in self.parts.values() if part.tau is not None]
            for part in slow:
                part.sync(part.tau or 1.0)
            self.clock["targets"] += any(part.tau == 1.0 for part in slow)

    def metrics(self) -> dict[str, float]:
        """Means over the updates since the last call, and what the interventions did; {} if there were none."""
        return self.tally.means() | self.chain.summary()

    def pieces(self) -> dict[str, Any]:
        """What keeps a state of its own."""
        return {
            **{name: getattr(self, name) for name in ("chain", "targets", "pace", "tally", "replay")},
            **({} if self.seen is None else {"seen": self.seen}),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything but the rows of the replay, which are saved as a log."""
        return {
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "clock": dict(self.clock),
            "rng": {name: rng.bit_generator.state for name, rng in self.rng.items()},
            "loss_rng": self.loss_rng.get_state(),
            **{name: piece.state_dict() for name, piece in self.pieces().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        self.clock.update(state["clock"])
        for name, rng in self.rng.items():
            rng.bit_generator.state = state["rng"][name]
        self.loss_rng.set_state(state["loss_rng"])
        for name, piece in self.pieces().items():
            piece.load_state_dict(state[name])
