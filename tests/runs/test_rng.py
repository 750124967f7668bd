"""Generators by name: a pure function of seed and name, independent of each other and of everything global."""

from itertools import combinations

import numpy as np
import pytest

from runs.rng import draw_seed, stream

NAMES = [(), ("act",), ("replay",), ("init",), ("probe", 1), ("probe", 10_000), ("witness", "reset", 3, 4), ("a", "b")]


def draws(*name, seed=0):
    return stream(seed, *name).integers(2**63, size=8).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_a_function_of_seed_and_name(name):
    assert draws(*name) == draws(*name)
    assert draws(*name) != draws(*name, seed=1)


def test_streams_of_different_names_differ():
    for one, other in combinations(NAMES, 2):
        assert not set(draws(*one)) & set(draws(*other))


def test_the_order_of_a_name_counts_and_words_do_not_melt():
    assert draws("a", "b") != draws("b", "a")
    assert draws("a", "b") != draws("ab")
    assert draws("1") != draws(1)


def test_streams_do_not_change_between_versions():
    assert draws("act")[:2] == [3314822346939077668, 102374264459578052]


def test_a_stream_neither_reads_nor_moves_the_global_generator():
    np.random.seed(0)  # noqa: NPY002
    first, state = draws("act"), np.random.get_state()[2]  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert draws("act") == first
    assert np.random.get_state()[2] == state  # noqa: NPY002


def test_a_drawn_seed_is_a_python_int_that_torch_takes():
    rng = stream(0, "init")
    seeds = [draw_seed(rng) for _ in range(100)]
    assert all(type(s) is int and 0 <= s < 2**63 for s in seeds)
    assert len(set(seeds)) == 100
    assert max(seeds) > 2**62


def test_a_wide_seed_is_a_seed():
    assert draws("act", seed=2**40) != draws("act", seed=0)
