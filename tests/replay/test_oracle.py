"""Every transition of random games against the oracle."""

import numpy as np
import pytest
import replay_oracle as ro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.ring import LAST
from replay.uniform import Uniform

BYTES = st.one_of(st.binary(max_size=15), st.binary(min_size=60, max_size=180))
CASES = given(
    data=BYTES,
    num_envs=st.integers(1, 3),
    calm=st.sampled_from([5, 16, 64]),
    stack=st.sampled_from([0, 1, 4]),
    capacity=st.integers(12, 50),
    n=st.sampled_from([1, 3, 5, 10]),
    gamma=st.sampled_from([0.0, 0.5, 0.9, 0.997, 1.0]),
    clears=st.sets(st.integers(0, 60), max_size=2),
)


def replay_equals_oracle(data, num_envs, calm, stack, capacity, n, gamma, clears):
    rows = len(data) // num_envs
    events = np.frombuffer(data[: rows * num_envs], np.uint8).reshape(rows, num_envs) % calm
    ro.play(events, stack, capacity, n, gamma, clears)


test_every_transition_equals_the_oracle = settings(max_examples=400, deadline=None)(CASES(replay_equals_oracle))

test_every_transition_equals_the_oracle_at_length = pytest.mark.slow(
    settings(max_examples=50_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))(
        CASES(replay_equals_oracle)
    )
)


def test_stacks_stay_right_in_episodes_longer_than_age_can_count():
    ro.play(np.full((700, 2), 9), stack=4, capacity=600, n=3, gamma=0.9)


def test_sampled_stack_is_the_acting_stack_at_every_step():
    replay, acted = ro.make(400, 4, 2), {}
    for t, (now, action, then) in enumerate(ro.games(ro.random_events(5, 2, rows=150), 2, 4)):
        acted |= {2 * t + e: now.observation[e] for e in range(2) if now.step_type[e] != LAST}
        replay.add(now, action, then)
    keys = np.array(list(acted))
    np.testing.assert_array_equal(keys, replay.ring.transitions())
    np.testing.assert_array_equal(replay.gather(keys).obs, np.array(list(acted.values())))


@pytest.mark.parametrize("n", [1, 3, 10])
@pytest.mark.parametrize("terminal", [True, False])
def test_counter_environment(n, terminal):
    """obs = t, reward = 10^(t mod 4), 12 steps: near a terminal windows keep discount 0, near a limit they shorten."""
    replay, gamma, steps = Uniform(100, (1,), np.float32), 0.5, 12
    kinds = [0] + [1] * (steps - 1) + [2, 0, 1]
    frames = [*range(steps + 1), 0, 1]
    ends = [1.0] * steps + [0.0 if terminal else 1.0, 1.0, 1.0]
    rewards = [0.0] + [10.0 ** (t % 4) for t in range(steps)] + [0.0, 1.0]
    for t in range(1, len(kinds)):
        now, then = (counter_row(kinds[i], rewards[i], ends[i], frames[i]) for i in (t - 1, t))
        replay.add(now, np.array([t]), then)
    batch = replay.gather(np.arange(steps), n, gamma)
    k = [min(n, steps - t) for t in range(steps)]
    assert batch.obs[:, 0].tolist() == list(range(steps))
    assert batch.next_obs[:, 0].tolist() == [t + k[t] for t in range(steps)]
    assert batch.reward.tolist() == [sum(gamma**j * 10 ** ((t + j) % 4) for j in range(k[t])) for t in range(steps)]
    assert batch.discount.tolist() == [0 if terminal and t + k[t] == steps else gamma ** k[t] for t in range(steps)]


def counter_row(kind, reward, discount, frame):
    return ro.dm_env.TimeStep(np.array([kind]), np.array([reward]), np.array([discount]), np.array([[frame]], float))
