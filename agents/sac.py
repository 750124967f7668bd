"""SAC (Haarnoja et al. 2018, arXiv:1812.05905): twin critics, a squashed Gaussian actor, a learned temperature.

An update: the critics, the actor against the new critics, the temperature. The slow critics follow at the end of the
update instead of after the critics' step; nobody reads them in between.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import dm_env
import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from agents.config import AgentConfig, LearnConfig, RLConfig
from agents.explore import log_sigma, squashed
from agents.learner import Learner
from envs.spec import EnvSpec
from nets.optim import OptimConfig
from nets.output import Gaussian, Values
from nets.part import Net
from nets.policy import Actor, Critic, PolicyConfig, Temperature
from nets.subject import Error, Loss
from replay.batch import Batch
from runs.units import Period, broken

# {preset: (families, {flag: value as typed})}; class defaults are `dmc` (docs/algorithms.md).
PRESETS: dict[str, tuple[str, dict[str, object]]] = {
    # jaxrl as used by rl_with_resets and high_replay_ratio: configs/sac.py.
    "dmc": ("dmc", {"steps": "1M", "eval_every": "5k"}),
    # The same with the target entropy of Haarnoja et al. 2018.
    "mujoco": ("mujoco", {"steps": "1M", "eval_every": "5k", "entropy_goal": -1.0}),
    # cleanrl/sac_continuous_action.py@fe8d8a03.
    "cleanrl": (
        "mujoco,dmc",
        {
            "steps": "1M",
            "entropy_goal": -1.0,
            "critic_lr": 1e-3,
            "alpha_lr": 1e-3,
            "warmup": "5k",
            "actor_every": 2,
            "log_std_min": -5.0,
            "init": "torch",
            "eval_every": "5k",
        },
    ),
    # stable_baselines3/sac/sac.py@2.9.2.
    "sb3": (
        "mujoco,dmc",
        {
            "steps": "1M",
            "entropy_goal": -1.0,
            "warmup": 100,
            "log_std_min": -20.0,
            "log_std_by": "clip",
            "alpha_loss": "log",
            "init": "torch",
            "eval_every": "5k",
        },
    ),
    # SR-SAC (D'Oro et al. 2023): 32 updates a step, everything redrawn every 2.56M updates.
    "sr_sac": ("dmc", {"steps": "500k", "replay_ratio": 32.0, "reset_every": "2.56M:updates", "eval_every": "5k"}),
    # simba/configs/agent/sac_simba.yaml, without its action repeat: gamma is (L/5 - 1) / (L/5) for L = 1,000 steps.
    "simba": (
        "dmc,mujoco",
        {
            "steps": "1M",
            "critic_net": "simba",
            "critic_hidden": [512, 512],
            "actor_net": "simba",
            "actor_hidden": [128],
            "critics": 1,
            "norm_obs": True,
            "optimizer": "adamw",
            "lr": 1e-4,
            "weight_decay": 1e-2,
            "replay_ratio": 2.0,
            "warmup": "5k",
            "gamma": 0.995,
            "alpha_init": 0.01,
            "eval_every": "5k",
        },
    ),
    # Ours for Pendulum-v1 and its kin.
    "classic": (
        "control",
        {
            "steps": "10k",
            "hidden": [64, 64],
            "entropy_goal": -1.0,
            "lr": 1e-3,
            "warmup": 500,
            "capacity": "20k",
            "eval_every": "2k",
            "probe_every": "1k",
            "save_every": "5k",
        },
    ),
}


@dataclass(frozen=True)
class SACConfig(AgentConfig):
    """SAC"""

    presets = PRESETS
    home = "HalfCheetah-v5"

    learn: LearnConfig = LearnConfig(batch_size=256, optim=OptimConfig(lr=3e-4, eps=1e-8))
    rl: RLConfig = RLConfig(replay_ratio=1.0, warmup=10_000, target_every=Period(1, "updates"), target_tau=0.005)
    net: PolicyConfig = PolicyConfig()
    critics: int = 2
    """Q-functions; the least of them is believed (Haarnoja et al. 2018: 2)"""
    entropy_goal: float = -0.5
    """Target entropy per action dimension: -.5 (jaxrl on dm_control) and -1 (Haarnoja et al. 2018) differ visibly"""
    alpha_init: float = 1.0
    """Temperature at the start (Haarnoja et al. 2018, jaxrl: 1; SimBa: .01)"""
    alpha_loss: Literal["alpha", "log"] = "alpha"
    """What multiplies the entropy's error: alpha (Haarnoja et al. 2018) or log alpha (SB3)"""
    alpha_lr: float = 0.0
    """Learning rate of the temperature; 0 is --lr (CleanRL: 1e-3)"""
    critic_lr: float = 0.0
    """Learning rate of the critics; 0 is --lr (CleanRL: 1e-3)"""
    actor_every: int = 1
    """Updates between steps of actor and temperature, which then make that many (CleanRL: 2)"""
    log_std_min: float = -10.0
    """Least log-sigma of the actor (jaxrl: -10; CleanRL: -5; SB3: -20)"""
    log_std_max: float = 2.0
    """Largest log-sigma of the actor (all: 2)"""
    log_std_by: Literal["tanh", "clip"] = "tanh"
    """How log-sigma is kept in its range: a tanh map (jaxrl, CleanRL) or cut off (SB3)"""

    def problems(self) -> list[str]:
        rules = {
            **{n: (getattr(self, n) > 0, "at least 1") for n in ("critics", "actor_every")},
            **{n: (getattr(self, n) >= 0, "at least 0") for n in ("alpha_lr", "critic_lr")},
            "alpha_init": (self.alpha_init > 0, "above 0"),
            "log_std_min": (self.log_std_min < self.log_std_max, "below log_std_max"),
        }
        return broken(self, rules) + super().problems()


