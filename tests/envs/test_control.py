"""gymnasium's environments behind the adapter: same numbers, true ends told from time limits, exact states."""

import gymnasium as gym
import numpy as np
import pytest
from dm_env import StepType
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from envs.batch import Games
from envs.control import GymGame, ids, make_control


@pytest.mark.filterwarnings("ignore:.*(infinity|normalized):UserWarning")
@pytest.mark.parametrize("name", ids())
def test_gymnasiums_own_checker_accepts(name):
    check_env(gym.make(name).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("name", ids())
def test_a_restored_env_makes_the_steps_of_the_straight_run(restores, name):
    limited = lambda: GymGame(gym.make(name, disable_env_checker=True, max_episode_steps=40))
    restores(lambda: Games([limited(), limited()]), points=[0, 1, 20, 39, 40, 41, 77], after=90)


def test_a_state_replaces_what_another_run_left_behind(restores):
    used = make_control("Pendulum-v1")
    used.seed(0)
    used.reset(np.zeros(3, np.float32))
    used.step(np.ones(1, np.float32), np.zeros(3, np.float32))
    used.load_state_dict(make_control("Pendulum-v1").state_dict())
    assert not hasattr(used.env.unwrapped, "last_u")


def test_a_state_shares_no_memory_with_an_env():
    game, obs = make_control("CartPole-v1"), np.zeros(4, np.float32)
    game.seed(0)
    game.reset(obs)
    saved = game.state_dict()
    states = [game.env.unwrapped.state, saved["layers"]["2"]["state"]]
    game.load_state_dict(saved)
    assert not np.shares_memory(*states)
    assert not np.shares_memory(states[1], game.env.unwrapped.state)


def test_the_first_reward_after_a_restore_counts_the_steps_already_made():
    game, resumed, obs = make_control("MountainCar-v0"), make_control("MountainCar-v0"), np.zeros(2, np.float32)
    game.seed(0)
    game.reset(obs)
    for _ in range(150):
        game.step(1, obs)
    resumed.load_state_dict(game.state_dict())
    lasts = [resumed.step(1, obs)[-1] for _ in range(50)]
    assert lasts == [False] * 49 + [True]
    assert resumed.finished() == (-200.0, 200)


def test_types_are_restored():
    game, resumed = make_control("MountainCar-v0"), make_control("MountainCar-v0")
    game.seed(0)
    game.reset(obs := np.zeros(2, np.float32))
    game.step(0, obs)
    resumed.load_state_dict(game.state_dict())
    state = resumed.env.unwrapped.state
    assert state == game.env.unwrapped.state
    assert [type(state), type(state[0]), resumed.env.unwrapped.low.dtype] == [tuple, np.float64, np.float32]


@pytest.mark.parametrize(("name", "bound"), [("CartPole-v1", 1), ("Pendulum-v1", 2), ("Taxi-v4", 1)])
def test_a_seed_gives_the_episodes_of_gymnasium(name, bound):
    game, theirs = make_control(name), gym.make(name)
    obs = np.zeros(game.spec.observation.shape, np.float32)
    game.seed(5)
    game.reset(obs)
    expected = theirs.reset(seed=5)[0]
    theirs.action_space.seed(0)
    for _ in range(10):
        assert (obs == (np.eye(500)[expected] if name == "Taxi-v4" else expected)).all()
        action = theirs.action_space.sample()
        expected, reward, terminated, truncated, _ = theirs.step(action)
        assert game.step(action / bound, obs) == (reward, float(not terminated), terminated or truncated)


@pytest.mark.parametrize("name", ids())
def test_a_new_seed_in_mid_episode_is_a_fresh_game(played, name):
    limited = lambda: Games([GymGame(gym.make(name, disable_env_checker=True, max_episode_steps=15))])
    used = limited()
    played(used, 7, seed=1)
    assert played(used, 40, seed=2) == played(limited(), 40, seed=2)


@pytest.mark.parametrize(("name", "bound"), [("Pendulum-v1", 2), ("MountainCarContinuous-v0", 1)])
def test_actions_lie_in_the_unit_box_and_are_rescaled(name, bound):
    game, seen = make_control(name), []
    assert game.spec.action == Box(-1, 1, (1,), np.float32)
    game.env.unwrapped.step = lambda action: (
        seen.append(action) or ([0, 0, 0][: game.spec.observation.shape[0]], 0, 0, 0, {})
    )
    game.seed(0)
    game.reset(obs := np.zeros(game.spec.observation.shape, np.float32))
    for action in (-1, -0.5, 1):
        game.step(np.full(1, action, np.float32), obs)
    assert np.ravel(seen).tolist() == [-bound, -0.5 * bound, bound]


def test_unbounded_actions_are_refused():
    class Unbounded(gym.Env):
        action_space, observation_space = Box(-np.inf, 1, (2,)), Box(0, 1, (1,))
        spec = gym.spec("Pendulum-v1")

    with pytest.raises(ValueError, match="only Discrete and a bounded Box can be played"):
        GymGame(Unbounded())


def test_a_fallen_pole_has_discount_0():
    env = Games([make_control("CartPole-v1")])
    now = env.reset(0)
    while now.step_type[0] != StepType.LAST:
        now = env.step(np.array([0]))
    (whole,) = env.finished()
    assert (now.discount[0], whole.score) == (0, float(whole.steps))
    assert 7 < whole.steps < 12


def test_a_time_limit_has_discount_1():
    env = Games([make_control("Pendulum-v1")])
    env.reset(0)
    steps = [env.step(np.zeros((1, 1), np.float32)) for _ in range(200)]
    assert (steps[-1].step_type[0], steps[-1].discount[0]) == (StepType.LAST, 1)
    assert env.finished()[0].steps == 200


def test_an_end_in_the_very_step_of_the_limit_is_a_true_end():
    env = Games([GymGame(gym.make("CartPole-v1", max_episode_steps=9))])
    env.reset(0)
    ends = [env.step(np.array([0])) for _ in range(9)]
    assert (ends[-1].step_type[0], ends[-1].discount[0]) == (StepType.LAST, 0)


def test_discrete_observations_are_one_hot():
    game, obs = make_control("FrozenLake-v1"), np.full(16, 7, np.float32)
    game.seed(0)
    game.reset(obs)
    assert obs.tolist() == [1.0] + [0.0] * 15
    assert (game.spec.observation.shape, game.spec.observation.dtype) == ((16,), np.float32)
