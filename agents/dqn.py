"""DQN (Mnih et al. 2015) with double (arXiv:1509.06461), dueling (arXiv:1511.06581) and n-step returns as flags.

What is fitted is a flag, too (agents/goals.py): numbers, classes of numbers, distributions of the return. Noisy layers
have a draw of their own in every pass of an update and at every step of acting, none in evaluation and surgery.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

import dm_env
import numpy as np
import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from agents.config import AgentConfig
from agents.explore import epsilon, explore
from agents.goals import BINNED, SPREAD, Kind, Regressed, goal_of
from agents.learner import Learner
from agents.presets import DQN_PRESETS
from envs.spec import EnvSpec
from nets.anatomy import Network
from nets.heads import Head, QNetwork
from nets.noisy import noise
from nets.part import Make, Net
from nets.subject import EMPTY, Error, Loss
from replay.batch import Batch
from runs.rng import draw_seed
from runs.units import Count, broken

Acting = Literal["online", "target"]
EPSILONS = ("start", "final", "eval")
USERS = {"bins": SPREAD, "value_range": BINNED, "sigma": ("hl_gauss",)}  # the losses that a flag is for


@dataclass(frozen=True)
class DQNConfig(AgentConfig):
    """DQN"""

    presets = DQN_PRESETS

    double: bool = False
    """The online network chooses the next action, the target judges it (van Hasselt et al. 2016)"""
    head: Head = "linear"
    """dueling adds a value stream to the advantages (Wang et al. 2016)"""
    loss: Kind = "huber"
    """huber clips the error at 1 (Mnih et al. 2015), mse: Dopamine; classes of numbers: hl_gauss, two_hot (2403.03950),
    two_hot_symlog (DreamerV3, 2301.04104); distributions: c51 (arXiv:1707.06887), quantile (arXiv:1710.10044)"""
    bins: int = 51
    """Bins or atoms for each action, or quantiles (Bellemare et al. 2017, arXiv:1707.06887: 51; QR-DQN: 200)"""
    value_range: tuple[float, float] = (-10.0, 10.0)
    """Least and largest value that the bins cover; goals are cut off there (Bellemare et al. 2017: -10 10)"""
    sigma: float = 0.75
    """Deviation of hl_gauss in bin widths (Farebrother et al. 2024: .75)"""
    noisy: float = 0.0
    """Noise on the weights of torso and head, sigma_0 (Fortunato et al. 2018, 1706.10295: .5; dqn_zoo: .1); 0: none"""
    act_by: Acting = "online"
    """Which network acts, in training and evaluation (BBF, arXiv:2305.19452, and SR-SPR: target)"""
    epsilon_decay: Count = 250_000
    """Agent steps after the warm-up over which epsilon falls from its start to its end (Dopamine: 250k)"""
    epsilon_start: float = 1.0
    """Probability of a random action until the warm-up ends (Mnih et al. 2015)"""
    epsilon_final: float = 0.01
    """Probability of a random action at the end (Dopamine: .01)"""
    epsilon_eval: float = 0.001
    """Probability of a random action in evaluation (Dopamine: .001)"""

    def problems(self) -> list[str]:
        low, high = self.value_range
        rules = {
            **{f"epsilon_{n}": (0 <= getattr(self, f"epsilon_{n}") <= 1, "from 0 to 1") for n in EPSILONS},
            "bins": (self.bins > 1, "at least 2"),
            "value_range": (-inf < low < high < inf, "a number and a larger one"),
            "sigma": (0 < self.sigma < inf, "above 0"),
            "noisy": (0 <= self.noisy < inf, "at least 0"),
        }
        return broken(self, rules) + list(self.idle()) + super().problems()

    def idle(self) -> Iterator[str]:
        """A sentence for each flag that would do nothing with this loss."""
        for flag, losses in USERS.items():
            if self.loss not in losses and getattr(self, flag) != getattr(DQNConfig, flag):
                yield f"{flag} does nothing with loss {self.loss}; it is for {', '.join(losses)}"


class Passes(NamedTuple):
    """What the networks show of a minibatch."""

    outputs: Tensor  # [B, A] or [B, A, M], with their graph
    following: Tensor  # of the slow network in the next state, as outputs
    judge: Tensor | None  # of the network itself in the next state, with --double
    aside: Tensor | None = None  # [B], what else an agent minimises on each transition
    metrics: Mapping[str, Tensor] = EMPTY


class DQN(Learner):
    """One part, q: [B, A], or M outputs for each action, [B, A, M]."""

    config: DQNConfig

    @classmethod
    def accepts(cls, spec: EnvSpec) -> None:
        if not isinstance(spec.action, Discrete):
            are = f"{spec.name} has {spec.action.shape[0]} continuous ones"
            raise ValueError(f"{cls.__name__} needs discrete actions; {are}: use SAC")

    def build(self) -> None:
        assert isinstance(self.spec.action, Discrete)
        c, self.actions = self.config, int(self.spec.action.n)
        self.goal = goal_of(c.loss, c.bins, c.value_range, c.sigma, self.device)
        self.parts["q"] = self.part("q", self.maker(), self.rl.target_tau, output=self.goal.output)

    def maker(self) -> Make:
        """Of its network; it holds nothing of the agent, as a copy of the part holds it too."""
        c, shape, actions, atoms = self.config, self.spec.observation.shape, self.actions, self.goal.atoms
        return lambda: QNetwork(shape, actions, c.net, c.head, atoms, c.noisy)

    @torch.no_grad()
    def act(self, now: dm_env.TimeStep, rng: np.random.Generator, greedy: bool = False) -> np.ndarray:
        """Epsilon-greedy, [N] int64; the network is asked only where an env does not explore."""
        action = explore(rng, self.actions, self.epsilon(greedy), len(now.observation))
        if (action < 0).any():
            q, lent = self.parts["q"], self.lent("q")
            net = q.net if lent is not None or self.config.act_by == "online" or q.target is None else q.target
            with nullcontext() if greedy else self.noise(net, rng):
                best = self.goal.values((lent or net)(self.observe(now))).argmax(1).cpu().numpy()
            action = np.where(action < 0, best, action)
        return action

    def epsilon(self, greedy: bool) -> float:
        c = self.config
        if greedy:
            return c.epsilon_eval
        return epsilon(self.clock["steps"], self.rl.warmup, c.epsilon_decay, c.epsilon_final, c.epsilon_start)

    def noise(self, net: Network, rng: torch.Generator | np.random.Generator) -> AbstractContextManager[None]:
        """A draw of the noise for the passes within."""
        if not self.config.noisy:
            return nullcontext()
        return noise(net, rng if isinstance(rng, torch.Generator) else self.generator(draw_seed(rng)))

    def losses(self, batch: Batch, rng: torch.Generator) -> Iterator[Loss]:
        seen = self.passes(batch, rng)
        values = self.goal.values(seen.outputs)  # [B, A]
        with torch.no_grad():
            judge = self.goal.values(seen.following if seen.judge is None else seen.judge)
            goal = self.goal.of(batch, seen.following, judge)
        each, td = self.goal.errors(seen.outputs, batch.action, goal)

        def whole(each: Tensor) -> Tensor:
            return (batch.weight * (each if seen.aside is None else each + seen.aside)).mean()

        shown = {"q/mean": values.mean(), "q/max": values.amax(1).mean(), **seen.metrics}
        if isinstance(self.goal, Regressed):
            loss = self.goal.loss
            of: Error = lambda td: whole(loss(td))
            yield Loss("q", whole(each), td, shown, goal, of)
        else:
            yield Loss("q", whole(each), td, shown)

    def passes(self, batch: Batch, rng: torch.Generator) -> Passes:
        q = self.parts["q"]
        assert q.target is not None
        with self.noise(q.net, rng):
            outputs = q.net(batch.obs)
        with torch.no_grad():
            with self.noise(q.target, rng):
                following = q.target(batch.next_obs)
            return Passes(outputs, following, self.judge(batch, rng))

    def judge(self, batch: Batch, rng: torch.Generator) -> Tensor | None:
        """With --double, what the network itself shows in the next state."""
        if not self.config.double:
            return None
        net = self.parts["q"].net
        with self.noise(net, rng):
            return net(batch.next_obs)  # type: ignore[no-any-return]

    def output(self, part: str, batch: Batch, net: Net) -> Tensor:
        return net(batch.obs)  # type: ignore[no-any-return]

    def answer(self, batch: Batch, rng: torch.Generator, nets: Mapping[str, Net]) -> Batch:
        return batch


if __name__ == "__main__":
    from agents.main import main

    main(DQN, DQNConfig)
