"""Named, independent generators: every purpose has its own stream, spawned from the seed by name."""

import zlib

import numpy as np


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """A PCG64 generator that depends on the seed and the name only: stream(0, "act"), stream(0, "probe", 10_000)."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in name]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def draw_seed(rng: np.random.Generator) -> int:
    """The next seed of a stream, in [0, 2^63)."""
    return int(rng.integers(2**63))
