"""DQN (Mnih et al. 2015) with double (arXiv:1509.06461), dueling (arXiv:1511.06581) and n-step returns as flags.

Q is regressed, or classified: logits over bins of values, their mean is Q, and the goal of a scalar Bellman backup is
spread over the bins (Farebrother et al. 2024, arXiv:2403.03950).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

import dm_env
import numpy as np
import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from agents.config import AgentConfig
from agents.explore import epsilon, explore
from agents.learner import Learner
from agents.losses import at, bootstrap, cross_entropy, hl_gauss, huber, rows, squared, support, two_hot
from envs.spec import EnvSpec
from nets.heads import Head, QNetwork
from nets.output import ActionValues, Atoms
from nets.part import Net
from nets.subject import Error, Loss
from replay.batch import Batch
from runs.units import Count, broken

# {preset: (family, {flag: value as typed})}; class defaults are `suite` (docs/algorithms.md).
PRESETS: dict[str, tuple[str, dict[str, object]]] = {
    # Dopamine's column and environment, but Huber and VALID padding.
    "suite": ("atari", {}),
    # dopamine/jax/agents/dqn/configs/dqn.gin@5873f54 as published.
    "dopamine": ("atari", {"loss": "mse", "padding": "same", "init": "xavier"}),
    # cleanrl/dqn_atari.py@fe8d8a03 with its environment.
    "cleanrl": (
        "atari",
        {
            "loss": "mse",
            "warmup": "80k",
            "target_every": "1k",
            "lr": 1e-4,
            "eps": 1e-8,
            "epsilon_decay": "920k",  # it reaches .01 at step 1M, counted from 0
            "epsilon_eval": 0.01,
            "sticky": 0.0,
            "noops": 30,
            "life_loss": True,
            "fire": True,
        },
    ),
    # DrQ(eps): dopamine/labs/atari_100k/configs/DrQ_eps.gin@5873f54; its shifts are of 0 to 7 pixels, ours of 0 to 8.
    "atari100k": (
        "atari",
        {
            "steps": "100k",
            "double": True,
            "head": "dueling",
            "replay_ratio": 1.0,
            "warmup": "1.6k",
            "n_step": 10,
            "target_every": "1:updates",
            "lr": 1e-4,
            "epsilon_decay": "5k",
            "padding": "same",
            "init": "xavier",
            "sticky": 0.0,
            "noops": 30,
            "life_loss": True,
            "augment_on": True,
            "eval_every": "100k",
            "eval_episodes": 100,
        },
    ),
    # Ours for CartPole-v1 and its kin: two layers of 256, double, 3-step returns; `make learn` holds it to 475.
    "classic": (
        "control",
        {
            "steps": "50k",
            "hidden": [256, 256],
            "double": True,
            "n_step": 3,
            "batch_size": 64,
            "replay_ratio": 0.5,
            "warmup": "1k",
            "capacity": "50k",
            "target_every": "200",
            "lr": 5e-4,
            "eps": 1e-8,
            "epsilon_decay": "10k",
            "epsilon_final": 0.04,
            "epsilon_eval": 0.0,
            "eval_every": "10k",
            "eval_episodes": 20,
            "probe_every": "2k",
            "save_every": "10k",
        },
    ),
}

EPSILONS = ("start", "final", "eval")
CLASSIFIED = ("hl_gauss", "two_hot")  # losses that classify the value


@dataclass(frozen=True)
class DQNConfig(AgentConfig):
    """DQN"""

    presets = PRESETS

    double: bool = False
    """The online network chooses the next action, the target judges it (van Hasselt et al. 2016)"""
    head: Head = "linear"
    """dueling adds a value stream to the advantages (Wang et al. 2016)"""
    loss: Literal["huber", "mse", "hl_gauss", "two_hot"] = "huber"
    """huber clips the error at 1 (Mnih et al. 2015), mse: Dopamine; a distribution: hl_gauss, two_hot (2403.03950)"""
    bins: int = 51
    """Bins of hl_gauss and two_hot for each action (Bellemare et al. 2017, arXiv:1707.06887: 51)"""
    value_range: tuple[float, float] = (-10.0, 10.0)
    """Least and largest value that the bins cover; goals are cut off there (Bellemare et al. 2017: -10 10)"""
    sigma: float = 0.75
    """Deviation of hl_gauss in bin widths (Farebrother et al. 2024: .75)"""
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
        }
        return broken(self, rules) + list(self.misplaced()) + super().problems()

    def misplaced(self) -> Iterator[str]:
        """A sentence for each flag that would do nothing with this loss."""
        users = {"bins": CLASSIFIED, "value_range": CLASSIFIED, "sigma": ("hl_gauss",)}
        for flag, losses in users.items():
            if self.loss not in losses and getattr(self, flag) != getattr(DQNConfig, flag):
                yield f"{flag} does nothing with loss {self.loss}; it is for {', '.join(losses)}"


class DQN(Learner):
    """One part, q: [B, A], or logits of bins [B, A, M]."""

    config: DQNConfig

    @classmethod
    def accepts(cls, spec: EnvSpec) -> None:
        if not isinstance(spec.action, Discrete):
            raise ValueError(
                f"DQN needs discrete actions; {spec.name} has {spec.action.shape[0]} continuous ones: use SAC"
            )

    def build(self) -> None:
        assert isinstance(self.spec.action, Discrete)
        c, shape, self.actions = self.config, self.spec.observation.shape, int(self.spec.action.n)
        self.atoms: Atoms | None = None
        if c.loss in CLASSIFIED:
            self.atoms = Atoms(support(*c.value_range, c.bins, c.loss).to(self.device))
        make = lambda: QNetwork(shape, self.actions, c.net, c.head, c.bins if self.atoms else 0)
        self.parts["q"] = self.part("q", make, self.rl.target_tau, output=self.atoms or ActionValues())

    @torch.no_grad()
    def act(self, now: dm_env.TimeStep, rng: np.random.Generator, greedy: bool = False) -> np.ndarray:
        """Epsilon-greedy, [N] int64; the network is asked only where an env does not explore."""
        action = explore(rng, self.actions, self.epsilon(greedy), len(now.observation))
        if (action < 0).any():
            best = self.values(self.parts["q"].net(self.observe(now))).argmax(1).cpu().numpy()
            action = np.where(action < 0, best, action)
        return action

    def epsilon(self, greedy: bool) -> float:
        c = self.config
        if greedy:
            return c.epsilon_eval
        return epsilon(self.clock["steps"], self.rl.warmup, c.epsilon_decay, c.epsilon_final, c.epsilon_start)

    def losses(self, batch: Batch, rng: torch.Generator) -> Iterator[Loss]:
        q, loss = self.parts["q"], huber if self.config.loss == "huber" else squared
        assert q.target is not None
        outputs = q.net(batch.obs)  # [B, A], or [B, A, M]
        values = self.values(outputs)  # [B, A]
        with torch.no_grad():
            following = self.values(q.target(batch.next_obs))  # [B, A]
            judge = self.values(q.net(batch.next_obs)) if self.config.double else following
        goal = bootstrap(batch.reward, batch.discount, following, judge)  # [B]
        td, shown = goal - at(values, batch.action), {"q/mean": values.mean(), "q/max": values.amax(1).mean()}
        if self.atoms is not None:
            yield Loss("q", (batch.weight * self.surprise(outputs, batch.action, goal)).mean(), td, shown)
            return
        of: Error = lambda td: (batch.weight * loss(td)).mean()
        yield Loss("q", of(td), td, shown, goal, of)

    def values(self, outputs: Tensor) -> Tensor:
        """What the network shows -> q: [B, A]."""
        return outputs if self.atoms is None else self.atoms.values(outputs)

    def surprise(self, logits: Tensor, action: Tensor, goal: Tensor) -> Tensor:
        """Cross-entropy of the goal's distribution and that of the action taken: [B, A, M], [B], [B] -> [B]."""
        assert self.atoms is not None
        bins, c = self.atoms.support, self.config
        spread = hl_gauss(goal, bins, c.sigma) if c.loss == "hl_gauss" else two_hot(goal, bins)
        return cross_entropy(rows(logits, action), spread)

    def output(self, part: str, batch: Batch, net: Net) -> Tensor:
        return net(batch.obs)  # type: ignore[no-any-return]

    def answer(self, batch: Batch, rng: torch.Generator, nets: Mapping[str, Net]) -> Batch:
        return batch


if __name__ == "__main__":
    from agents.main import main

    main(DQN, DQNConfig)
