"""Sequences of tasks: where they switch, row by row, and that a saved sequence goes on as if it had never stopped."""

import hypothesis.strategies as st
import numpy as np
import pytest
from dm_env import StepType
from hypothesis import given, settings

from envs.atari import AtariSettings
from envs.make import examination, make_env
from envs.spec import Finished
from envs.tasks import TaskSequence, TaskSettings, visit_seed
from replay.uniform import Uniform
from runs.units import Period

FIRST, MID, LAST = (int(kind) for kind in StepType)


def every(*steps, **others):
    return TaskSettings(Period(steps[0]) if len(steps) == 1 else Period(0, "steps", steps), **others)


def rows(env, actions):
    """(step type, reward, discount, first number seen) of each game in each row."""
    for action in actions:
        kind, reward, discount, obs = env.step(np.array(action))
        yield [(int(kind[i]), float(reward[i]), float(discount[i]), float(obs[i].flat[0])) for i in range(len(kind))]


def kinds(env, actions):
    return [[row[0] for row in each] for each in rows(env, actions)]


def test_one_environment_switches_in_the_step_that_ends_its_task():
    env = make_env("toy:counter,toy:counter@reward=2", 1, None, every(5))
    assert (env.reset(0).step_type.tolist(), env.task) == ([FIRST], 0)
    assert list(rows(env, [[0]] * 5)) == [
        [(MID, 1, 1, 1)],
        [(MID, 10, 1, 2)],
        [(MID, 100, 1, 3)],
        [(MID, 1000, 1, 4)],
        [(LAST, 1, 1, 5)],
    ]
    assert env.task == 0
    assert list(rows(env, [[0]] * 3)) == [[(FIRST, 0, 1, 0)], [(MID, 2, 1, 1)], [(MID, 20, 1, 2)]]
    assert env.task == 1
    assert kinds(env, [[0]] * 4) == [[MID], [MID], [LAST], [FIRST]]
    assert list(rows(env, [[0]])) == [[(MID, 1, 1, 1)]]
    assert (env.task, env.tasks[env.task % 2], env.finished()) == (2, "toy:counter", [])


def test_a_game_that_ends_by_itself_in_the_last_step_of_a_task_is_a_whole_one():
    env = make_env("toy:counter,toy:counter", 1, None, every(11))
    env.reset(0)
    assert list(rows(env, [[0]] * 11))[-1] == [(LAST, 100, 0, 11)]
    assert env.finished() == [Finished(0, 2333.0, 11, 0)]
    list(rows(env, [[0]] * 12))
    assert env.finished() == [Finished(0, 2333.0, 11, 1)]


def test_three_environments_share_the_steps_and_switch_together():
    env = make_env("toy:chain,toy:chain@reward=3", 3, None, every(14))
    env.reset(0)
    assert kinds(env, [[1, 0, 0]] * 4) == [[MID, MID, MID]] * 3 + [[LAST, MID, MID]]  # 12 steps; game 0 has won
    assert list(rows(env, [[1, 0, 0]])) == [[(FIRST, 0, 1, 1), (LAST, 0, 1, 1), (LAST, 0, 1, 1)]]  # 14: game 0 is ahead
    assert env.task == 0
    assert kinds(env, [[1, 1, 1]]) == [[MID, FIRST, FIRST]]
    assert env.task == 1
    then = list(rows(env, [[1, 1, 1]] * 4))  # 15, then 3 a row
    assert [each[0][:3] for each in then] == [(MID, 0, 1), (MID, 0, 1), (LAST, 3, 0), (FIRST, 0, 1)]
    assert [each[1][:3] for each in then] == [(MID, 0, 1), (MID, 0, 1), (MID, 0, 1), (LAST, 3, 0)]
    assert env.finished() == [Finished(0, 1.0, 4, 0), Finished(0, 1.0, 4, 1), *(Finished(i, 1.0, 4, 1) for i in (1, 2))]


