"""Tasks of dm_control as pictures: dm_control's own, stacked; repeats; exact states; what cannot be drawn is said."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("dm_control")

from envs import camera, pixels, suite
from envs.batch import Games
from envs.make import examination, make_env
from envs.pixels import PixelSettings
from tests.pictures import drawn

pytestmark = drawn

TINY = PixelSettings(image_size=15)


def game(name="dmc:walker-walk", steps=1000, **flags):
    made = pixels.make(name, PixelSettings(**{"image_size": 15, **flags}))
    made.game.env._step_limit = steps
    return made


def begun(name="dmc:walker-walk", seed=0, **flags):
    made = game(name, **flags)
    obs = np.zeros(made.spec.observation.shape, np.uint8)
    made.seed(seed)
    made.reset(obs)
    return made, obs


def still(made):
    return np.zeros(made.spec.action.shape, np.float32)


THEIRS = """
import sys, numpy as np
from dm_control import suite
env = suite.load("walker", "walk", task_kwargs={"random": 3})
env.reset()
np.savez(sys.argv[1], **{str(size): env.physics.render(size, size, camera_id=0) for size in (84, 21)})
"""


def test_a_picture_is_dm_control_s_to_the_last_bit(tmp_path):
    line, env = [sys.executable, "-c", THEIRS, f"{tmp_path}/x.npz"], os.environ | {"MUJOCO_GL": camera.backend()}
    subprocess.run(line, check=True, env=env, capture_output=True)
    for size, theirs in np.load(tmp_path / "x.npz").items():
        _, obs = begun(seed=3, image_size=int(size))
        assert (obs[-3:].transpose(1, 2, 0) == theirs).all()
        assert theirs.std() > 10  # not a black one


def test_the_shapes_are_those_of_the_papers():
    made = game(image_size=84)
    assert (made.spec.observation.shape, made.spec.stack, made.spec.frames_per_step) == ((9, 84, 84), 3, 2)
    assert made.spec.action.shape == (6,)
    made = game(image_size=64, gray=True)
    assert made.spec.observation.shape == (3, 64, 64)


def test_an_observation_holds_the_last_pictures_newest_last_and_zeros_before_the_first():
    made, obs = begun()
    seen = [obs[-3:].copy()]
    assert not obs[:6].any() and obs[6:].any()
    for _ in range(3):
        made.step(np.ones(6, np.float32), obs)
        seen.append(obs[-3:].copy())
    assert (obs == np.concatenate(seen[1:])).all()
    assert all((a != b).any() for a, b in pairwise(seen))


def test_gray_is_the_weighted_sum_of_the_colours_rounded_down():
    (_, colour), (_, gray) = begun(), begun(gray=True)
    red, green, blue = colour[-3:].astype(float)
    assert (gray[-1] == np.floor(0.299 * red + 0.587 * green + 0.114 * blue)).mean() > 0.99  # else the order of sums


def test_an_action_is_repeated_its_rewards_summed_and_an_end_stops_it():
    made, obs = begun(steps=5)
    plain = suite.make("dmc:walker-walk")
    plain.env._step_limit = 5
    felt = np.zeros(24, np.float32)
    plain.seed(0)
    plain.reset(felt)
    action = np.full(6, 0.5, np.float32)
    rewards = [plain.step(action, felt)[0] for _ in range(5)]
    rows = [made.step(action, obs) for _ in range(3)]
    sums = [rewards[0] + rewards[1], rewards[2] + rewards[3], rewards[4]]
    assert rows == [(sums[0], 1.0, False), (sums[1], 1.0, False), (sums[2], 1.0, True)]
    assert made.finished() == (pytest.approx(sum(rewards)), 3)


@pytest.mark.parametrize(
    ("name", "repeat", "frames"),
    [
        ("dmc:walker-walk", 2, 2),
        ("dmc:cartpole-swingup", 0, 8),
        ("dmc:cheetah-run", 0, 4),
        ("dmc:hopper-stand", 0, 2),
        ("dmc:cheetah-run", 3, 3),
    ],
)
def test_an_agent_step_is_so_many_steps_of_dm_control(name, repeat, frames):
    made, obs = begun(name, action_repeat=repeat)
    made.step(still(made), obs)
    assert made.spec.frames_per_step == frames == made.game.env._step_count


@pytest.mark.parametrize(("name", "number"), [("dmc:walker-walk", 0), ("dmc:quadruped-walk", 2)])
def test_the_camera_is_the_papers_unless_another_is_named(name, number):
    assert game(name).camera.view.fixedcamid == number
    assert game(name, camera=1).camera.view.fixedcamid == 1


@pytest.mark.parametrize("name", ["dmc:walker-walk", "dmc:finger-turn_hard"])
def test_a_fresh_game_goes_on_where_another_was_saved(restores, name):
    restores(lambda: Games([game(name, 12)]), points=[0, 3, 6, 7], after=5)


def test_the_picture_after_a_restore_is_the_one_before():
    """quadruped-escape draws its terrain anew for each episode."""
    (other, odd), (made, obs) = (begun("dmc:quadruped-escape", seed=seed, image_size=40) for seed in (2, 1))
    before = made.camera.picture().copy()
    assert (before.transpose(2, 0, 1) == obs[-3:]).all() and (obs != odd).any()
    other.load_state_dict(made.state_dict())
    assert (other.camera.picture() == before).all()
    assert (other._stack == obs).all()
    camera.CONTEXTS.clear()  # as in another process
    assert (other.camera.picture() == before).all()


def test_games_that_take_turns_share_nothing(played):
    def newest(rows):
        return [row[3] for row in rows]

    alone = newest(played(Games([game()]), 4))
    pair = [np.frombuffer(x, np.uint8).reshape(2, -1)[0].tobytes() for x in newest(played(Games([game(), game()]), 4))]
    assert pair == alone
    (one, obs), (large, wide), (other, odd) = begun(), begun(image_size=20), begun("dmc:cheetah-run")
    for made, seen in ((large, wide), (other, odd), (one, obs)):
        made.step(still(made), seen)
    again, fresh = begun()
    again.step(still(again), fresh)
    assert (fresh == obs).all()


def test_an_examination_sees_as_training_does():
    assert examination("dmc:walker-walk", 0, 2, TINY).spec == make_env("dmc:walker-walk", 2, TINY).spec


def test_states_ask_for_no_picture(monkeypatch):
    def none():
        raise AssertionError

    monkeypatch.setattr(camera, "screen", none)
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    assert make_env("dmc:walker-walk").reset(0).observation.shape == (1, 24)
    assert os.environ["MUJOCO_GL"] == "nonsense"


def test_the_choice_of_the_user_is_kept(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    assert camera.backend() == "osmesa"
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(camera, "loads", lambda library: "OSMesa" in library)
    assert camera.backend() == "osmesa"
    suite.canonical("dmc:walker-walk")
    assert "MUJOCO_GL" not in os.environ


def test_a_machine_without_opengl_is_told_what_to_install(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(camera, "loads", lambda library: False)
    with pytest.raises(
        ValueError, match=r"need OpenGL, and neither EGL nor OSMesa is here: apt-get install libosmesa6$"
    ):
        camera.backend()
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(ValueError, match=r"^MUJOCO_GL is disable, which draws no pictures; unset it"):
        camera.backend()


def test_a_renderer_that_fails_is_named(monkeypatch):
    other = "egl" if camera.backend() == "osmesa" else "osmesa"  # one process has one of them
    camera.screen()
    monkeypatch.setenv("MUJOCO_GL", other)
    with pytest.raises(ValueError, match=f"^no pictures by {other}: .*; apt-get install lib"):
        camera.screen.__wrapped__()


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("Pong", TINY, "pictures are drawn of tasks of dm_control, e.g. dmc:walker-walk; Pong is of family atari"),
        (
            "HalfCheetah",
            PixelSettings(),
            "pictures are drawn of tasks of dm_control.*HalfCheetah-v5 is of family mujoco",
        ),
        ("toy:look", TINY, "image_size is a picture setting; toy:look has none"),
        ("dmc:walker-walk", PixelSettings(image_size=0), "image_size is 0, but must be at least 1"),
        ("dmc:walker-walk", PixelSettings(action_repeat=-1), "action_repeat is -1, but must be at least 0"),
        ("dmc:walker-walk", PixelSettings(camera=7), "camera 7: dmc:walker-walk has cameras 0 to 1"),
    ],
)
def test_what_cannot_be_seen_is_refused(name, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_env(name, 1, settings)
