"""BBF (Schwarzer et al. 2023, arXiv:2305.19452): SPR with a wide Impala CNN, weight decay, and resets it cannot do
without, while n and gamma are annealed in the cycle that follows each.

A reset draws projection, predictor and head anew and moves encoder and model half-way to another draw, of the slow
network to draws of its own; the optimizer forgets all. These are `--reset-*` and `--shrink-*` at the same steps: swap,
change or leave out either. From google-research bigger_better_faster: rr2 and rr8 reset as its code at 1d4d2f1; as it
stands at 4c42994 the last one is skipped (a drift of a step a cycle): rr2_a and rr8_a. Their n-step windows are off by
one, `--nstep-compat dopamine_spr` (docs/algorithms.md).
"""

from dataclasses import dataclass

from agents.config import LearnConfig, RLConfig
from agents.dqn import Acting
from agents.spr import SHARED, SPR, SPRConfig
from nets.optim import OptimConfig
from nets.spr import Encoder, SPRNetConfig
from runs.units import Period

RESET: dict[str, object] = {
    "reset_groups": "projection,predictor,head",
    "reset_target": "own",
    "shrink_groups": "encoder,transition",
    "shrink_target": "own",
}


def preset(ratio: float, every: int, last: int) -> tuple[str, dict[str, object]]:
    """Resets at every `every` agent steps up to `last`: 40k updates, of which the warm-up is spared the first time."""
    steps = ",".join(str(step) for step in range(every, last + 1, every))
    return "atari", {**SHARED, **RESET, "replay_ratio": ratio, "reset_every": steps, "shrink_every": steps}


@dataclass(frozen=True)
class BBFNetConfig(SPRNetConfig):
    """The network"""

    hidden: tuple[int, ...] = (2048,)
    """Units of the projection and of the predictor, one number (BBF: 2048)"""
    encoder: Encoder = "impala"
    """impala: fifteen convolutions in residual blocks (BBF); nature: three (SPR)"""
    encoder_width: float = 4.0
    """Factor on the channels of encoder and transition alone, beside --width (BBF: 4)"""


@dataclass(frozen=True)
class BBFConfig(SPRConfig):
    """BBF"""

    presets = {"rr2": preset(2, 20_000, 80_000), "rr8": preset(8, 5_000, 95_000)} | {
        "rr2_a": preset(2, 20_000, 60_000),
        "rr8_a": preset(8, 5_000, 90_000),
    }

    learn: LearnConfig = LearnConfig(optim=OptimConfig(optimizer="adamw", lr=1e-4, eps=1.5e-4, weight_decay=0.1))
    rl: RLConfig = RLConfig(
        replay_ratio=2.0,
        warmup=2_000,
        capacity=200_000,
        gamma=0.997,
        gamma_start=0.97,
        n_step=3,
        n_step_start=10,
        target_every=Period(1, "updates"),
        target_tau=0.005,
        priority_exponent=0.5,
    )
    net: BBFNetConfig = BBFNetConfig()
    noisy: float = 0.0
    """Noise on the weights of projection and head, sigma_0; BBF has none (SPR: .5)"""
    act_by: Acting = "target"
    """Which network acts, in training and evaluation (BBF: target)"""


class BBF(SPR):
    """Its part and its losses are SPR's."""

    config: BBFConfig


if __name__ == "__main__":
    from agents.main import main

    main(BBF, BBFConfig)
