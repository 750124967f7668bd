"""Slowly-changing regression (Dohare et al. 2021, arXiv:2108.06325, and 2024, Nature 632): bits that rarely flip.

20 bits go in. The first 15 are slow: one of them, drawn uniformly, flips at each task; the others are drawn anew for
every example. The goal is the output of a fixed network of 100 linear threshold units with weights of +1 or -1, bias
included; unit i fires above beta * 21 - S_i with S_i its negative weights, that is, when at least 15 of its 21 inputs
match their weights' signs. Their tasks last 10,000 examples, seen once, in minibatches of 1.

Their code (shibhansh/loss-of-plasticity, @e0a90d0) puts bias / 2 into S_i, so that units with bias -1 fire from 17
matching bits instead of 15; here it is the paper's. The constant 21st input is left to the learner's biases.
"""

import numpy as np
import torch
from gymnasium.spaces import Box

from envs.stream_kinds import BITS, FLIPS, TARGET, Problem, Task, generator

INPUTS, SLOW, UNITS, BETA = 20, 15, 100, 0.7
BLOCK = 10_000  # examples of an epoch when all are asked for


def bits_problem(images: int, seed: int) -> Problem:
    """`images` new examples per epoch, 10,000 if 0; no two epochs are the same."""
    rng = generator(seed, TARGET)
    signs = rng.choice([-1, 1], (INPUTS + 1, UNITS)).astype(np.float32)  # the last row is the bias
    weights = rng.choice([-1, 1], UNITS + 1).astype(np.float32)
    threshold = BETA * (INPUTS + 1) - (signs < 0).sum(0)  # [U]

    def draw(task: int, epoch: int) -> Task:
        x = generator(seed, BITS, task, epoch).integers(2, size=(images or BLOCK, INPUTS)).astype(np.float32)
        x[:, :SLOW] = slow_bits(task, seed)
        fires = x @ signs[:-1] + signs[-1] > threshold  # [n, U]
        goal = fires.astype(np.float32) @ weights[:-1] + weights[-1]
        return Task(torch.from_numpy(x), torch.from_numpy(goal))

    source = f"{INPUTS} bits, {SLOW} of them slow, and a network of {UNITS} threshold units, drawn from the seed"
    reach = UNITS + 1.0  # all units and the bias with one sign
    return Problem(source, Box(0, 1, (INPUTS,), np.float32), Box(-reach, reach, (), np.float32), draw, endless=True)


def slow_bits(task: int, seed: int) -> np.ndarray:
    """[15]: a random start, and one flip for each task so far."""
    rng = generator(seed, FLIPS)
    start = rng.integers(2, size=SLOW)
    flips = np.bincount(rng.integers(SLOW, size=task), minlength=SLOW)
    return (start + flips) % 2
