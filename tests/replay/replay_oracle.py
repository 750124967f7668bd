"""A replay made of plain lists, which forgets nothing and computes everything slowly; and games to feed it with."""

import dm_env
import numpy as np
import torch

from replay.prioritized import Prioritized
from replay.ring import FIRST, LAST
from replay.uniform import Uniform

MID = 1
TERMINAL, LIMIT, LIFE_LOSS = 0, 1, 2  # events; any other number goes on
POISON = 99  # reward and action of a reset: whoever uses them is wrong


def games(events, num_envs, stack):
    """(now, action, then) of games that never show a frame twice, except after a life loss. events: [T, N] ints."""
    last, seen, now = [None] * num_envs, [[] for _ in range(num_envs)], None
    for t in range(len(events)):
        rows = []
        for e in range(num_envs):
            ended = last[e] is not None
            event = int(events[t][e])
            fresh = t == 0 or ended
            same = last[e] == LIFE_LOSS
            last[e] = event if event <= LIFE_LOSS and not fresh else None
            frame = seen[e][-1] if same else [1 + t // 200, 1 + t % 200, 1 + e]
            seen[e] = ([] if fresh else seen[e]) + [frame]
            kind = FIRST if fresh else LAST if last[e] is not None else MID
            reward = POISON if fresh else (event % 7 - 3) / 3
            padded = [[0, 0, 0]] * stack + seen[e]
            rows.append(
                (kind, reward, float(last[e] not in (TERMINAL, LIFE_LOSS)), padded[-stack:] if stack else frame)
            )
        kinds, rewards, discounts, obs = (np.array(column) for column in zip(*rows, strict=True))
        then = dm_env.TimeStep(kinds, rewards, discounts, obs.astype(np.uint8 if stack else np.float32))
        if now is not None:
            yield now, np.where(kinds == FIRST, POISON, (3 * t + np.arange(num_envs)) % 50), then
        now = then


def oracle(steps, i, n, newest, gamma):
    """The definition (docs: reliability.md section 4): return, next observation, discount of the window from i."""
    R, g, k = 0.0, 1.0, i
    while True:
        s = steps[k]
        R += g * s["r"]
        g *= gamma
        if s["term"]:
            return R, s["o2"], 0.0
        if s["trunc"] or k - i + 1 == n or k == newest:
            return R, s["o2"], g
        k += 1


class Oracle:
    """steps[e][t]: what environment e did between rows t and t+1, or None where it was reset."""

    def __init__(self, capacity, stack, num_envs):
        self.rows, self.stack, self.floor = -(-capacity // num_envs) + 1, stack, 0
        self.steps = [[] for _ in range(num_envs)]

    def add(self, now, action, then):
        for e, steps in enumerate(self.steps):
            first, kind = now.step_type[e] == FIRST, then.step_type[e]
            term, trunc = kind == LAST and then.discount[e] == 0, kind == LAST and then.discount[e] == 1
            o, o2 = now.observation[e], then.observation[e]
            step = {"o": o, "a": action[e], "r": then.reward[e], "o2": o2, "term": term, "trunc": trunc, "first": first}
            steps.append(None if kind == FIRST else step)

    def clear(self):
        self.floor = len(self.steps[0])

    def whole(self, steps, t):
        """Whether row t and the rows its stack is made of are still there."""
        oldest, k = max(self.floor, len(steps) + 1 - self.rows), t
        while k > t - self.stack + 1 and not (steps[k] and steps[k]["first"]):
            k -= 1
            if k < 0:
                return False
        return k >= oldest

    def transitions(self, n, gamma):
        """By key t * N + e, in order: (obs, action, reward, discount, next_obs)."""
        found = {}
        for t in range(len(self.steps[0])):
            for e, steps in enumerate(self.steps):
                if steps[t] and self.whole(steps, t):
                    R, o2, d = oracle(steps, t, n, len(steps) - 1, gamma)
                    found[t * len(self.steps) + e] = (steps[t]["o"], steps[t]["a"], R, d, o2)
        return found

    def future(self, key, k):
        """(obs, action, mask), k of each; behind the end of the episode, or the newest row, the last that there is."""
        t, e = divmod(key, len(self.steps))
        steps, rows, ended = self.steps[e], [], False
        for j in range(t, t + k):
            there = not ended and j < len(steps)
            if there:
                last, ended = steps[j], steps[j]["term"] or steps[j]["trunc"]
            rows.append((last["o2"], last["a"], float(there and not ended)))
        return zip(*rows, strict=True)


def make(capacity, stack, num_envs):
    return Uniform(capacity, (3,), np.uint8 if stack else np.float32, stack, num_envs=num_envs)


def compare(replay, truth, n, gamma, k=4):
    """Every transition the replay would sample, and no other, is what the oracle says."""
    wanted = truth.transitions(n, gamma)
    keys = replay.ring.transitions()
    assert keys.tolist() == list(wanted)
    if not wanted:
        return
    obs, action, reward, discount, next_obs = (np.array(column) for column in zip(*wanted.values(), strict=True))
    for out in (None, replay.buffer(len(keys), n)):  # obs and next_obs of the second overlap for a stack and n = 1
        batch = replay.gather(keys, n, gamma, out)
        np.testing.assert_array_equal(batch.obs, obs)
        np.testing.assert_array_equal(batch.next_obs, next_obs)
        np.testing.assert_array_equal(batch.action, action)
        np.testing.assert_allclose(batch.reward, reward, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(batch.discount, discount, rtol=1e-6)
        np.testing.assert_array_equal(batch.index, keys)
        np.testing.assert_array_equal(batch.weight, 1)
    compare_futures(replay, truth, k)


def compare_futures(replay, truth, k):
    keys = replay.ring.transitions()
    found = replay.gather(keys, k=k).future
    obs, action, mask = (np.array(column) for column in zip(*(truth.future(key, k) for key in keys), strict=True))
    np.testing.assert_array_equal(found.obs, obs)
    np.testing.assert_array_equal(found.action, action)
    np.testing.assert_array_equal(found.mask, mask)


class Priorities:
    """Those of an Oracle by key: the largest so far for what is new, the root of the loss once learned from."""

    def __init__(self, truth):
        self.truth, self.known, self.largest = truth, {}, 1.0

    def look(self):
        """After each row."""
        self.known = {key: self.known.get(key, self.largest) for key in self.truth.transitions(1, 0.9)}

    def learn(self, keys, losses):
        for key, loss in zip(keys, losses, strict=True):
            if key in self.known:
                self.known[key] = np.float32((loss + 1e-10) ** 0.5)
                self.largest = max(self.largest, self.known[key])


def compare_priorities(replay, truth):
    """Each slot that holds a transition has its priority, every other slot has 0."""
    slots = np.arange(replay.ring.size)
    found = dict(zip(replay.ring.keys(slots).tolist(), replay.tree.leaves.tolist(), strict=True))
    assert {key: p for key, p in found.items() if p} == truth.known
    assert replay.largest == truth.largest
    np.testing.assert_allclose(replay.tree.total, sum(map(float, truth.known.values())), rtol=1e-12)


def play_prioritized(events, stack, capacity, clears=(), seed=0):
    """Feed both; after every third row losses of keys drawn now and of some drawn long ago, some named twice."""
    num_envs, rng, drawn = events.shape[1], np.random.default_rng(seed), [0]
    replay, rows = Prioritized(make(capacity, stack, num_envs)), Oracle(capacity, stack, num_envs)
    truth = Priorities(rows)
    for t, step in enumerate(games(events, num_envs, stack)):
        replay.add(*step)
        rows.add(*step)
        if t in clears:
            replay.thin()
            rows.clear()
        truth.look()
        compare_priorities(replay, truth)
        if t % 3 == 0 and truth.known:
            keys = np.concatenate([replay.sample(5, rng).index.numpy(), rng.choice(drawn, 3)])
            assert set(keys[:5]) <= set(truth.known)
            drawn.extend(keys.tolist())
            losses = torch.from_numpy(rng.exponential(2.0, len(keys)).astype(np.float32))
            losses = losses[np.searchsorted(np.unique(keys), keys)]  # one loss a key
            replay.reprioritize(torch.from_numpy(keys), losses)
            truth.learn(keys.tolist(), losses.double().tolist())
    compare_priorities(replay, truth)
    return replay


def play(events, stack, capacity, n, gamma, clears=()):
    """Feed both, comparing before each clear and at the end."""
    num_envs = events.shape[1]
    replay, truth = make(capacity, stack, num_envs), Oracle(capacity, stack, num_envs)
    for t, step in enumerate(games(events, num_envs, stack)):
        replay.add(*step)
        truth.add(*step)
        if t in clears:
            compare(replay, truth, n, gamma)
            replay.thin()
            truth.clear()
    compare(replay, truth, n, gamma)
    return replay


def random_events(seed, num_envs=1, rows=80, calm=16):
    """[rows, N]: an episode ends with chance 3 in `calm` at each step, one of three ways."""
    return np.random.default_rng(seed).integers(0, calm, (rows, num_envs))
