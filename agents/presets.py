"""Presets of DQN, and the protocol of Atari-100k that the agents of few steps share (docs/algorithms.md)."""

# The protocol of Atari-100k and what its agents share: dopamine/labs/atari_100k/@5873f54.
ATARI100K: dict[str, object] = {
    "steps": "100k",
    "sticky": 0.0,
    "noops": 30,
    "life_loss": True,
    "eval_every": "100k",
    "eval_episodes": 100,
    "padding": "same",
    "init": "xavier",
}

# {preset: (family, {flag: value as typed})}; class defaults are `suite`.
DQN_PRESETS: dict[str, tuple[str, dict[str, object]]] = {
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
            **ATARI100K,
            "double": True,
            "head": "dueling",
            "replay_ratio": 1.0,
            "warmup": "1.6k",
            "n_step": 10,
            "target_every": "1:updates",
            "lr": 1e-4,
            "epsilon_decay": "5k",
            "augment_on": True,
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