def test_a_row_that_crosses_two_ends_at_once_begins_the_visit_that_is_due():
    env = make_env("toy:counter,toy:counter@reward=2,toy:counter@reward=4", 3, None, every(2, 3, 50))
    env.reset(0)
    assert kinds(env, [[0] * 3] * 2) == [[LAST] * 3, [FIRST] * 3]
    assert env.task == 2
    assert [each[0][1] for each in rows(env, [[0] * 3] * 2)] == [4, 40]


def test_a_sequence_that_does_not_cycle_stays_at_its_last_task():
    env = make_env("toy:counter,toy:counter@reward=2", 1, None, every(3, task_cycle=False))
    env.reset(0)
    assert kinds(env, [[0]] * 4) == [[MID], [MID], [LAST], [FIRST]]
    assert kinds(env, [[0]] * 11) == [[MID]] * 10 + [[LAST]]
    assert (env.task, env.finished()) == (1, [Finished(0, 2333.0, 11, 1)])


def test_tasks_may_change_at_given_steps():
    turns = TaskSequence(("a", "b"), every=Period(0, "steps", (20, 50)))
    assert [turns.due(steps) for steps in (19, 20, 49, 50, 1000)] == [0, 1, 1, 2, 2]
    assert [turns.at(visit) for visit in range(3)] == [0, 1, 0]


