"""DrQ-v2 (Yarats et al. 2022, arXiv:2107.09645) and DrQ (Kostrikov et al. 2020, arXiv:2004.13649, as in Nikishin et al.
2022, arXiv:2205.07802): continuous control from pixels, by DDPG with noise that fades or by SAC.

Only the critics train the encoder. An update encodes each state once: the actor and the critics that judge it see what
the encoder shows. DrQ-v2 has no slow encoder, and its actor sees the features that the critics were trained on; DrQ has
one, and its actor sees those behind the critics' step. Augmentation (--augment-on) and resets are the suite's own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from gymnasium.spaces import Box
from torch import Tensor

from agents.config import LearnConfig, RLConfig
from agents.explore import nudged
from agents.sac import SAC, SACConfig
from agents.schedules import fraction
from envs.pixels import PixelSettings
from envs.spec import EnvSpec
from nets.drq import Actor, Critic, DrQNetConfig
from nets.optim import OptimConfig
from nets.output import Gaussian, Values
from nets.part import Net
from nets.policy import Temperature
from nets.subject import Loss
from replay.batch import Batch
from runs.units import Count, Period, broken

SHIFTED: dict[str, object] = {"augment_on": True, "augment_intensity": 0.0, "eval_every": "5k"}
# rl_with_resets train_pixels.py and configs/drq.py: 500k steps of dm_control, by default two an agent step.
DRQ: dict[str, object] = {
    **SHIFTED,
    "steps": "250k",
    "policy": "sac",
    "encoder": "drq",
    "hidden": [256, 256],
    "image_size": 64,
    "gray": True,
    "action_repeat": 0,
    "batch_size": 512,
    "lr": 3e-4,
    "replay_ratio": 1.0,
    "warmup": "1k",
    "capacity": "100k",
    "n_step": 1,
    "target_tau": 0.005,
}
# {preset: (families, {flag: value as typed})}; class defaults are DrQ-v2's.
PRESETS: dict[str, tuple[str, dict[str, object]]] = {
    # drqv2/cfgs/config.yaml and task/easy.yaml: 1.1M frames. Their medium: --steps 1.55M --noise-decay 500k.
    "drqv2": ("dmc", {**SHIFTED, "steps": "550k"}),
    "drq": ("dmc", DRQ),
    # Everything but the encoder, ten times in 500k steps of dm_control at two an agent step.
    "drq_resets": ("dmc", {**DRQ, "reset_every": "25k", "reset_groups": "torso,head,log_alpha"}),
}
OWN: dict[str, tuple[str, ...]] = {  # the flags of one --policy that mean nothing to the other
    "sac": ("entropy_goal", "alpha_init", "alpha_loss", "alpha_lr", "log_std_min", "log_std_max", "log_std_by"),
    "ddpg": ("noise_start", "noise_final", "noise_decay", "noise_clip"),
}


@dataclass(frozen=True)
class DrQConfig(SACConfig):
    """DrQ"""

    presets = PRESETS
    home = "dmc:walker-walk"
    world = PixelSettings

    learn: LearnConfig = LearnConfig(batch_size=256, optim=OptimConfig(lr=1e-4, eps=1e-8))
    rl: RLConfig = RLConfig(
        replay_ratio=0.5, warmup=2_000, n_step=3, target_every=Period(1, "updates"), target_tau=0.01
    )
    net: DrQNetConfig = DrQNetConfig()  # type: ignore[assignment]
    policy: Literal["ddpg", "sac"] = "ddpg"
    """ddpg: a mean and noise that fades (DrQ-v2); sac: a squashed Gaussian and a temperature (DrQ, 2004.13649)"""
    noise_start: float = 1.0
    """Deviation of the noise on actions in [-1, 1] at step 0, while acting and learning (DrQ-v2: 1)"""
    noise_final: float = 0.1
    """Its deviation at the end (DrQ-v2: .1)"""
    noise_decay: Count = 100_000
    """Agent steps over which it falls, evenly (DrQ-v2: 100k for easy tasks, 500k for medium, 2M for hard ones)"""
    noise_clip: float = 0.3
    """Largest noise on the actions of the goal and of the actor's loss (DrQ-v2: .3)"""
    entropy_goal: float = -1.0
    """Target entropy per action dimension (rl_with_resets: -1 from pixels)"""
    alpha_init: float = 0.1
    """Temperature at the start (rl_with_resets: .1)"""

    def problems(self) -> list[str]:
        rules = {
            **{name: (0 < getattr(self, name) < inf, "above 0") for name in ("noise_start", "noise_final")},
            "noise_decay": (self.noise_decay >= 0, "at least 0"),
            "noise_clip": (self.noise_clip > 0, "above 0"),
        }
        return broken(self, rules) + super().problems() + list(self.idle())

    def idle(self) -> Iterator[str]:
        """A sentence for each flag that does nothing with this policy."""
        plain = type(self)()
        for policy, names in OWN.items():
            for name in names if policy != self.policy else ():
                if getattr(self, name) != getattr(plain, name):
                    yield f"{name} {getattr(self, name)} does nothing without --policy {policy}"


