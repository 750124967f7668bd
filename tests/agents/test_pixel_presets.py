"""Presets of the pixel agents against the columns of the papers' configurations (algorithms A.2 to A.4)."""

import pytest

from agents.bbf import BBFConfig
from agents.build import problems
from agents.dqn import DQNConfig
from agents.flags import parse
from agents.rainbow import RainbowConfig
from agents.spr import SPRConfig

PROTOCOL = {
    "steps": 100_000,
    "sticky": 0.0,
    "noops": 30,
    "life_loss": True,
    "max_frames": 108_000,
    "clip_reward": True,
    "eval_every": "100k",
    "eval_episodes": 100,
    "epsilon_eval": 0.001,
}
C51 = {"loss": "c51", "bins": 51, "value_range": [-10.0, 10.0]}
PRIORITISED = {"priority_exponent": 0.5, "priority_weight": 0.5, "priority_anneal": 0}
ADAM = {"optimizer": "adam", "eps": 1.5e-4, "betas": [0.9, 0.999], "clip": 0.0, "weight_decay": 0.0, "batch_size": 32}
NATURE = {"padding": "same", "hidden": [512], "norm": "none", "activation": "relu"}
FULL = {"double": True, "head": "dueling", "noisy": 0.5}
PLAIN = {"double": False, "head": "linear", "noisy": 0.0}
MACHADO = {
    "sticky": 0.25,
    "noops": 0,
    "life_loss": False,
    "warmup": 20_000,
    "replay_ratio": 0.25,
    "epsilon_final": 0.01,
}
RAINBOW = (
    ADAM | NATURE | C51 | PRIORITISED | MACHADO | {"n_step": 3, "gamma": 0.99, "lr": 6.25e-5, "target_every": "8k"}
)
DRQ = ADAM | NATURE | PROTOCOL | {"loss": "huber", "priority_exponent": 0.0, "double": True, "head": "dueling"}
DRQ |= {"noisy": 0.0, "augment_on": True, "augment_shift": 4, "augment_intensity": 0.05, "replay_ratio": 1.0}
DRQ |= {
    "warmup": 1_600,
    "n_step": 10,
    "target_every": "1:updates",
    "target_tau": 1.0,
    "lr": 1e-4,
    "epsilon_decay": 5_000,
}
SPR = ADAM | NATURE | PROTOCOL | C51 | PRIORITISED | FULL
SPR |= {
    "replay_ratio": 2.0,
    "warmup": 2_000,
    "n_step": 10,
    "gamma": 0.99,
    "target_every": "1:updates",
    "target_tau": 1.0,
}
SPR |= {"lr": 1e-4, "epsilon_final": 0.0, "epsilon_decay": 2_001, "augment_on": True, "spr_weight": 5.0, "spr_steps": 5}
SPR |= {"capacity": 1_000_000, "encoder": "nature", "act_by": "online", "n_step_start": 0, "gamma_start": 0.0}
BBF = SPR | {"noisy": 0.0, "optimizer": "adamw", "weight_decay": 0.1, "capacity": 200_000, "target_tau": 0.005}
BBF |= {"encoder": "impala", "encoder_width": 4.0, "hidden": [2048], "act_by": "target", "n_step": 3, "gamma": 0.997}
BBF |= {"n_step_start": 10, "gamma_start": 0.97, "anneal_updates": 10_000, "nstep_compat": ""}
BBF |= {"reset_groups": "projection,predictor,head", "reset_target": "own", "shrink_groups": "encoder,transition"}
BBF |= {"shrink_target": "own", "shrink_factor": 0.5, "shrink_noise": 0.5}
COLUMNS = {
    ("rainbow", "dopamine"): RAINBOW | PLAIN,
    ("rainbow", "full"): RAINBOW | FULL,
    ("rainbow", "der"): ADAM
    | NATURE
    | C51
    | PRIORITISED
    | PROTOCOL
    | FULL
    | {"replay_ratio": 1.0, "warmup": 1_600, "target_every": "2k", "n_step": 10, "lr": 1e-4, "epsilon_final": 0.01}
    | {"epsilon_decay": 2_000, "augment_on": False},
    ("rainbow", "otr"): ADAM
    | NATURE
    | C51
    | PRIORITISED
    | PROTOCOL
    | PLAIN
    | {
        "replay_ratio": 8.0,
        "warmup": 20_000,
        "target_every": "500",
        "n_step": 3,
        "lr": 6.25e-5,
        "epsilon_decay": 50_000,
    },
    ("rainbow", "drq"): DRQ | {"epsilon_final": 0.1, "epsilon_eval": 0.05},
    ("rainbow", "drq_eps"): DRQ | {"epsilon_final": 0.01, "epsilon_eval": 0.001},
    ("spr", "spr"): SPR | {"reset_every": "never"},
    ("spr", "spr_resets"): SPR
    | {"reset_every": "20k,40k,60k,80k", "reset_groups": "head,sigma", "reset_target": "copy"},
    ("spr", "sr_spr"): SPR
    | {"noisy": 0.0, "act_by": "target", "capacity": 200_000, "target_tau": 0.005, "replay_ratio": 16.0}
    | {
        "reset_every": "2.5k",
        "shrink_every": "2.5k",
        "shrink_factor": 0.8,
        "shrink_noise": 0.2,
        "shrink_target": "own",
    },
    ("bbf", "rr2"): BBF | {"replay_ratio": 2.0, "reset_every": "20k,40k,60k,80k"},
    ("bbf", "rr8"): BBF | {"replay_ratio": 8.0},
    ("bbf", "rr2_a"): BBF | {"reset_every": "20k,40k,60k", "shrink_every": "20k,40k,60k"},
}
CONFIGS = {"rainbow": RainbowConfig, "spr": SPRConfig, "bbf": BBFConfig}


@pytest.mark.parametrize(("agent", "preset"), COLUMNS)
def test_a_preset_is_its_column(agent, preset):
    settings, column = parse(agent, CONFIGS[agent], ["--env=Pong", f"--preset={preset}"]), COLUMNS[agent, preset]
    assert {key: settings.flat[key] for key in column} == column
    assert problems(settings) == []


@pytest.mark.parametrize(("agent", "config"), CONFIGS.items())
def test_every_preset_has_its_column(agent, config):
    untold = {"classic", "rr8_a"}  # ours; held by the dry runs of BBF's resets
    assert {p for a, p in COLUMNS if a == agent} == set(config.presets) - untold


@pytest.mark.parametrize(("agent", "preset"), [("rainbow", "dopamine"), ("spr", "spr"), ("bbf", "rr2")])
def test_the_preset_on_atari_is_the_first(agent, preset):
    assert parse(agent, CONFIGS[agent], ["--env=Pong"]).run.preset == preset


def test_a_preset_gives_way_to_the_line():
    flat = parse("bbf", BBFConfig, ["--env=Pong", "--reset-every=never", "--shrink-every=10k", "--redo-every=1k"]).flat
    assert (flat["reset_every"], flat["shrink_every"], flat["redo_every"]) == ("never", "10k", "1k")
    assert flat["shrink_groups"] == "encoder,transition"


def test_drq_eps_is_dqns_preset_of_atari_100k():
    mine = parse("rainbow", RainbowConfig, ["--env=Pong", "--preset=drq_eps"]).flat
    theirs = parse("dqn", DQNConfig, ["--env=Pong", "--preset=atari100k"]).flat
    assert {k: (mine[k], v) for k, v in theirs.items() if mine[k] != v and k != "preset"} == {}
