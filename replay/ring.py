"""A ring of rows, one per lockstep of N environments, in which every frame is stored once.

Row t holds each environment's TimeStep at time t (newest frame, step type, reward, discount) and the action that led
to it. So a transition reads rows t and t+1, a row never changes once written, and the frame on which an episode ends
has its place like any other. Rows carry absolute times, which never wrap: row t of environment e has the key t*N + e
and lies in slot key % (T*N).

Capacity counts rows, hence agent steps plus one row per episode (the reset). An Atari row is 7,070 bytes per
environment; memory is touched only as it fills. With `holdout` a row has one byte more: whether its episode is held
out from all that is learned, by a hash of the key that the episode began at.
"""

from collections.abc import Mapping
from typing import Any

import dm_env
import numpy as np
from numpy.typing import DTypeLike, NDArray

FIRST, LAST = int(dm_env.StepType.FIRST), int(dm_env.StepType.LAST)
OLDEST = 255  # where age, a byte, stops counting

Keys = NDArray[np.int64]
Slots = NDArray[np.int64]


class Ring:
    """Holds rows start..stop-1. The newest, stop-1, is the present: no transition starts there yet."""

    def __init__(
        self,
        capacity: int,
        frame: tuple[int, ...],
        dtype: DTypeLike = np.uint8,
        stack: int = 0,
        action: tuple[int, ...] = (),
        action_dtype: DTypeLike = np.int32,
        num_envs: int = 1,
        holdout: float = 0.0,
    ) -> None:
        if capacity < num_envs * max(stack, 1):
            raise ValueError(f"capacity {capacity} cannot hold a stack of {stack} for {num_envs} environments")
        self.stack, self.num_envs, self.holdout = stack, num_envs, holdout
        self.length = -(-capacity // num_envs) + 1  # T: the present needs a row of its own
        self.size = self.length * num_envs
        self.start = self.stop = 0
        self.back = np.arange(max(stack, 1) - 1, -1, -1)  # [stack] rows back, oldest first
        self.frame = np.zeros((self.size + 1, *frame), dtype)  # the last slot stays zero: the padding of stacks
        self.action = np.zeros((self.size, *action), action_dtype)
        self.reward = np.zeros(self.size, np.float32)
        self.discount = np.zeros(self.size, np.float32)
        self.step_type = np.zeros(self.size, np.uint8)
        self.age = np.zeros(self.size, np.uint8)  # rows since FIRST, as far as a byte counts
        self.held = np.zeros(self.size if holdout else 0, np.uint8)

    @property
    def observation(self) -> tuple[int, ...]:
        """The shape of an observation: frames [H, W] stack to [stack, H, W], frames [C, H, W] to [stack * C, H, W]."""
        frame = self.frame.shape[1:]
        if not self.stack:
            return frame
        return (self.stack, *frame) if len(frame) < 3 else (self.stack * frame[0], *frame[1:])

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of all N environments."""
        return sum(int(column[0].nbytes) for column in self._columns().values())

    def add(self, now: dm_env.TimeStep, action: np.ndarray, then: dm_env.TimeStep) -> None:
        """Write `then`'s row; the very first call writes `now`'s before it."""
        if not self.stop:
            nothing = np.zeros(self.num_envs)
            self._append(now._replace(reward=nothing, discount=nothing), np.zeros_like(action))
        self._follows(now, then)
        self._append(then, action)

    def thin(self, keep: float = 0.0) -> None:
        """Forget all rows but the newest fraction and the present; no stack reaches behind what is kept."""
        self.start = max(self.stop - 1 - int(keep * (self.stop - 1 - self.start)), 0)

    def starts(self, keys: Keys) -> NDArray[np.bool_]:
        """[B] whether a transition starts here: no reset, not the present, no stack that crosses the write cursor."""
        slots = self.slots(keys)
        depth = np.minimum(self.age[slots], self.back[0])  # rows the stack reaches back
        kept = (keys - depth * self.num_envs >= self.start * self.num_envs) & (keys < self.present)
        valid: NDArray[np.bool_] = kept & (self.step_type[slots] != LAST)
        return valid

    def trained(self, keys: Keys) -> NDArray[np.bool_]:
        """[B] whether a transition starts here that may be learned from."""
        valid = self.starts(keys)
        return valid & (self.held[self.slots(keys)] == 0) if self.holdout else valid

    def transitions(self) -> Keys:
        """The keys of all transitions, held out or not, oldest first."""
        keys = np.arange(self.start * self.num_envs, self.present)
        return keys[self.starts(keys)]

    def planes(self, keys: Keys, more: int = 0) -> Slots:
        """[..., stack + more] slots in `frame`, oldest first, the zero slot before an episode's first; [...] for no
        stack."""
        if not self.stack:
            return self.slots(keys)
        back = self.back if not more else np.arange(self.stack + more - 1, -1, -1)
        behind = self.slots(keys[..., None] - back * self.num_envs)
        return np.where(back <= self.age[behind[..., -1:]], behind, self.size)

    def slots(self, keys: Keys) -> Slots:
        return keys % self.size

    def keys(self, slots: Slots) -> Keys:
        """The newest key that lies, or will lie, in each slot up to the newest row's: the inverse of `slots`."""
        newest = self.stop * self.num_envs - 1
        return newest - (newest - slots) % self.size

    @property
    def present(self) -> int:
        """The first key of the newest row: from here on nothing has followed yet."""
        return max(self.stop - 1, 0) * self.num_envs

    def rows(self, lo: int, hi: int) -> dict[str, np.ndarray]:
        """Copies of rows lo..hi-1 by column, [hi-lo, N, ...]. Rows never change: persist them as an append-only log."""
        if not self.start <= lo <= hi <= self.stop:
            raise ValueError(f"rows {lo}..{hi} are not all here; the ring holds {self.start}..{self.stop}")
        older, newer = self._spans(lo, hi)
        return {name: np.concatenate([column[older], column[newer]]) for name, column in self._columns().items()}

    def put_rows(self, lo: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write rows lo.. back where `rows` found them; the counters come from `load_state_dict`."""
        columns, count = self._columns(), len(arrays["frame"])
        for name, column in columns.items():
            found, wanted = arrays[name], (count, *column.shape[1:])
            if found.shape != wanted or found.dtype != column.dtype or count > self.length:
                took = f"up to {self.length} rows of {column.dtype}{column.shape[1:]}"
                raise ValueError(f"{name} is {found.dtype}{found.shape}; this ring takes {took}")
        older, newer = self._spans(lo, lo + count)
        head = older.stop - older.start
        for name, column in columns.items():
            column[older], column[newer] = arrays[name][:head], arrays[name][head:]

    def state_dict(self) -> dict[str, Any]:
        return {"start": self.start, "stop": self.stop}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        start, stop = int(state["start"]), int(state["stop"])
        if not 0 <= start <= stop <= start + self.length:
            raise ValueError(f"rows {start}..{stop} do not fit; this ring holds {self.length} rows")
        self.start, self.stop = start, stop

    def _follows(self, now: dm_env.TimeStep, then: dm_env.TimeStep) -> None:
        """Refuse a stream that jumps or resets out of turn: stored, it would be transitions that never happened."""
        present = self.step_type[self._slice(self.stop - 1)].tolist()
        if now.step_type.tolist() != present:
            raise ValueError(f"now is {now.step_type.tolist()}, but the last row added was {present} (0 FIRST, 2 LAST)")
        if [kind == LAST for kind in present] != [kind == FIRST for kind in then.step_type.tolist()]:
            raise ValueError(f"FIRST must follow LAST and nothing else; {then.step_type.tolist()} followed {present}")

    def _append(self, step: dm_env.TimeStep, action: np.ndarray) -> None:
        seen = step.observation
        if self.stack:
            seen = seen.reshape(self.num_envs, self.stack, *self.frame.shape[1:])[:, -1]
        reward = np.asarray(step.reward, np.float32)
        for name, values in (("action", action), ("reward", reward), ("observation", seen)):
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise FloatingPointError(f"non-finite {name} from the environment at row {self.stop} of the replay")
        here, before = self._slice(self.stop), self._slice(self.stop - 1)
        np.copyto(self.frame[here], seen, casting="same_kind")
        self.action[here], self.reward[here], self.discount[here] = action, reward, step.discount
        self.step_type[here] = step.step_type
        # A very first row in mid-episode gets age 1: its stack reaches behind row 0, so it is not sampled.
        self.age[here] = np.where(step.step_type == FIRST, 0, np.minimum(self.age[before], OLDEST - 1) + 1)
        if self.holdout and self.stop:  # the first episodes are learned from, so that there is something to learn
            keys = self.stop * self.num_envs + np.arange(self.num_envs)
            self.held[here] = np.where(step.step_type == FIRST, uniform(keys) < self.holdout, self.held[before])
        self.stop += 1
        self.start = max(self.start, self.stop - self.length)

    def _slice(self, row: int) -> slice:
        slot = row % self.length * self.num_envs
        return slice(slot, slot + self.num_envs)

    def _spans(self, lo: int, hi: int) -> tuple[slice, slice]:
        """Rows lo..hi-1 as at most two runs of slots: up to the end of memory, and on from its beginning."""
        slot = lo % self.length
        head = min(hi - lo, self.length - slot)
        return slice(slot, slot + head), slice(0, hi - lo - head)

    def _columns(self) -> dict[str, np.ndarray]:
        """Views [T, N, ...] of what a row is made of."""
        flat = {
            "frame": self.frame[: self.size],
            "action": self.action,
            "reward": self.reward,
            "discount": self.discount,
            "step_type": self.step_type,
            "age": self.age,
            **({"held": self.held} if self.holdout else {}),
        }
        shape = (self.length, self.num_envs)
        return {name: column.reshape(*shape, *column.shape[1:]) for name, column in flat.items()}


def uniform(keys: Keys) -> NDArray[np.float64]:
    """A number in [0, 1) that hangs on each key alone: splitmix64 (Steele et al. 2014)."""
    x = (keys.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))) / 2.0**64
