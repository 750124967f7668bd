"""Presets against the columns of algorithms A.1, A.2 and A.6."""

import pytest

from agents.dqn import DQNConfig
from agents.flags import flatten, parse

DOPAMINE = {
    "capacity": 1_000_000,
    "warmup": 20_000,
    "batch_size": 32,
    "replay_ratio": 0.25,
    "target_every": "8k",
    "target_tau": 1.0,
    "gamma": 0.99,
    "n_step": 1,
    "optimizer": "adam",
    "lr": 6.25e-5,
    "eps": 1.5e-4,
    "epsilon_start": 1.0,
    "epsilon_final": 0.01,
    "epsilon_decay": 250_000,
    "epsilon_eval": 0.001,
    "eval_every": "250k",
    "clip": 0.0,
    "sticky": 0.25,
    "noops": 0,
    "life_loss": False,
    "fire": False,
    "clip_reward": True,
    "frame_skip": 4,
    "max_frames": 108_000,
    "hidden": [512],
}
COLUMNS = {
    "suite": DOPAMINE | {"loss": "huber", "padding": "valid", "init": "torch", "double": False, "head": "linear"},
    "dopamine": DOPAMINE | {"loss": "mse", "padding": "same", "init": "xavier", "double": False, "head": "linear"},
    "cleanrl": DOPAMINE
    | {"loss": "mse", "padding": "valid", "warmup": 80_000, "target_every": "1k", "lr": 1e-4, "eps": 1e-8}
    | {"epsilon_decay": 920_000, "epsilon_eval": 0.01, "sticky": 0.0, "noops": 30, "life_loss": True, "fire": True},
    "atari100k": DOPAMINE
    | {"steps": 100_000, "loss": "huber", "padding": "same", "double": True, "head": "dueling", "replay_ratio": 1.0}
    | {"warmup": 1_600, "n_step": 10, "target_every": "1:updates", "lr": 1e-4, "epsilon_decay": 5_000}
    | {"sticky": 0.0, "noops": 30, "life_loss": True, "eval_episodes": 100, "eval_every": "100k"},
}


@pytest.mark.parametrize("preset", COLUMNS)
def test_a_preset_is_its_column(preset):
    settings = parse("dqn", DQNConfig, ["--env=Pong", f"--preset={preset}"])
    flat = dict(flatten(settings.run)) | dict(flatten(settings.game)) | dict(flatten(settings.config))
    assert {key: flat[key] for key in COLUMNS[preset]} == COLUMNS[preset]
    assert settings.active == []
