"""SPR (Schwarzer et al. 2021, arXiv:2007.05929): Rainbow that also predicts its own latents K steps ahead.

    z_0 = encode(s_t), z_k = transition(z_k-1, a_t+k-1), y_k = predictor(projection(z_k))
    loss = w (CE + spr_weight mean_k m_k |y_k/|y_k| - g_k/|g_k||^2),  g_k = projection'(encode'(s_t+k))

as in dopamine labs/atari_100k@5873f54; a dash marks the slow network. Each state is augmented on its own. Its resets
(Nikishin et al. 2022, arXiv:2205.07802) and those of SR-SPR (D'Oro et al. 2023) are presets of the suite's own methods.
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from agents.config import LearnConfig, RLConfig
from agents.dqn import DQN, DQNConfig, Passes
from agents.goals import Kind
from agents.losses import self_prediction
from agents.presets import ATARI100K
from nets.heads import Head
from nets.optim import OptimConfig
from nets.part import Make, Net
from nets.spr import SPRNetConfig, SPRNetwork
from replay.batch import Batch
from runs.units import Count, Period, broken

SHARED: dict[str, object] = {**ATARI100K, "augment_on": True}
# D'Oro et al. 2023: bbf/configs/SR_SPR.gin@1d4d2f1 at the replay ratio of their headline, 16.
SR_SPR: dict[str, object] = {
    **SHARED,
    "noisy": 0.0,
    "act_by": "target",
    "replay_ratio": 16.0,
    "capacity": "200k",
    "target_tau": 0.005,
    "reset_every": "2.5k",  # 40k updates, in agent steps as their code counts
    "reset_groups": "projection,predictor,head",
    "reset_target": "own",
    "shrink_every": "2.5k",
    "shrink_groups": "encoder,transition",
    "shrink_factor": 0.8,
    "shrink_noise": 0.2,
    "shrink_target": "own",
}

# {preset: (family, {flag: value as typed})}
PRESETS: dict[str, tuple[str, dict[str, object]]] = {
    # dopamine/labs/atari_100k/configs/SPR.gin@5873f54.
    "spr": ("atari", SHARED),
    # rl_with_resets discrete_control/SPR_with_resets.gin: the last layers and every scale of the noise.
    "spr_resets": ("atari", {**SHARED, "reset_every": "20k,40k,60k,80k", "reset_groups": "head,sigma"}),
    "sr_spr": ("atari", SR_SPR),
}


@dataclass(frozen=True)
class SPRConfig(DQNConfig):
    """SPR"""

    presets = PRESETS
    home = "Pong"

    learn: LearnConfig = LearnConfig(optim=OptimConfig(lr=1e-4, eps=1.5e-4))
    rl: RLConfig = RLConfig(
        replay_ratio=2.0, warmup=2_000, n_step=10, target_every=Period(1, "updates"), priority_exponent=0.5
    )
    net: SPRNetConfig = SPRNetConfig()
    spr_weight: float = 5.0
    """Weight of the prediction of latents beside the loss of values (SPR: 5 on the mean over the steps)"""
    spr_steps: int = 5
    """K, the steps that are predicted; 0 for none (SPR: 5)"""
    double: bool = True
    """The network itself chooses the next action, the slow one judges it (van Hasselt et al. 2016)"""
    head: Head = "dueling"
    """dueling adds a value stream to the advantages (Wang et al. 2016)"""
    loss: Kind = "c51"
    """c51 (SPR, BBF); the others as DQN's"""
    noisy: float = 0.5
    """Noise on the weights of projection and head, sigma_0 (SPR: .5; SR-SPR and BBF have none)"""
    epsilon_decay: Count = 2_001
    """Agent steps after the warm-up over which epsilon falls from its start to its end (SPR: 2,001)"""
    epsilon_final: float = 0.0
    """Probability of a random action at the end (SPR: 0, its noisy layers explore)"""

    def problems(self) -> list[str]:
        rules = {
            "spr_weight": (0 <= self.spr_weight < inf, "at least 0"),
            "spr_steps": (self.spr_steps >= 0, "at least 0"),
        }
        return broken(self, rules) + super().problems()


class SPR(DQN):
    """One part, q, that also holds the model: transition, projection, predictor."""

    config: SPRConfig

    def build(self) -> None:
        super().build()
        self.ahead = self.config.spr_steps if self.config.spr_weight else 0

    def maker(self) -> Make:
        c, shape, actions, atoms = self.config, self.spec.observation.shape, self.actions, self.goal.atoms
        return lambda: SPRNetwork(shape, actions, c.net, c.head, atoms, c.noisy)

    def nets(self) -> tuple[SPRNetwork, SPRNetwork]:
        """The network and its slow copy."""
        q = self.parts["q"]
        assert isinstance(q.net, SPRNetwork) and isinstance(q.target, SPRNetwork)
        return q.net, q.target

    def passes(self, batch: Batch, rng: torch.Generator) -> Passes:
        net, slow = self.nets()
        future, size = batch.future, len(batch.obs)
        with self.noise(net, rng):
            z = net.encode(batch.obs)
            outputs = net.judge(z)
            predicted = None if future is None else net.predict(net.roll(z, future.action))  # [K, B, D]
        with torch.no_grad():
            states = [batch.next_obs] if future is None else [batch.next_obs, future.obs.flatten(0, 1)]
            seen = slow.encode(torch.cat(states))  # in one pass: next states, then those to be predicted
            with self.noise(slow, rng):
                following = slow.judge(seen[:size])
            goals = slow.project(seen[size:])  # [B * K, D], without noise
            judge = self.judge(batch, rng)
        if future is None or predicted is None:
            return Passes(outputs, following, judge)
        goals = goals.view(size, -1, goals.shape[1]).transpose(0, 1)  # [K, B, D]
        spr = self_prediction(predicted, goals, future.mask.T)  # [B]
        return Passes(outputs, following, judge, self.config.spr_weight * spr, {"loss/spr": spr.mean()})

    def output(self, part: str, batch: Batch, net: Net) -> Tensor:
        """With a step of the model, so that a tape sees its units."""
        return net(batch.obs, batch.action)  # type: ignore[no-any-return]


if __name__ == "__main__":
    from agents.main import main

    main(SPR, SPRConfig)
