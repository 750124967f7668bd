"""Presets against the columns of algorithms A.1, A.2 and A.6."""

import pytest

from agents.build import build, problems
from agents.classifier import Classifier, ClassifierConfig
from agents.dqn import DQNConfig
from agents.flags import parse
from agents.sac import SACConfig

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
    | {"sticky": 0.0, "noops": 30, "life_loss": True, "eval_episodes": 100, "eval_every": "100k"}
    | {"augment_on": True, "augment_shift": 4, "augment_intensity": 0.05},
}


@pytest.mark.parametrize("preset", COLUMNS)
def test_a_preset_is_its_column(preset):
    settings = parse("dqn", DQNConfig, ["--env=Pong", f"--preset={preset}"])
    assert {key: settings.flat[key] for key in COLUMNS[preset]} == COLUMNS[preset]
    assert settings.active == (["augment"] if preset == "atari100k" else [])


JAXRL = {
    "batch_size": 256,
    "replay_ratio": 1.0,
    "warmup": 10_000,
    "capacity": 1_000_000,
    "gamma": 0.99,
    "n_step": 1,
    "target_every": "1:updates",
    "target_tau": 0.005,
    "norm_obs": False,
    "optimizer": "adam",
    "lr": 3e-4,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "critic_lr": 0.0,
    "alpha_lr": 0.0,
    "hidden": [256, 256],
    "activation": "relu",
    "norm": "none",
    "init": "orthogonal",
    "critics": 2,
    "entropy_goal": -0.5,
    "alpha_init": 1.0,
    "alpha_loss": "alpha",
    "actor_every": 1,
    "log_std_min": -10.0,
    "log_std_max": 2.0,
    "log_std_by": "tanh",
    "steps": 1_000_000,
    "eval_every": "5k",
    "eval_episodes": 10,
    "reset_every": "never",
}
SAC_COLUMNS = {
    ("dmc:walker-walk", "dmc"): JAXRL,
    ("HalfCheetah", "mujoco"): JAXRL | {"entropy_goal": -1.0},
    ("HalfCheetah", "cleanrl"): JAXRL
    | {"entropy_goal": -1.0, "critic_lr": 1e-3, "alpha_lr": 1e-3, "warmup": 5_000, "actor_every": 2}
    | {"log_std_min": -5.0, "init": "torch"},
    ("HalfCheetah", "sb3"): JAXRL
    | {"entropy_goal": -1.0, "warmup": 100, "log_std_min": -20.0, "log_std_by": "clip", "alpha_loss": "log"}
    | {"init": "torch"},
    ("dmc:walker-walk", "sr_sac"): JAXRL | {"replay_ratio": 32.0, "reset_every": "2.56M:updates", "steps": 500_000},
    ("dmc:walker-walk", "simba"): JAXRL
    | {"critics": 1, "norm_obs": True, "optimizer": "adamw", "lr": 1e-4, "weight_decay": 1e-2, "replay_ratio": 2.0}
    | {"warmup": 5_000, "gamma": 0.995, "alpha_init": 0.01},
}


@pytest.mark.parametrize(("env", "preset"), SAC_COLUMNS)
def test_a_preset_of_sac_is_its_column(env, preset):
    flat = parse("sac", SACConfig, [f"--env={env}", f"--preset={preset}"]).flat
    column = SAC_COLUMNS[env, preset]
    assert {key: flat[key] for key in column} == column


@pytest.mark.parametrize(("env", "preset"), [("dmc:walker-walk", "dmc"), ("Ant", "mujoco"), ("Pendulum-v1", "classic")])
def test_the_preset_of_sac_follows_the_family(env, preset):
    assert parse("sac", SACConfig, [f"--env={env}"]).run.preset == preset


def test_the_classifier_is_on_random_labels_of_mnist_unless_told():
    """Kumar et al. 2023: 1,200 images, batch 16, 2 x 100 units, Adam 1e-3; 20 tasks of 100 epochs."""
    settings = parse("classifier", ClassifierConfig, [])
    wanted = {"env": "labels:mnist", "images": 1_200, "batch_size": 16, "hidden": [100, 100], "lr": 1e-3, "eps": 1e-8}
    wanted |= {"task_every": "7.5k", "steps": 150_000, "relabel": 1.0, "activation": "relu", "norm": "none"}
    assert {key: settings.flat[key] for key in wanted} == wanted
    assert 1_200 // 16 * 100 == 7_500


@pytest.mark.parametrize("preset", ["mlp", "cnn", "resnet18", "vit", "lyle"])
def test_every_preset_of_the_classifier_builds_a_learner(preset):
    settings = parse("classifier", ClassifierConfig, ["--env=labels:generated", f"--preset={preset}"])
    assert not problems(settings)
    _, learner = build(Classifier, settings)
    assert learner.parts["net"].net
