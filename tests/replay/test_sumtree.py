import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.sumtree import SumTree


def grown(leaves):
    tree = SumTree(len(leaves))
    tree.leaves[:] = leaves
    tree.rebuild()
    return tree


def chi_square(counts, chance):
    """(x, bound): what 1e5 draws of these chances exceed once in 30,000 times."""
    wanted, freedom = counts.sum() * chance, len(chance) - 1
    return ((counts - wanted) ** 2 / wanted).sum(), freedom + 4 * np.sqrt(2 * freedom)


def test_a_leaf_is_found_by_the_sum_of_those_before_it():
    tree = grown([1, 0, 2, 3])
    assert tree.total == 6
    assert tree.find(np.array([0, 0.99, 1, 2.99, 3, 5.99])).tolist() == [0, 0, 2, 2, 3, 3]


def test_setting_leaves_moves_the_sums_and_of_one_named_twice_the_last_value_stays():
    tree = grown(np.ones(5_000))
    tree.set(np.array([0, 4_999, 0]), np.array([7, 3, 2]))
    assert tree.total == 4_998 + 2 + 3
    assert tree.find(np.array([1.5, 2, 5_000.5])).tolist() == [0, 1, 4_999]


PRIORITY = st.one_of(st.just(0.0), st.floats(2.0**-17, 2.0**20, width=32), st.floats(2.0**-100, 2.0**100, width=32))


@settings(max_examples=200, deadline=None)
@given(
    size=st.sampled_from([1, 2, 31, 32, 33, 1_024, 1_025, 40_000]),
    sets=st.lists(st.lists(st.tuples(st.integers(0, 39_999), PRIORITY), min_size=1, max_size=40), max_size=8),
    seed=st.integers(0, 99),
)
def test_sums_never_drift_and_nothing_of_priority_0_is_found(size, sets, seed):
    tree = SumTree(size)
    for pairs in sets:
        index, values = (np.array(column) for column in zip(*pairs, strict=True))
        tree.set(index % size, values)
    again = grown(tree.leaves)
    assert all(np.array_equal(a, b) for a, b in zip(tree.levels, again.levels, strict=True))
    assert np.isclose(tree.total, tree.leaves.sum(dtype=np.float64), rtol=1e-12)
    if tree.total:
        mass = np.append(np.random.default_rng(seed).random(64) * tree.total, [0, np.nextafter(tree.total, 0)])
        found = tree.find(mass)
        assert (found < size).all() and (tree.leaves[found] > 0).all()


def test_a_sum_that_rounding_made_too_large_leads_to_no_leaf_of_0():
    leaves = np.zeros(2_048)
    leaves[:1_100] = 0.1
    tree = grown(leaves)
    mass = np.concatenate([np.nextafter(x, [0, np.inf]) for x in np.cumsum(tree.leaves[:1_100], dtype=np.float64)])
    found = tree.find(np.append(mass, [tree.total, np.inf]))
    assert found.max() == 1_099


def test_draws_of_stratified_samples_are_in_proportion_to_the_priorities():
    rng = np.random.default_rng(0)
    leaves = np.where(rng.random(300) < 0.3, 0, rng.exponential(size=300) + 0.05)
    tree, live = grown(leaves), leaves > 0
    drawn = [
        np.concatenate([tree.sample(32, rng) for _ in range(100_000 // 32)]),
        tree.find(rng.random(100_000) * tree.total),
    ]
    for index in drawn:
        counts = np.bincount(index, minlength=300)
        assert not counts[~live].any()
        x, bound = chi_square(counts[live], tree.leaves[live] / tree.total)
        assert x < bound


def test_each_stratum_is_drawn_from_once():
    tree, rng = grown(np.arange(1, 101)), np.random.default_rng(0)
    share = 50 * tree.leaves / tree.total
    for _ in range(100):
        counts = np.bincount(tree.sample(50, rng), minlength=100)
        assert (np.abs(counts - share) < 2).all()


def test_the_first_half_of_a_sample_is_not_the_older_half():
    halves = grown(np.ones(1_000)).sample(64, np.random.default_rng(0)).reshape(2, 32).mean(1)
    assert np.abs(halves - 500).max() < 200


def test_of_a_million_leaves_64_are_found_and_32_set_in_half_a_millisecond():
    rng = np.random.default_rng(0)
    tree, index, values = grown(rng.random(1_000_000)), rng.integers(0, 1_000_000, 32), rng.random(32)
    rows = []
    for _ in range(30):
        start = time.process_time()
        tree.sample(64, rng)
        tree.set(index, values)
        rows.append(time.process_time() - start)
    assert np.median(rows) < 500e-6
