import tracemalloc

import numpy as np
import pytest
import replay_oracle as ro
import torch

from replay import uniform
from replay.uniform import Uniform


def filled(rows=60, num_envs=2, stack=4, capacity=60, seed=3):
    return ro.play(ro.random_events(seed, num_envs, rows), stack, capacity, n=3, gamma=0.9)


def drawn(replay, count=60_000):
    return uniform.draw(replay.ring, count, np.random.default_rng(0))


@pytest.mark.parametrize("stack", [0, 4])
def test_every_transition_is_drawn_equally_often_and_nothing_else(stack):
    replay = filled(stack=stack)
    keys, counts = np.unique(drawn(replay), return_counts=True)
    np.testing.assert_array_equal(keys, replay.ring.transitions())
    freedom, mean = len(keys) - 1, counts.mean()
    assert ((counts - mean) ** 2 / mean).sum() < freedom + 4 * np.sqrt(2 * freedom)


def test_a_single_transition_among_many_rows_is_found(monkeypatch):
    replay = filled(rows=30)
    replay.ring.step_type[replay.ring.slots(replay.ring.transitions()[1:])] = 2
    for tries in (1, 32):
        monkeypatch.setattr(uniform, "TRIES", tries)
        assert set(drawn(replay, 100)) == set(replay.ring.transitions())


def test_draws_left_to_the_list_are_uniform_too(monkeypatch):
    monkeypatch.setattr(uniform, "TRIES", 1)
    test_every_transition_is_drawn_equally_often_and_nothing_else(4)


@pytest.mark.parametrize("rows", [0, 1])
def test_sampling_an_empty_replay_is_an_error(rows):
    replay = filled(rows=10) if rows else ro.make(20, 4, 2)
    replay.thin()
    assert len(replay) == 0
    with pytest.raises(ValueError, match="no transition to sample among 0 rows"):
        replay.sample(4, np.random.default_rng(0))


def test_length_counts_rows_that_something_followed():
    assert len(filled(rows=11, num_envs=2)) == 20
    assert len(filled(rows=99, num_envs=2, capacity=60)) == 60


def test_sampling_draws_from_the_given_generator_alone():
    replay = filled()
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    first, again = (replay.sample(16, np.random.default_rng(5)) for _ in range(2))
    assert before == (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    assert torch.equal(first.index, again.index)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("size", [1, 40])
def test_a_reused_buffer_receives_what_a_new_one_would(n, size):
    replay = filled(rows=20)
    out = replay.buffer(size)
    for seed in range(2):
        fresh = replay.sample(size, np.random.default_rng(seed), n=n)
        reused = replay.sample(size, np.random.default_rng(seed), n=n, out=out)
        assert reused is out
        assert all(torch.equal(a, b) for a, b in zip(fresh[:7], reused[:7], strict=True))


def test_a_buffer_for_one_step_copies_each_frame_once_and_is_for_no_other_n():
    replay = filled(rows=20)
    out = replay.buffer(4, n=1)
    assert out.next_obs.data_ptr() - out.obs.data_ptr() == replay.ring.frame[0].nbytes
    with pytest.raises(ValueError, match="this buffer is for n = 1, not 3; make it with buffer\\(size, n\\)"):
        replay.sample(4, np.random.default_rng(0), n=3, out=out)


def test_samples_without_a_buffer_share_no_memory():
    replay, rng = filled(), np.random.default_rng(0)
    first, second = replay.sample(8, rng), replay.sample(8, rng)
    assert not {field.data_ptr() for field in first[:7]} & {field.data_ptr() for field in second[:7]}


def test_a_sample_into_a_buffer_allocates_nothing_of_its_size():
    replay, rng = Uniform(50, (84, 84), stack=4), np.random.default_rng(0)
    for now, action, then in ro.games(ro.random_events(0, rows=60), 1, 4):
        replay.add(*(wide(now), action, wide(then)))
    out = replay.buffer(32)
    tracemalloc.start()
    replay.sample(32, rng, n=3, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000 < out.obs.nbytes


def wide(step):
    """The same TimeStep with screens of 84x84."""
    return step._replace(observation=np.broadcast_to(step.observation[:, :, 1, None, None], (1, 4, 84, 84)))


def test_types_are_those_of_a_batch():
    batch = filled().sample(6, np.random.default_rng(0))
    assert (batch.obs.dtype, batch.obs.shape) == (torch.uint8, (6, 4, 3))
    assert (batch.action.dtype, batch.index.dtype) == (torch.int64, torch.int64)
    assert {field.dtype for field in (batch.reward, batch.discount, batch.weight)} == {torch.float32}


def test_continuous_actions_and_observations_come_back_as_float32():
    replay = Uniform(10, (2,), np.float32, action=(3,), action_dtype=np.float32)
    rows = [ro.dm_env.TimeStep(np.array([k]), np.ones(1), np.ones(1), np.full((1, 2), k / 3)) for k in (0, 1)]
    replay.add(rows[0], np.array([[0.1, 0.2, 0.3]]), rows[1])
    batch = replay.sample(1, np.random.default_rng(0))
    assert torch.equal(batch.action, torch.tensor([[0.1, 0.2, 0.3]]))
    assert torch.equal(batch.next_obs, torch.tensor([[1 / 3, 1 / 3]]))


def test_a_cleared_replay_samples_only_what_came_after():
    replay = ro.make(60, 1, 2)
    steps = list(ro.games(ro.random_events(2, 2, 30), 2, 1))
    for one in steps[:15]:
        replay.add(*one)
    replay.thin()
    for one in steps[15:]:
        replay.add(*one)
    assert set(replay.sample(400, np.random.default_rng(0)).index.tolist()) == set(replay.ring.transitions())
    assert replay.ring.transitions().min() // 2 == 15


def test_reprioritizing_changes_nothing():
    replay = filled()
    batch = replay.sample(8, np.random.default_rng(0))
    replay.reprioritize(batch.index, torch.arange(8.0))
    assert torch.equal(batch.index, replay.sample(8, np.random.default_rng(0)).index)
