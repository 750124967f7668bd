"""dm_control's suite: exact states, its edited models included; its own numbers; time limits that bootstrap."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("dm_control")

import mujoco as simulator

from envs import suite
from envs.batch import Games
from envs.suite import DmGame

MOVING = ("dmc:quadruped-run", "dmc:finger-turn_hard", "dmc:fish-swim", "dmc:walker-walk")


def short(name: str, steps: int = 40) -> DmGame:
    game = suite.make(name)
    game.env._step_limit = steps
    return game


def begun(name: str, seed: int = 0) -> tuple[DmGame, np.ndarray]:
    game = suite.make(name)
    obs = np.zeros(game.spec.observation.shape, np.float32)
    game.seed(seed)
    game.reset(obs)
    return game, obs


def vector(parts: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in parts.values()]).astype(np.float32)


def test_the_family_is_the_whole_suite():
    assert len(suite.names()) == 51
    assert {"dmc:quadruped-run", "dmc:ball_in_cup-catch", "dmc:humanoid_CMU-run"} < set(suite.names())


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("dmc:quadruped-run", "dmc:quadruped-run"),
        ("dmc:Quadruped_Run", "dmc:quadruped-run"),
        ("dmc/quadruped-run", "dmc:quadruped-run"),
        ("DMC:ball-in-cup-catch", "dmc:ball_in_cup-catch"),
        ("dmc:humanoid_cmu-run", "dmc:humanoid_CMU-run"),
        ("dmc:lqr-2-1", None),
        ("quadruped-run", None),
        ("Pong", None),
        ("", None),
    ],
)
def test_names(name, known_as):
    if name == "dmc:lqr-2-1":
        with pytest.raises(ValueError, match="did you mean dmc:lqr-lqr_2_1"):
            suite.canonical(name)
    else:
        assert suite.canonical(name) == known_as


@pytest.mark.parametrize(("name", "near"), [("dmc:walker-wlk", "walker-walk"), ("dmc:quadruped_runs", "quadruped-run")])
def test_an_unknown_task_is_refused_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"^no task '{name}' in dm_control's suite; did you mean dmc:{near}\\?$"):
        suite.canonical(name)


def test_other_names_do_not_import_dm_control():
    code = "import sys; from envs import suite; suite.canonical('Pong'); sys.exit('dm_control' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(ValueError, match=r"^the tasks dmc:... need dm_control; pip install -e '.\[mujoco\]'$"):
        suite.canonical("dmc:walker-walk")


@pytest.mark.parametrize("point", np.random.default_rng(3).integers(1, 200, 3))
@pytest.mark.parametrize("name", MOVING)
def test_a_fresh_game_goes_on_where_another_was_saved(restores, name, point):
    restores(lambda: Games([suite.make(name)]), points=[point], after=30)


@pytest.mark.parametrize("name", [*MOVING, "dmc:point_mass-hard", "dmc:swimmer-swimmer6"])
def test_a_restored_game_goes_through_the_end_of_its_episode(restores, name):
    restores(lambda: Games([short(name), short(name)]), points=[0, 20, 40, 41], after=25)


@pytest.mark.parametrize(
    "name", [each if each in MOVING else pytest.param(each, marks=pytest.mark.slow) for each in suite.names()]
)
def test_a_new_seed_in_mid_episode_is_a_fresh_game(played, name):
    used, fresh = Games([short(name, 15)]), Games([short(name, 15)])
    played(used, 7, seed=1)
    assert played(used, 40, seed=2) == played(fresh, 40, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", suite.names())
def test_every_task_is_exact_at_50_points(restores, name):
    points = np.random.default_rng(0).choice(500, 50, replace=False).tolist()
    restores(lambda: Games([short(name, 300)]), points=points, after=30)


def test_sensors_stay_as_the_last_step_computed_them():
    """quadruped observes accelerations, which dm_control's step leaves as they were before the last integration."""
    game, obs = begun("dmc:quadruped-run")
    resumed = suite.make("dmc:quadruped-run")
    for _ in range(20):
        game.step(np.ones(12, np.float32), obs)
    resumed.load_state_dict(game.state_dict())
    physics, observe = resumed.env.physics, resumed.env.task.get_observation
    assert (vector(observe(physics)) == obs).all()
    simulator.mj_forward(physics.model.ptr, physics.data.ptr)
    assert (vector(observe(physics)) != obs).any()


@pytest.mark.parametrize("name", ["dmc:finger-turn_hard", "dmc:quadruped-escape", "dmc:point_mass-hard"])
def test_a_state_carries_the_edited_model(name):
    (game, _), other = begun(name, seed=1), begun(name, seed=2)[0]
    edits = game.state_dict()["physics"]["edits"]
    assert edits
    other.load_state_dict(game.state_dict())
    for field in edits:
        assert (getattr(other.env.physics.model.ptr, field) == getattr(game.env.physics.model.ptr, field)).all()


