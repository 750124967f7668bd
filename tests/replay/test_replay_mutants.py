"""Known bugs of public code, put into ours one by one: the oracle must notice each."""

import numpy as np
import pytest
import replay_oracle as ro

from replay import gather, nstep
from replay.ring import LAST, Ring


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

    def mutant(self, keys, more=0):
        return self.slots(keys[..., None] - np.arange(self.stack + more - 1, -1, -1) * self.num_envs)

    mp.setattr(Ring, "planes", mutant)


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
    mp.setattr(Ring, "thin", lambda self, keep=0.0: setattr(self, "start", self.stop))


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
