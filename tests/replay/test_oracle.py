"""Every transition of random games against the oracle, and known bugs of public code, each of which it must notice."""

import numpy as np
import pytest
import replay_oracle as ro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay import gather, nstep
from replay.ring import LAST, Ring
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


def lose_terminal_reward(mp):
    """dopamine#228: the terminal is stored, its reward is not."""
    append = Ring._append

    def mutant(self, step, action):
        terminal = (step.step_type == LAST) & (step.discount == 0)
        append(self, step._replace(reward=np.where(terminal, 0.0, step.reward)), action)

    mp.setattr(Ring, "_append", mutant)


def store_terminal_again(mp):
    """Dopamine's JAX accumulator stores the terminal transition four times."""
    add = Ring.add

    def mutant(self, now, action, then):
        add(self, now, action, then)
        if (then.discount == 0).any():
            self._append(now, action)
            self._append(then, action)

    mp.setattr(Ring, "add", mutant)


def truncated_next_obs_of_next_episode(mp):
    """cleanrl#460, sb3#934: at a time limit next_obs is the next episode's first frame."""
    windows = nstep.windows

    def mutant(ring, keys, n, gamma):
        window = windows(ring, keys, n, gamma)
        cut = (ring.step_type[ring.slots(window.last)] == LAST) & (window.discount > 0)
        follows = cut & (window.last < ring.present)
        return window._replace(last=window.last + ring.num_envs * follows)

    mp.setattr(gather, "windows", mutant)


def reset_row_is_a_transition(mp):
    """cleanrl#499: next-step autoreset stored naively."""

    def mutant(self, keys):
        depth = np.minimum(self.age[self.slots(keys)], self.back[0])
        return (keys - depth * self.num_envs >= self.start * self.num_envs) & (keys < self.present)

    mp.setattr(Ring, "starts", mutant)


def window_crosses_time_limit(mp):
    """FastTD3#6: n-step returns run on behind a truncation."""
    windows = nstep.windows

    def mutant(ring, keys, n, gamma):
        kept = ring.step_type.copy()
        ring.step_type[(kept == LAST) & (ring.discount == 1)] = ro.MID
        window = windows(ring, keys, n, gamma)
        ring.step_type[:] = kept
        return window

    mp.setattr(gather, "windows", mutant)


def window_crosses_cursor(mp):
    """agents#939: the window runs on into the oldest rows, or into nothing."""
    ends = nstep.ends
    mp.setattr(nstep, "ends", lambda step_type, ahead, present: ends(step_type, ahead, np.iinfo(np.int64).max))


def gamma_to_the_n(mp):
    """A shortened window is discounted as if it were whole."""
    windows = nstep.windows

    def mutant(ring, keys, n, gamma):
        window = windows(ring, keys, n, gamma)
        return window._replace(discount=np.where(window.discount > 0, gamma**n, 0).astype(np.float32))

    mp.setattr(gather, "windows", mutant)


def terminal_bootstraps(mp):
    """rl_with_resets: the terminal of a window's last step is not seen."""
    discounts = nstep.discounts
    mp.setattr(nstep, "discounts", lambda end, k, gamma: discounts(np.ones_like(end), k, gamma))


def time_limit_is_terminal(mp):
    """baselines#436: a time limit cuts the bootstrap."""
    windows = nstep.windows

    def mutant(ring, keys, n, gamma):
        window = windows(ring, keys, n, gamma)
        ended = ring.step_type[ring.slots(window.last)] == LAST
        return window._replace(discount=np.where(ended, np.float32(0), window.discount))

    mp.setattr(gather, "windows", mutant)


def next_obs_one_early(mp):
    """Dopamine's sub-sequence buffer: next_obs is t+n-1."""
    windows = nstep.windows

    def mutant(ring, keys, n, gamma):
        window = windows(ring, keys, n, gamma)
        return window._replace(last=window.last - ring.num_envs)

    mp.setattr(gather, "windows", mutant)


def stack_crosses_episode_start(mp):
    """The last episode's frames show up in this one's first stacks."""
    mp.setattr(Ring, "planes", lambda self, keys: self.slots(keys[..., None] - self.back * self.num_envs))


def stack_crosses_cursor(mp):
    """The oldest stacks are completed with the newest frames."""

    def mutant(self, keys):
        present = (keys >= self.start * self.num_envs) & (keys < self.present)
        return present & (self.step_type[self.slots(keys)] != LAST)

    mp.setattr(Ring, "starts", mutant)


def overwritten_row_is_sampled(mp):
    """The ring believes it is one row longer than it is."""
    append = Ring._append

    def mutant(self, step, action):
        append(self, step, action)
        self.start = max(0, self.start - 1)

    mp.setattr(Ring, "_append", mutant)


def clear_forgets_the_present(mp):
    """The row that a transition was about to start from goes with the rest."""
    mp.setattr(Ring, "clear", lambda self: setattr(self, "start", self.stop))


MUTANTS = [
    lose_terminal_reward,
    store_terminal_again,
    truncated_next_obs_of_next_episode,
    reset_row_is_a_transition,
    window_crosses_time_limit,
    window_crosses_cursor,
    gamma_to_the_n,
    terminal_bootstraps,
    time_limit_is_terminal,
    next_obs_one_early,
    stack_crosses_episode_start,
    stack_crosses_cursor,
    overwritten_row_is_sampled,
    clear_forgets_the_present,
]


def differs(seed):
    """Whether one fixed game of 60 rows shows a difference between the replay and the oracle."""
    try:
        ro.play(ro.random_events(seed, 1 + seed % 3, rows=60), stack=4, capacity=80, n=3, gamma=0.9, clears=[20])
    except AssertionError:
        return True
    return False


def test_fixed_games_equal_the_oracle():
    assert not any(differs(seed) for seed in range(6))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_oracle_notices(mutant, monkeypatch):
    mutant(monkeypatch)
    assert any(differs(seed) for seed in range(6))


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