class SAC(Learner):
    """Parts: critic [K, B], actor (mean, raw log-sigma) [B, A], alpha []."""

    config: SACConfig

    @classmethod
    def accepts(cls, spec: EnvSpec) -> None:
        if not isinstance(spec.action, Box):
            raise ValueError(f"SAC needs continuous actions; {spec.name} has {spec.action.n} discrete ones: use DQN")
        if len(spec.observation.shape) != 1:
            raise ValueError(f"SAC needs vectors; observations of {spec.name} have shape {spec.observation.shape}")

    def build(self) -> None:
        c, net = self.config, self.config.net
        (inputs,), (self.actions,) = self.spec.observation.shape, self.spec.action.shape  # type: ignore[misc]
        self.entropy = c.entropy_goal * self.actions
        critic = lambda: Critic(inputs + self.actions, partial(net.body, "critic"), net.init, c.critics)
        actor = lambda: Actor(inputs, self.actions, partial(net.body, "actor"), net.init)
        self.parts["critic"] = self.part("critic", critic, self.rl.target_tau, c.critic_lr, Values())
        self.parts["actor"] = self.part("actor", actor, output=Gaussian())
        self.parts["alpha"] = self.part("alpha", lambda: Temperature(c.alpha_init), lr=c.alpha_lr)

    @torch.no_grad()
    def act(self, now: dm_env.TimeStep, rng: np.random.Generator, greedy: bool = False) -> np.ndarray:
        """[N, A] float32 in [-1, 1]: uniform in the warm-up, then drawn; greedy is the squashed mean."""
        shape = (len(now.observation), self.actions)
        if not greedy and self.clock["steps"] < self.rl.warmup:
            return rng.uniform(-1, 1, shape).astype(np.float32)
        noise = np.zeros(shape, np.float32) if greedy else rng.standard_normal(shape, np.float32)
        action, _ = self.action(self.observe(now), torch.as_tensor(noise, device=self.device), self.lent("actor"))
        return action.cpu().numpy()

    def gaussian(self, obs: Tensor, net: Net | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-sigma before the squashing, [B, A] each; of the actor, or of a network in its place."""
        c = self.config
        mean, raw = (net or self.parts["actor"].net)(obs)
        return mean, log_sigma(raw, c.log_std_min, c.log_std_max, c.log_std_by == "clip")

    def action(self, obs: Tensor, noise: Tensor, net: Net | None = None) -> tuple[Tensor, Tensor]:
        """The actions that this noise leads to, [B, A], and their log-probability [B]."""
        return squashed(*self.gaussian(obs, net), noise)

    def draw(self, obs: Tensor, rng: torch.Generator, net: Net | None = None) -> tuple[Tensor, Tensor]:
        """Actions [B, A] to learn with, and their log-probability [B]."""
        return self.action(obs, torch.randn((len(obs), self.actions), generator=rng, device=self.device), net)

    def losses(self, batch: Batch, rng: torch.Generator) -> Iterator[Loss]:
        rounds = self.rounds
        critic, alpha = self.parts["critic"], self.parts["alpha"].net
        assert critic.target is not None
        with torch.no_grad():
            action, logp = self.draw(batch.next_obs, rng)
            following = critic.target(batch.next_obs, action).amin(0) - alpha() * logp
            goal = batch.reward + batch.discount * following  # [B]
        yield self.regression(critic.net(batch.obs, batch.action), goal, batch)
        for _ in range(rounds):
            yield from self.policy(batch.obs, rng)

    def regression(self, values: Tensor, goal: Tensor, batch: Batch) -> Loss:
        """The critics' loss. values: [K, B], goal: [B]."""
        td = goal - values
        shown = {"q/mean": values.mean(), "q/max": values.amax(1).mean()}
        of: Error = lambda td: (batch.weight * td.square()).mean(1).sum()
        return Loss("critic", of(td), td, shown, goal, of)

    @property
    def rounds(self) -> int:
        """Steps that actor and temperature make at the critics' next one; extra updates count as any other."""
        every = self.config.actor_every
        return every if self.parts["critic"].age % every == 0 else 0

    def policy(self, obs: Tensor, rng: torch.Generator) -> Iterator[Loss]:
        """The actor against the critics as they now are, then the temperature."""
        critic, alpha = self.parts["critic"].net, self.parts["alpha"].net
        action, logp = self.draw(obs, rng)
        each = alpha().detach() * logp - critic(obs, action).amin(0)
        yield Loss("actor", each.mean(), metrics={"policy/entropy": -logp.mean()}, each=each)
        scale = alpha()
        factor = scale if self.config.alpha_loss == "alpha" else scale.log()
        yield Loss("alpha", factor * (-logp.detach() - self.entropy).mean(), metrics={"policy/alpha": scale})

    def output(self, part: str, batch: Batch, net: Net) -> Tensor:
        """critic: [B, K]; actor: mean and log-sigma [B, 2A]; alpha: [B]."""
        match part:
            case "critic":
                return net(batch.obs, batch.action).T  # type: ignore[no-any-return]
            case "actor":
                return torch.cat(self.gaussian(batch.obs, net), 1)
        return net().expand(len(batch.obs))  # type: ignore[no-any-return]

    def answer(self, batch: Batch, rng: torch.Generator, nets: Mapping[str, Net]) -> Batch:
        """With actions drawn from the actor."""
        return batch._replace(action=self.draw(batch.obs, rng, nets["actor"])[0])


if __name__ == "__main__":
    from agents.main import main

    main(SAC, SACConfig)