def test_a_window_that_a_switch_cuts_off_bootstraps_from_its_last_observation():
    env, replay = make_env("toy:counter,toy:counter", 1, None, every(5)), Uniform(40, (2,), np.float32)
    now = env.reset(0)
    for _ in range(12):
        then = env.step(np.array([0]))
        replay.add(now, np.array([0], np.int32), then)
        now = type(then)(*(x.copy() for x in then))
    batch = replay.gather(np.array([3]), n=3, gamma=0.5)
    assert [x.tolist() for x in (batch.obs, batch.reward, batch.discount, batch.next_obs)] == [
        [[3, 0]],
        [1000.5],
        [0.25],
        [[5, 0]],
    ]
    assert 5 not in replay.ring.transitions()


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 4), steps=st.integers(5, 40), cycle=st.booleans(), seed=st.integers(0, 99))
def test_first_follows_last_and_nothing_else_and_every_visit_has_its_steps(n, steps, cycle, seed):
    env = make_env("toy:lives,toy:catch,toy:lives@reward=2", n, None, every(steps, task_cycle=cycle))
    rng, before, count = np.random.default_rng(seed), env.reset(seed).step_type.copy(), 0
    for _ in range(120):
        was, then = env.task, env.step(rng.integers(3, size=n))
        assert ((then.step_type == FIRST) == (before == LAST)).all()
        due = count // steps if cycle else min(count // steps, 2)
        assert env.task == due  # all that begin before the row that crosses the next end
        assert env.task >= was
        count += np.count_nonzero(then.step_type != FIRST)
        if (count // steps if cycle else min(count // steps, 2)) > due:
            assert (then.step_type != MID).all()
        before = then.step_type.copy()


@pytest.mark.parametrize("n", [1, 3])
def test_a_restored_sequence_goes_on_over_its_switches(restores, n):
    make = lambda: make_env("toy:lives,toy:catch@reward=2,toy:lives", n, None, every(16 * n))
    restores(make, points=list(range(38)), after=40)


def test_a_restored_sequence_of_rewards_goes_on_over_its_switches(restores):
    restores(lambda: make_env("CartPole,CartPole@reward=10", 2, None, every(30)), points=list(range(38)), after=40)


def test_a_fresh_environment_loads_a_later_visit():
    make = lambda: make_env("toy:lives,toy:catch", 2, None, every(20))
    env, fresh = make(), make()
    env.reset(3)
    actions = np.random.default_rng(0).integers(3, size=(60, 2))
    kept = list(rows(env, actions[:15])), env.state_dict(), list(rows(env, actions[15:]))
    assert env.task > 2
    fresh.load_state_dict(kept[1])
    assert (fresh.task, list(rows(fresh, actions[15:]))) == (1, kept[2])


def test_a_reset_begins_the_sequence_anew(played):
    env = make_env("toy:lives,toy:catch", 2, None, every(30))
    assert played(env, 50) == played(env, 50)
    assert env.task > 1
    env.reset(0)
    assert env.task == 0


def test_the_first_visit_is_the_environment_without_a_sequence(played):
    alone, first = make_env("toy:lives", 2), make_env("toy:lives,toy:catch", 2, None, every(1000))
    assert played(alone, 60) == played(first, 60)


def test_seeds_of_the_first_visit_are_the_spawned_children():
    spawned = [int(child.generate_state(1, np.uint64)[0]) for child in np.random.SeedSequence(7).spawn(3)]
    assert [visit_seed(7, i, 0) for i in range(3)] == spawned
    assert len({visit_seed(7, i, v) for i in range(3) for v in range(3)}) == 9


def test_a_later_visit_is_a_new_environment_of_its_own_seed():
    env = make_env("toy:reach@reward=0,toy:reach", 2, None, every(6))
    alone = make_env("toy:reach", 2)
    env.reset(9)
    alone.reset(0)
    for i, game in enumerate(alone._games):
        game.seed(visit_seed(9, i, 1))
    push = np.full((2, 1), 0.5, np.float32)
    for _ in range(3):
        env.step(push)
    alone._last[:] = True
    for _ in range(3):
        a, b = env.step(push), alone.step(push)
        assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_reward_zero_pays_nothing_and_leaves_the_scores_alone():
    env = make_env("toy:counter@reward=0")
    env.reset(0)
    assert {each[0][1] for each in rows(env, [[0]] * 11)} == {0}
    assert env.finished() == [Finished(0, 2333.0, 11, 0)]


def test_a_sequence_says_what_it_is():
    env = make_env("Toy:Counter, toy:counter@REWARD=.50", 2, None, every(9))
    assert env.tasks == ("toy:counter", "toy:counter@reward=0.5")
    assert env.spec.name == "toy:counter,toy:counter@reward=0.5"
    assert make_env("toy:chain").tasks == ("toy:chain",)


def test_a_sequence_of_dm_controls_tasks_is_of_one_body():
    pytest.importorskip("dm_control")
    env = make_env("dmc:walker-walk,dmc:walker-run", 2, None, every(6))
    env.reset(0)
    kind = [env.step(np.zeros((2, 6))).step_type.tolist() for _ in range(5)]
    assert (kind, env.task) == ([[MID, MID]] * 2 + [[LAST, LAST], [FIRST, FIRST], [MID, MID]], 1)
    with pytest.raises(ValueError, match=r"walker-walk has float32\[24\] .*:hopper-hop float32\[15\]"):
        make_env("dmc:walker-walk,dmc:hopper-hop", 1, None, every(6))


def test_an_ant_on_slippery_ground_slides():
    pytest.importorskip("mujoco")
    firm, slippery = make_env("Ant"), make_env("Ant@friction=0.02")
    firm.reset(0), slippery.reset(0)
    push = np.ones((1, 8), np.float32)
    seen = [[env.step(push).observation.copy() for _ in range(30)] for env in (firm, slippery)]
    assert (seen[0][0] == seen[1][0]).all()  # still in the air
    assert (seen[0][-1] != seen[1][-1]).any()


def test_a_restored_change_of_friction_goes_on_over_its_switch(restores):
    pytest.importorskip("mujoco")
    restores(lambda: make_env("Ant,Ant@friction=0.1", 1, None, every(20)), points=[30, 12], after=15)


def test_an_examination_is_of_the_visits_task_alone():
    name = "toy:counter,toy:counter@reward=2"
    assert [examination(name, visit, 3, AtariSettings()).tasks for visit in range(3)] == [
        ("toy:counter",),
        ("toy:counter@reward=2",),
        ("toy:counter",),
    ]
    assert examination(name, 0, 3, AtariSettings()).num_envs == 3