class DrQ(SAC):
    """Parts: critic [K, B], actor (mean and, with SAC, raw log-sigma) [B, A]; with SAC alpha []."""

    config: DrQConfig

    @classmethod
    def accepts(cls, spec: EnvSpec) -> None:
        if not isinstance(spec.action, Box):
            raise ValueError(f"DrQ needs continuous actions; {spec.name} has {spec.action.n} discrete ones: use DQN")
        if len(spec.observation.shape) != 3:
            raise ValueError(f"DrQ needs pictures; observations of {spec.name} have shape {spec.observation.shape}")

    def build(self) -> None:
        c, shape = self.config, self.spec.observation.shape
        (self.actions,) = self.spec.action.shape  # type: ignore[misc]
        self.squashes, self.entropy = c.policy == "sac", c.entropy_goal * self.actions
        critic = lambda: Critic(shape, self.actions, c.net, c.critics)
        actor = lambda: Actor(shape, self.actions, c.net, self.squashes)
        self.parts["critic"] = self.part("critic", critic, self.rl.target_tau, c.critic_lr, Values())
        self.parts["actor"] = self.part("actor", actor, output=Gaussian())
        if self.squashes:
            self.parts["alpha"] = self.part("alpha", lambda: Temperature(c.alpha_init), lr=c.alpha_lr)
        self.chain.settle = self.look
        self.look()

    def look(self) -> None:
        """The actor sees as the critics do: from birth, after every update and after whatever fires."""
        critic, actor = self.parts["critic"].net, self.parts["actor"].net
        assert isinstance(critic, Critic) and isinstance(actor, Actor)
        actor.encoder.follow(critic.encoder)

    def follow(self) -> None:
        super().follow()
        self.look()

    def extra_update(self, batch: Batch, seed: int, losses: Callable[[Batch], Iterator[Loss]] | None) -> None:
        super().extra_update(batch, seed, losses)
        self.look()

    @property
    def deviation(self) -> float:
        """Of the noise now: linear from its start to its end."""
        c = self.config
        return c.noise_start + (c.noise_final - c.noise_start) * fraction(self.clock["steps"], c.noise_decay)

    def gaussian(self, obs: Tensor, net: Net | None = None) -> tuple[Tensor, Tensor]:
        """As SAC; without it the mean behind its squashing and the log-sigma of the noise. obs: images, or features."""
        if self.squashes:
            return super().gaussian(obs, net)
        mean = torch.tanh((net or self.parts["actor"].net)(obs))
        return mean, torch.full_like(mean, self.deviation).log()

    def action(self, obs: Tensor, noise: Tensor, net: Net | None = None) -> tuple[Tensor, Tensor]:
        if self.squashes:
            return super().action(obs, noise, net)
        mean, log_std = self.gaussian(obs, net)
        return nudged(mean, log_std.exp(), noise), mean.new_zeros(len(mean))

    def draw(self, obs: Tensor, rng: torch.Generator, net: Net | None = None) -> tuple[Tensor, Tensor]:
        if self.squashes:
            return super().draw(obs, rng, net)
        noise = torch.randn((len(obs), self.actions), generator=rng, device=self.device)
        far = self.config.noise_clip / self.deviation
        return self.action(obs, noise.clamp(-far, far), net)

    def losses(self, batch: Batch, rng: torch.Generator) -> Iterator[Loss]:
        rounds = self.rounds
        critic, slow = self.parts["critic"].net, self.parts["critic"].target
        assert isinstance(critic, Critic) and slow is not None
        with torch.no_grad():
            later = critic.encode(batch.next_obs)  # [B, D]
            action, logp = self.draw(later, rng)
            following = slow(batch.next_obs if self.squashes else later, action).amin(0)
            if self.squashes:
                following -= self.parts["alpha"].net() * logp
            goal = batch.reward + batch.discount * following  # [B]
        seen = critic.encode(batch.obs)
        yield self.regression(critic(seen, batch.action), goal, batch)
        for _ in range(rounds):
            with torch.no_grad():
                shown = critic.encode(batch.obs) if self.squashes else seen.detach()
            yield from self.policy(shown, rng)

    def policy(self, obs: Tensor, rng: torch.Generator) -> Iterator[Loss]:
        if self.squashes:
            yield from super().policy(obs, rng)
            return
        action, _ = self.draw(obs, rng)
        each = -self.parts["critic"].net(obs, action).amin(0)
        yield Loss("actor", each.mean(), each=each)


if __name__ == "__main__":
    from agents.main import main

    main(DrQ, DrQConfig)
