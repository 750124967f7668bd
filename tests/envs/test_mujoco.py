"""gymnasium's MuJoCo tasks: exact states, rescaled actions, true ends told from time limits, changed friction."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("mujoco")

import mujoco as simulator

from envs import mujoco
from envs.batch import Games
from envs.control import GymGame
from envs.physics import hushed


def limited(name: str, steps: int = 40) -> GymGame:
    with hushed():
        return GymGame(gym.make(name, disable_env_checker=True, max_episode_steps=steps))


def test_the_family_is_every_task_in_version_5():
    assert len(mujoco.ids()) == 11
    assert {"Ant-v5", "HalfCheetah-v5", "Humanoid-v5"} < set(mujoco.ids())
    assert set(mujoco.WALKERS) < set(mujoco.ids())


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("half_cheetah", "HalfCheetah-v5"),
        ("HalfCheetah", "HalfCheetah-v5"),
        ("halfcheetah-V5", "HalfCheetah-v5"),
        ("walker2d", "Walker2d-v5"),
        ("Walker2d-v5", "Walker2d-v5"),
        ("humanoid standup", "HumanoidStandup-v5"),
        ("cheetah", None),
        ("CartPole-v1", None),
        ("v5", None),
        ("", None),
    ],
)
def test_names(name, known_as):
    assert mujoco.canonical(name) == known_as


@pytest.mark.parametrize("name", ["HalfCheetah-v4", "half_cheetah_v2", "HalfCheetah-v6"])
def test_another_version_is_refused_by_naming_version_5(name):
    with pytest.raises(ValueError, match=f"^{name} has other rewards .*; write HalfCheetah-v5$"):
        mujoco.canonical(name)


def test_names_do_not_import_mujoco():
    code = "import sys; from envs import mujoco; mujoco.canonical('Ant'); sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(ValueError, match=r"^HalfCheetah-v5 needs mujoco; pip install -e '.\[mujoco\]'$"):
        mujoco.make("HalfCheetah-v5")


def test_making_a_game_is_silent_and_leaves_the_ear_of_another():
    heard, before = [], simulator.get_mju_user_warning()
    listen = heard.append
    simulator.set_mju_user_warning(listen)
    try:
        mujoco.make("HalfCheetah-v5")
        assert (heard, simulator.get_mju_user_warning()) == ([], listen)
    finally:
        simulator.set_mju_user_warning(before)


@pytest.mark.parametrize("point", np.random.default_rng(3).integers(1, 200, 3))
@pytest.mark.parametrize("name", ["Ant-v5", "HalfCheetah-v5", "Humanoid-v5"])
def test_a_fresh_game_goes_on_where_another_was_saved(restores, name, point):
    restores(lambda: Games([mujoco.make(name)]), points=[point], after=30)


@pytest.mark.parametrize("name", ["Ant-v5", "HalfCheetah-v5", "Humanoid-v5", "Reacher-v5"])
def test_a_restored_game_goes_through_the_end_of_its_episode(restores, name):
    restores(lambda: Games([limited(name), limited(name)]), points=[0, 20, 40, 41], after=25)


def test_a_cheetah_in_the_air_is_restored_as_one_on_the_ground(restores):
    """Without a contact MuJoCo has no islands, and shows memory that is not its own where they would lie."""
    restores(lambda: Games([mujoco.make("HalfCheetah-v5")]), points=list(range(40)), after=5)


def test_a_state_does_not_move_with_its_game():
    game, obs = mujoco.make("HalfCheetah-v5"), np.zeros(17, np.float32)
    game.seed(0)
    game.reset(obs)
    arrays = game.state_dict()["physics"]["arrays"]
    before = arrays["qvel"].copy()
    game.step(np.ones(6, np.float32), obs)
    assert (arrays["qvel"] == before).all()
    assert (game.state_dict()["physics"]["arrays"]["qvel"] != before).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", mujoco.ids())
def test_every_task_is_exact_at_50_points(restores, name):
    points = np.random.default_rng(0).choice(500, 50, replace=False).tolist()
    restores(lambda: Games([limited(name, 300)]), points=points, after=30)


def test_the_simulators_own_state_is_not_enough():
    """Ant's reward compares with the position that the step before left behind."""
    straight, resumed, obs = mujoco.make("Ant-v5"), mujoco.make("Ant-v5"), np.zeros(105, np.float32)
    straight.seed(0)
    straight.reset(obs)
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 8)):
        straight.step(action, obs)
    resumed.load_state_dict(straight.state_dict())
    simulator.mj_forward(resumed.env.unwrapped.model, resumed.env.unwrapped.data)
    rewards = [game.step(np.ones(8, np.float32), obs)[0] for game in (straight, resumed)]
    assert abs(rewards[0] - rewards[1]) > 0.001


