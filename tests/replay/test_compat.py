"""The windows that SPR, SR-SPR and BBF were published with."""

from itertools import pairwise

import numpy as np
import pytest
import replay_oracle as ro
import torch

from replay.excerpt import restore_excerpt
from replay.uniform import Uniform

STEPS, GAMMA = 30, 0.5


def counter(terminal, compat="dopamine_spr"):
    """o = t, reward 10^(t mod 4), an end after step 29, then two more steps."""
    replay = Uniform(100, (1,), np.float32, nstep_compat=compat)
    kinds = [0] + [1] * (STEPS - 1) + [2, 0, 1, 1]
    frames, rewards = [*range(STEPS + 1), 50, 51, 52], [0.0, *(10.0 ** (t % 4) for t in range(STEPS)), 0.0, 1.0, 1.0]
    rows = [
        ro.dm_env.TimeStep(
            np.array([kind]), np.array([r]), np.array([float(kind != 2 or not terminal)]), np.full((1, 1), o)
        )
        for kind, r, o in zip(kinds, rewards, frames, strict=True)
    ]
    for now, then in pairwise(rows):
        replay.add(now, np.zeros(1, np.int64), then)
    return replay


def published(t, n):
    """(next obs, return, discount): flags of steps t-1..t+n-2, the first taken for 0; reward and state of t+n-1."""
    flags = [0] + [int(t + j - 1 == STEPS - 1) for j in range(1, n)]
    going = np.cumprod(1 - np.array(flags))
    reward = sum(g * GAMMA**j * 10 ** ((t + j) % 4) for j, g in enumerate(going) if g)
    return t + n - 1, reward, 0.0 if any(flags) else GAMMA**n


@pytest.mark.parametrize("n", [1, 3, 10])
def test_near_a_terminal_it_is_what_the_published_buffer_returns(n):
    batch = counter(terminal=True).gather(np.arange(STEPS), n, GAMMA)
    for t in range(STEPS):
        obs, reward, discount = published(t, n)
        assert batch.reward[t].item() == pytest.approx(reward)
        assert batch.discount[t].item() == pytest.approx(discount)
        assert not discount or batch.next_obs[t].item() == obs  # of a terminal nothing is defined


def test_for_one_step_each_state_bootstraps_from_itself():
    batch = counter(terminal=True).gather(np.arange(STEPS), 1, GAMMA)
    assert torch.equal(batch.next_obs, batch.obs)
    assert (batch.discount == GAMMA).all()


def test_windows_that_were_never_sampled_stay_right():
    mine, right = (
        counter(terminal=False, compat=compat).gather(np.arange(STEPS), 3, GAMMA) for compat in ("dopamine_spr", "")
    )
    assert torch.equal(mine.next_obs[-2:], right.next_obs[-2:]) and torch.equal(mine.discount[-2:], right.discount[-2:])
    assert torch.equal(mine.next_obs[:-2], right.next_obs[:-2] - 1) and torch.equal(mine.discount, right.discount)
    assert torch.equal(mine.reward, right.reward)


@pytest.mark.parametrize("n", [1, 3])
def test_stacks_buffers_and_excerpts_agree_with_it(n):
    replay = Uniform(60, (3,), np.uint8, 4, num_envs=2, nstep_compat="dopamine_spr")
    for one in ro.games(ro.random_events(1, 2, 50), 2, 4):
        replay.add(*one)
    fresh, reused = (replay.sample(20, np.random.default_rng(0), n, out=out) for out in (None, replay.buffer(20, n)))
    restored = restore_excerpt(replay.excerpt(20, np.random.default_rng(0), n))
    for name in ("obs", "next_obs", "reward", "discount"):
        assert torch.equal(getattr(fresh, name), getattr(reused, name))
        assert torch.equal(getattr(fresh, name), getattr(restored, name))


def test_it_is_off_unless_named():
    plain, off = (
        Uniform(60, (3,), nstep_compat=compat) if compat is not None else Uniform(60, (3,)) for compat in ("", None)
    )
    assert not plain.early and not off.early
    with pytest.raises(ValueError, match="no nstep_compat 'bbf'; leave it empty or name dopamine_spr"):
        Uniform(60, (3,), nstep_compat="bbf")
