"""Known bugs of public code, put into ours one by one: the oracle must notice each."""

import numpy as np
import pytest
import replay_oracle as ro

from replay import future, gather, nstep, prioritized
from replay.prioritized import Prioritized
from replay.ring import LAST, Ring
from replay.sumtree import SumTree


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


def futures_mutant(mp, change):
    """As `futures`, with out then changed."""
    futures = future.futures

    def mutant(ring, keys, out):
        futures(ring, keys, out)
        change(ring, keys, out)

    mp.setattr("replay.uniform.futures", mutant)


def mask_one_step_early(mp):
    """Dopamine's same_trajectory: the step before the end is masked too."""
    futures_mutant(mp, lambda ring, keys, out: out.mask[:, :-1].copy_(out.mask[:, 1:].clone()))


def mask_forgets_the_first_example(mp):
    """Dopamine's same_trajectory: the first example of the batch takes the place of the first step."""
    futures_mutant(mp, lambda ring, keys, out: out.mask[0].fill_(1))


def mask_one_step_late(mp):
    """The step that ends the episode counts."""

    def change(ring, keys, out):
        out.mask[:, 1:] = out.mask[:, :-1].clone()
        out.mask[:, 0] = 1

    futures_mutant(mp, change)


def future_crosses_episodes(mp):
    """What follows an end is the next episode."""
    mp.setattr(future, "ends", lambda kinds, ahead, present: nstep.ends(np.ones_like(kinds), ahead, present))


def future_crosses_cursor(mp):
    """What follows the newest row is the oldest."""
    mp.setattr(future, "ends", lambda kinds, ahead, present: nstep.ends(kinds, ahead, np.iinfo(np.int64).max))


def future_actions_one_late(mp):
    """a_t+1..a_t+K instead of a_t..a_t+K-1."""
    futures_mutant(mp, lambda ring, keys, out: out.action[:, :-1].copy_(out.action[:, 1:].clone()))


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
    mask_one_step_early,
    mask_forgets_the_first_example,
    mask_one_step_late,
    future_crosses_episodes,
    future_crosses_cursor,
    future_actions_one_late,
]


def new_rows_have_priority_1(mp):
    """What is new counts less than what was once surprising."""
    add = Prioritized.add

    def mutant(self, *step):
        largest, self.largest = self.largest, 1.0
        add(self, *step)
        self.largest = largest

    mp.setattr(Prioritized, "add", mutant)


def largest_is_of_the_last_batch(mp):
    """The largest priority follows the last update down."""
    reprioritize = Prioritized.reprioritize

    def mutant(self, index, td):
        self.largest = 0.0
        reprioritize(self, index, td)

    mp.setattr(Prioritized, "reprioritize", mutant)


def overwritten_rows_are_reprioritized(mp):
    """A stale index gives its loss to the row that took its place."""

    def mutant(self, index, td):
        slots, priority = self.ring.slots(index.numpy()), prioritized.priorities(td, self.exponent)
        self.tree.set(slots, priority)
        self.largest = max(self.largest, float(priority.max()))

    mp.setattr(Prioritized, "reprioritize", mutant)


def stacks_across_the_cursor_keep_their_priority(mp):
    """Only the row that is overwritten loses its priority."""
    add = Prioritized.add

    def mutant(self, *step):
        back, self.ring.back = self.ring.back, self.ring.back[-1:]
        add(self, *step)
        self.ring.back = back

    mp.setattr(Prioritized, "add", mutant)


def resets_have_a_priority(mp):
    """The row after an episode's last is drawn like any other."""

    def mutant(self, keys):
        return (keys >= self.start * self.num_envs) & (keys < self.present)

    mp.setattr(Ring, "trained", mutant)


def sums_are_left_behind(mp):
    """A leaf is set without the sums above it."""
    mp.setattr(SumTree, "set", lambda self, index, values: self.leaves.__setitem__(index, values))


def thinning_leaves_priorities(mp):
    """What was forgotten may still be drawn."""
    mp.setattr(Prioritized, "thin", lambda self, keep=0.0: self.uniform.thin(keep))


PRIORITY_MUTANTS = [
    new_rows_have_priority_1,
    largest_is_of_the_last_batch,
    overwritten_rows_are_reprioritized,
    stacks_across_the_cursor_keep_their_priority,
    resets_have_a_priority,
    sums_are_left_behind,
    thinning_leaves_priorities,
]


def differs(seed):
    """Whether one fixed game of 60 rows shows a difference between the replay and the oracle."""
    try:
        ro.play(ro.random_events(seed, 1 + seed % 3, rows=60), stack=4, capacity=80, n=3, gamma=0.9, clears=[20])
    except AssertionError:
        return True
    return False


def priorities_differ(seed):
    """The same of priorities."""
    try:
        ro.play_prioritized(ro.random_events(seed, 1 + seed % 3, rows=70), stack=4, capacity=30, clears=[40], seed=seed)
    except (AssertionError, ValueError):  # nothing to draw where there is something
        return True
    return False


def test_fixed_games_equal_the_oracle():
    assert not any(differs(seed) for seed in range(6))
    assert not any(priorities_differ(seed) for seed in range(6))


@pytest.mark.parametrize("mutant", PRIORITY_MUTANTS, ids=lambda mutant: mutant.__name__)
def test_oracle_of_priorities_notices(mutant, monkeypatch):
    mutant(monkeypatch)
    assert any(priorities_differ(seed) for seed in range(6))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_oracle_notices(mutant, monkeypatch):
    mutant(monkeypatch)
    assert any(differs(seed) for seed in range(6))