def test_a_state_does_not_move_with_its_game():
    game, obs = begun("dmc:finger-turn_hard")
    edits = game.state_dict()["physics"]["edits"]
    before = edits["site_pos"].copy()
    game.reset(obs)
    assert (edits["site_pos"] == before).all()
    assert (game.state_dict()["physics"]["edits"]["site_pos"] != before).any()


def test_a_state_carries_what_a_task_has_measured():
    """dog computes the height to stand at when its first episode begins."""
    game = suite.make("dmc:dog-run")
    obs, made = np.zeros(game.spec.observation.shape, np.float32), game.state_dict()
    game.reset(obs)
    begun_state, height = game.state_dict(), game.env.task._stand_height
    game.load_state_dict(made)
    assert not hasattr(game.env.task, "_stand_height")
    game.load_state_dict(begun_state)
    assert (game.env.task._stand_height == height).all()


def test_a_state_undoes_the_edits_of_another_run():
    made, used = suite.make("dmc:finger-turn_hard"), begun("dmc:finger-turn_hard")[0]
    used.load_state_dict(made.state_dict())
    assert used.state_dict()["physics"]["edits"] == {}
    assert (used.env.physics.model.site_pos == made.env.physics.model.site_pos).all()


def test_two_games_share_nothing(played):
    alone = Games([suite.make("dmc:finger-turn_hard")])
    together = Games([suite.make("dmc:finger-turn_hard"), suite.make("dmc:finger-turn_hard")])
    rows = [np.frombuffer(row[3], np.float32).reshape(2, -1)[0] for row in played(together, 30)]
    assert (rows == np.stack([np.frombuffer(row[3], np.float32) for row in played(alone, 30)])).all()


@pytest.mark.parametrize("name", ["dmc:finger-turn_hard", "dmc:fish-swim", "dmc:manipulator-insert_peg"])
def test_a_seed_gives_the_episode_of_dm_control(name):
    from dm_control.suite import load

    theirs = load(*name[4:].split("-"), task_kwargs={"random": 5})
    game, obs = begun(name, seed=5)
    assert (obs == vector(theirs.reset().observation)).all()
    for action in np.random.default_rng(0).uniform(-1, 1, (10, *game.spec.action.shape)).astype(np.float32):
        then = theirs.step(action)
        assert game.step(action, obs) == (then.reward, 1.0, False)
        assert (obs == vector(then.observation)).all()


def test_scalars_are_one_number_each():
    """fish-swim: 7 joint angles, upright, 3 of the target, 13 velocities."""
    assert suite.make("dmc:fish-swim").spec.observation.shape == (24,)


def test_actions_are_rescaled_to_the_bounds():
    game, obs = begun("dmc:quadruped-run")
    low, high = game.env.action_spec().minimum, game.env.action_spec().maximum
    assert (low.min(), high.max()) == (-1, 1.1)
    for action in (-1, 0, 1):
        game.step(np.full(12, action, np.float32), obs)
        assert game.env.physics.data.ctrl == pytest.approx(low + (action + 1) / 2 * (high - low))


def test_a_motor_without_bounds_takes_the_action_as_it_is():
    game, obs = begun("dmc:lqr-lqr_6_2")
    game.step(np.array([-1, 0.5], np.float32), obs)
    assert game.env.physics.data.ctrl.tolist() == [-1, 0.5]


def test_lqr_is_the_same_system_for_every_seed():
    stiffness = [begun("dmc:lqr-lqr_6_2", seed)[0].env.physics.model.jnt_stiffness.tolist() for seed in (1, 2)]
    assert stiffness[0] == stiffness[1]


def test_a_time_limit_has_discount_1():
    game, obs = begun("dmc:walker-walk")
    steps = [game.step(np.zeros(6, np.float32), obs) for _ in range(1000)]
    assert [last for _, _, last in steps] == [False] * 999 + [True]
    assert {discount for _, discount, _ in steps} == {1.0}
    assert game.finished() == (pytest.approx(sum(reward for reward, _, _ in steps)), 1000)


def test_a_system_at_rest_has_discount_0():
    game, obs = begun("dmc:lqr-lqr_2_1")
    game.env.physics.data.qpos[:] = game.env.physics.data.qvel[:] = 0
    game.env.physics.forward()
    assert game.step(np.zeros(1, np.float32), obs)[1:] == (0, True)


def test_each_escape_has_its_own_terrain():
    game, obs = begun("dmc:quadruped-escape")
    terrain = game.env.physics.model.hfield_data.copy()
    game.reset(obs)
    assert (game.env.physics.model.hfield_data != terrain).any()
