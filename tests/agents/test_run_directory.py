"""results/<env>/<agent+interventions>/<seed>-<hash>: one directory for each configuration, the same one every time."""

import json
from dataclasses import replace

import pytest

from agents.config import FREE
from agents.dqn import DQNConfig
from agents.flags import parse
from tests.agents.tiny import parsed


def at(*flags):
    return parse("dqn", DQNConfig, list(flags)).directory


def test_the_directory_is_named_after_env_agent_methods_and_seed():
    path = parsed("--root=r", "--seed=3", "--reset-every=9", "--optreset-every=1:targets").directory
    assert path.parts[:3] == ("r", "toy-chain", "dqn+optreset+reset")
    seed, _, digest = path.name.partition("-")
    assert (seed, len(digest)) == ("3", 8)


def test_every_frozen_setting_changes_the_hash_and_no_free_one_does():
    settings = parsed()
    keys = [key for key in settings.flat if key not in ("env", "seed")]
    paths = {key: replace(settings, odd=settings.odd | {key: "another"}).directory for key in keys}
    assert {key for key, path in paths.items() if path == settings.directory} == (FREE | {"steps"}) & set(keys)
    frozen = [path for key, path in paths.items() if key not in FREE | {"steps"}]
    assert len(set(frozen)) == len(frozen) > 40


@pytest.mark.parametrize(
    "flag",
    ["--lr=0.002", "--gamma=0.5", "--num-envs=2", "--hidden=9", "--target-every=9", "--warmup=21", "--no-clip-reward"],
)
def test_a_typed_setting_changes_the_hash(flag):
    assert parsed(flag).directory != parsed().directory


@pytest.mark.parametrize("flag", ["--seed=1", "--env=toy:catch", "--reset-every=9", "--root=r"])
def test_what_is_in_the_path_changes_the_path(flag):
    assert parsed(flag).directory != parsed().directory


def test_free_settings_and_steps_leave_the_directory():
    free = ("--steps=7", "--save-every=3", "--eval-every=9", "--record-every=1", "--probe-batch=2", "--device=cpu")
    assert parsed(*free, "--max-time=3h", "--snapshot-every=4").directory == parsed().directory


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["--lr=1e-4", "--gamma=0.9"], ["--gamma", "0.90", "--lr", "0.0001"]),
        (["--target-every=8000", "--warmup=1000"], ["--target-every", "8k", "--warmup", "1_000"]),
        (["--reset-every=1000"], ["--reset-every=1k:steps"]),
        (["--env=cartpole"], ["--env=CartPole-v1", "--preset=classic"]),
        (["--env=Pong", "--preset=dopamine"], ["--env=Pong", "--loss=mse", "--padding=same", "--init=xavier"]),
        ([], ["--lr=6.25e-5", "--no-double"]),
    ],
)
def test_equal_configurations_find_the_same_directory(one, other):
    assert at(*one) == at(*other)


def test_out_is_the_directory_itself():
    assert str(parsed("--out=here", "--root=r", "--seed=9").directory) == "here"


def test_the_config_of_a_run_finds_it_again(command, tmp_path):
    assert command("--steps=25", "--seed=4", "--gamma=0.5", "--reset-every=9,12")[0] == 0
    (path,) = tmp_path.glob("results/**/config.json")
    again = parse("dqn", DQNConfig, [f"--config={path}"])
    assert tmp_path / again.directory == path.parent
    assert again.saved() == json.loads(path.read_text())


def test_a_config_says_neither_where_the_run_lies_nor_where_it_came_from(command, tmp_path):
    assert command("--steps=25", "--out=here")[0] == 0
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    assert config["agent"] == "dqn"
    assert not {"out", "root", "config"} & config.keys()
    assert set(config) - {"agent"} == set(parsed().flat) - {"out", "root", "config"}
