"""Games: dm_env's rule over N games, two buffers, independent seeds, finished games that a checkpoint keeps."""

import numpy as np
import pytest
from dm_env import StepType
from gymnasium.spaces import Box, Discrete

from envs.atari import AtariSettings
from envs.batch import Games
from envs.make import make_env
from envs.spec import EnvSpec
from envs.toy import Catch, Chain


class Echo:
    """Shows and pays the action; an episode lasts three steps."""

    def __init__(self):
        self.spec, self.t, self.seeds = EnvSpec("echo", Box(-1, 1, (2,), np.float32), Discrete(9)), 0, []

    def seed(self, seed):
        self.seeds.append(seed)

    def reset(self, obs):
        self.t, obs[:] = 0, 0

    def step(self, action, obs):
        self.t, obs[:] = self.t + 1, action
        return float(action), 1.0, self.t == 3

    def finished(self):
        return (1.5, 3) if self.t == 3 else None


def test_after_last_comes_first_which_ignores_the_action():
    env = Games([Echo()])
    env.reset(0)
    rows = [tuple(float(x[0]) for x in env.step(np.array([5]))[:3]) for _ in range(5)]
    mid, last, first = ((float(kind), 5.0, 1.0) for kind in (StepType.MID, StepType.LAST, StepType.FIRST))
    assert rows == [mid, mid, last, (first[0], 0.0, 1.0), mid]


def test_arrays_have_the_promised_types():
    step_type, reward, discount, obs = make_env("toy:catch", 3).reset(0)
    assert [x.dtype for x in (step_type, reward, discount, obs)] == [np.uint8, np.float32, np.float32, np.uint8]
    assert [x.shape for x in (step_type, reward, discount, obs)] == [(3,), (3,), (3,), (3, 4, 44, 44)]


def test_a_time_step_is_valid_until_the_step_after_next():
    env = Games([Echo(), Echo()])
    env.reset(0)
    now = env.step(np.array([1, 2]))
    then = env.step(np.array([3, 4]))
    assert (now.reward.tolist(), now.observation[:, 0].tolist()) == ([1, 2], [1, 2])
    assert (then.reward.tolist(), then.observation[:, 0].tolist()) == ([3, 4], [3, 4])


def test_no_step_allocates_a_buffer():
    env = Games([Echo()])
    steps = [env.reset(0), *(env.step(np.array([1])) for _ in range(5))]
    assert len({id(step.observation) for step in steps}) == 2


def test_a_reset_in_mid_episode_begins_anew_and_keeps_the_last_step_valid():
    env = Games([Echo()])
    env.reset(0)
    now = env.step(np.array([4]))
    assert env.reset(1).step_type.tolist() == [StepType.FIRST]
    assert now.reward.tolist() == [4]


def test_first_has_discount_1_whatever_its_buffer_held():
    env = make_env("toy:chain")
    env.reset(0)
    while env.step(np.array([1])).discount[0]:
        pass
    assert [env.reset(seed).discount.tolist() for seed in (1, 2)] == [[1], [1]]


@pytest.mark.parametrize("name", ["toy:lives", "CartPole-v1"])
def test_a_games_stream_is_independent_of_how_many_there_are(name):
    one, three = make_env(name, 1), make_env(name, 3)
    assert (one.reset(3).observation[0] == three.reset(3).observation[0]).all()
    for _ in range(45):
        a, b = one.step(np.array([0])), three.step(np.array([0, 1, 0]))
        assert all((x[0] == y[0]).all() for x, y in zip(a, b, strict=True))


def test_sticky_actions_of_a_game_are_independent_of_how_many_there_are():
    settings = AtariSettings(sticky=0.5)
    one, two = make_env("Pong", 1, settings), make_env("Pong", 2, settings)
    one.reset(3), two.reset(3)
    for k in range(40):
        a, b = one.step(np.array([k % 6])), two.step(np.array([k % 6, 0]))
    assert (a.observation[0] == b.observation[0]).all()
    assert (b.observation[0] != b.observation[1]).any()


def test_games_of_one_env_differ(played):
    env = make_env("CartPole", 2)
    first = env.reset(0).observation
    assert not np.array_equal(first[0], first[1])


def test_the_same_seed_gives_the_same_games_again(played):
    env, other = make_env("toy:lives", 2), make_env("toy:lives", 2)
    rows = played(env, 60)
    assert rows == played(env, 60) == played(other, 60)
    assert rows != played(other, 60, seed=8)


def test_seeds_are_spawned_and_not_counted_up():
    a, b = Games([Echo(), Echo()]), Games([Echo(), Echo()])
    a.reset(0)
    b.reset(1)
    assert len({game.seeds[0] for env in (a, b) for game in env._games}) == 4


def test_finished_games_are_told_once():
    env = Games([Echo(), Echo()])
    env.reset(0)
    for _ in range(3):
        env.step(np.array([1, 1]))
    assert env.finished() == [(0, 1.5, 3, 0), (1, 1.5, 3, 0)]
    assert env.finished() == []


def test_finished_games_outlive_a_checkpoint():
    env, resumed = Games([Chain(), Chain()]), Games([Chain(), Chain()])
    env.reset(0)
    for _ in range(4):
        env.step(np.array([0, 1]))
    resumed.load_state_dict(env.state_dict())
    assert resumed.finished() == [(1, 1.0, 4, 0)]
    assert [type(x) for x in env.finished()[0]] == [int, float, int, int]


def test_a_restored_game_at_last_begins_anew():
    env, resumed = Games([Chain(), Chain()]), Games([Chain(), Chain()])
    env.reset(0)
    for _ in range(4):
        env.step(np.array([0, 1]))
    resumed.load_state_dict(env.state_dict())
    assert resumed.step(np.array([1, 1])).step_type.tolist() == [StepType.MID, StepType.FIRST]


def test_a_state_is_not_a_view():
    env = Games([Catch()])
    env.reset(0)
    state = env.state_dict()
    stack, last = state["games"]["0"]["stack"].copy(), state["last"].copy()
    while env.step(np.array([0])).step_type[0] != StepType.LAST:
        pass
    assert (state["games"]["0"]["stack"] == stack).all()
    assert (state["last"] == last).all()


def test_pending_games_are_forgotten_by_a_reset():
    env = Games([Chain()])
    env.reset(0)
    for _ in range(4):
        env.step(np.array([1]))
    env.reset(1)
    assert env.finished() == []


def test_a_state_of_another_number_of_games_is_refused():
    with pytest.raises(ValueError, match="holds 2 games of toy:chain, not 1"):
        make_env("toy:chain", 1).load_state_dict(make_env("toy:chain", 2).state_dict())


def test_a_step_before_any_reset_says_so():
    with pytest.raises(RuntimeError, match=r"call reset\(seed\)"):
        make_env("toy:chain").step(np.array([0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_observation_that_is_not_finite_is_refused_by_name(bad):
    env = Games([Echo(), Echo()])
    env.reset(0)
    with pytest.raises(FloatingPointError, match=r"echo .* envs \[1\]"):
        env.step(np.array([1, bad]))


def test_a_reward_that_is_not_finite_is_refused_by_name():
    class Poor(Echo):
        def step(self, action, obs):
            return -np.inf, *super().step(0, obs)[1:]

    env = Games([Poor()])
    env.reset(0)
    with pytest.raises(FloatingPointError, match="echo"):
        env.step(np.array([1]))