@pytest.mark.parametrize("name", mujoco.ids())
def test_a_new_seed_in_mid_episode_is_a_fresh_game(played, name):
    used, fresh = Games([limited(name, 15)]), Games([limited(name, 15)])
    played(used, 7, seed=1)
    assert played(used, 40, seed=2) == played(fresh, 40, seed=2)


def test_two_games_share_nothing(played):
    alone, together = mujoco.make("Ant-v5"), Games([mujoco.make("Ant-v5"), mujoco.make("Ant-v5")])
    rows = [np.frombuffer(row[3], np.float32).reshape(2, -1)[0] for row in played(together, 30)]
    assert (rows == np.stack([np.frombuffer(row[3], np.float32) for row in played(Games([alone]), 30)])).all()


def test_a_seed_gives_the_episode_of_gymnasium():
    game, theirs, obs = mujoco.make("Hopper-v5"), gym.make("Hopper-v5"), np.zeros(11, np.float32)
    game.seed(5)
    game.reset(obs)
    assert (obs == theirs.reset(seed=5)[0].astype(np.float32)).all()
    for _ in range(10):
        expected, reward, terminated, _, _ = theirs.step(np.full(3, 0.5, np.float32))
        assert game.step(np.full(3, 0.5, np.float32), obs) == (reward, float(not terminated), terminated)
        assert (obs == expected.astype(np.float32)).all()


@pytest.mark.parametrize(("name", "bound"), [("Humanoid-v5", 0.4), ("Pusher-v5", 2.0), ("HalfCheetah-v5", 1.0)])
def test_actions_are_rescaled_to_the_bounds(name, bound):
    game = mujoco.make(name)
    size, obs = game.spec.action.shape, np.zeros(game.spec.observation.shape, np.float32)
    assert (game.spec.action.low == -1).all()
    assert (game.spec.action.high == 1).all()
    game.seed(0)
    game.reset(obs)
    for action in (-1, 0, 0.5, 1):
        game.step(np.full(size, action, np.float32), obs)
        assert game.env.unwrapped.data.ctrl == pytest.approx(np.full(size, action * bound), abs=1e-7)


def test_a_time_limit_has_discount_1():
    game, obs = mujoco.make("HalfCheetah-v5"), np.zeros(17, np.float32)
    game.seed(0)
    game.reset(obs)
    steps = [game.step(np.zeros(6, np.float32), obs) for _ in range(1000)]
    assert [last for _, _, last in steps] == [False] * 999 + [True]
    assert {discount for _, discount, _ in steps} == {1.0}


def test_a_fallen_hopper_has_discount_0():
    game, obs = mujoco.make("Hopper-v5"), np.zeros(11, np.float32)
    game.seed(0)
    game.reset(obs)
    for _ in range(999):
        _, discount, last = game.step(np.ones(3, np.float32), obs)
        if last:
            break
    assert (discount, last) == (0, True)


def test_friction_multiplies_sliding_friction_alone():
    usual, slippery = (mujoco.make("Ant-v5", friction).env.unwrapped.model for friction in (1.0, 0.25))
    assert (slippery.geom_friction == usual.geom_friction * [0.25, 1, 1]).all()
    assert usual.geom_friction[0, 0] == 1


def test_friction_is_the_games_and_not_the_states(restores):
    slippery, usual = mujoco.make("Ant-v5", 0.25), mujoco.make("Ant-v5")
    slippery.load_state_dict(usual.state_dict())
    assert slippery.env.unwrapped.model.geom_friction[0, 0] == 0.25
    slippery.seed(0)
    assert slippery.env.unwrapped.model.geom_friction[0, 0] == 0.25
    restores(lambda: Games([mujoco.make("Ant-v5", 0.25)]), points=[25], after=30)


@pytest.mark.parametrize("name", mujoco.WALKERS)
def test_a_walker_feels_the_friction(played, name):
    rows = [played(Games([mujoco.make(name, friction)]), 60) for friction in (1.0, 0.1)]
    assert rows[0] != rows[1]


@pytest.mark.parametrize("friction", [0, -1, float("nan"), float("inf")])
def test_friction_is_a_positive_factor(friction):
    with pytest.raises(ValueError, match=r"^the friction of Ant-v5 is \S+, but must be a positive factor, e.g. 0.5$"):
        mujoco.make("Ant-v5", friction)


def test_what_does_not_walk_has_no_friction():
    with pytest.raises(ValueError, match=r"^Swimmer-v5 does not walk on a ground; friction is for Ant-v5, HalfCheetah"):
        mujoco.make("Swimmer-v5", 0.5)
