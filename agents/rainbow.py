"""Rainbow (Hessel et al. 2018, arXiv:1710.02298) and its kin for few steps: DQN with other flags.

DER (van Hasselt et al. 2019, arXiv:1906.05243), OTRainbow (Kielak 2020, arXiv:2003.10181), DrQ (Kostrikov et al. 2021,
arXiv:2004.13649) and DrQ(eps) (Agarwal et al. 2021, arXiv:2108.13264) are presets.
"""

from dataclasses import dataclass

from agents.config import LearnConfig, RLConfig
from agents.dqn import DQN, DQNConfig
from agents.goals import Kind
from agents.presets import ATARI100K, DQN_PRESETS
from nets.optim import OptimConfig

FULL: dict[str, object] = {"double": True, "head": "dueling", "noisy": 0.5}
SCALAR: dict[str, object] = {"loss": "huber", "priority_exponent": 0.0}

# {preset: (family, {flag: value as typed})}; class defaults are `dopamine` but for the padding.
RAINBOWS: dict[str, tuple[str, dict[str, object]]] = {
    # dopamine/jax/agents/rainbow/configs/rainbow.gin@5873f54: C51, priorities and n = 3 alone.
    "dopamine": ("atari", {"padding": "same"}),
    # dopamine/jax/agents/full_rainbow/configs/full_rainbow.gin@5873f54: all six; epsilon-greedy stays.
    "full": ("atari", {"padding": "same", **FULL}),
    # dopamine/labs/atari_100k/configs/DER.gin@5873f54; its network is the Nature CNN, not the small one of the paper.
    "der": (
        "atari",
        {
            **ATARI100K,
            **FULL,
            "replay_ratio": 1.0,
            "warmup": "1.6k",
            "n_step": 10,
            "target_every": "2k",
            "lr": 1e-4,
            "epsilon_decay": "2k",
        },
    ),
    # dopamine/labs/atari_100k/configs/OTRainbow.gin@5873f54.
    "otr": ("atari", {**ATARI100K, "replay_ratio": 8.0, "target_every": "500", "epsilon_decay": "50k"}),
    # dopamine/labs/atari_100k/configs/DrQ.gin and DrQ_eps.gin@5873f54.
    "drq": ("atari", {**DQN_PRESETS["atari100k"][1], **SCALAR, "epsilon_final": 0.1, "epsilon_eval": 0.05}),
    "drq_eps": ("atari", {**DQN_PRESETS["atari100k"][1], **SCALAR}),
    "classic": ("control", {**DQN_PRESETS["classic"][1]}),
}


@dataclass(frozen=True)
class RainbowConfig(DQNConfig):
    """Rainbow"""

    presets = RAINBOWS

    learn: LearnConfig = LearnConfig(optim=OptimConfig(lr=6.25e-5, eps=1.5e-4))
    rl: RLConfig = RLConfig(n_step=3, priority_exponent=0.5)
    loss: Kind = "c51"
    """c51 (Rainbow); quantile with 200 --bins is QR-DQN (arXiv:1710.10044); the others as DQN's"""


class Rainbow(DQN):
    """Its part and its acting are DQN's."""

    config: RainbowConfig


if __name__ == "__main__":
    from agents.main import main

    main(Rainbow, RainbowConfig)
