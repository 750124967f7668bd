"""Streams of labelled data: what changes with the task, what an epoch visits, and what a resumed stream repeats."""

import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from envs.data import Data, load
from envs.stream_bits import slow_bits
from envs.stream_kinds import KINDS, images_problem
from envs.streams import Stream, StreamSettings, canonical, make_stream, names
from replay.excerpt import restore_excerpt

UNUSED = np.random.default_rng(0)


def make(name="labels:generated", every=0, seed=0, batch_size=16, **settings):
    return make_stream(name, StreamSettings(**settings), every, seed, batch_size)


def small(kind, n=30, classes=3, batch_size=4, seed=0, channels=1, **settings):
    """Image i is filled with i; its label is i % classes."""
    images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].repeat(1, channels, 2, 3)
    data = Data("small", "small", images, torch.arange(n) % classes, classes)
    settings = StreamSettings(**{"images": 0, **settings})
    return Stream(f"{kind}:small", images_problem(kind, data, settings, seed), 0, seed, batch_size)


def turned(stream, times=1):
    for _ in range(times):
        stream.turn()
    return stream


def steps(stream, count):
    """The index of all that the next minibatches hold."""
    index = []
    for _ in range(count):
        index += stream.sample(stream._size, UNUSED).index.tolist()
        stream.step_done()
    return index


def pictures(stream):
    """Which images of `small` it trains on."""
    return stream.train[0][:, 0, 0, 0].tolist()


def test_labels_of_two_tasks_agree_by_chance_only():
    stream = make("labels:mnist", images=0)
    first, images = stream.train[1], stream.train[0]
    assert len(stream) == 5_000 and turned(stream).train[0] is images and stream.test is None
    agree = (first == stream.train[1]).float().mean()
    assert 0.085 < agree < 0.115  # 3.5 standard deviations of 5,000 draws at .1
    assert (first.bincount(minlength=10) - 500).abs().max() < 80 and first.bincount().tolist() != [500] * 10


def test_labels_of_the_first_task_are_not_the_true_ones():
    mnist, stream = load("mnist"), make("labels:mnist")
    true = {image.numpy().tobytes(): int(label) for image, label in zip(mnist.images, mnist.labels, strict=True)}
    agree = np.mean([true[x.numpy().tobytes()] == int(y) for x, y in zip(*stream.train, strict=True)])
    assert len(stream) == 1_200 and 0.07 < agree < 0.13


@pytest.mark.parametrize(("relabel", "redrawn"), [(0.01, 50), (0.5, 2_500), (0.0, 0)])
def test_relabel_is_the_fraction_drawn_anew(relabel, redrawn):
    stream, changed = make(images=0, relabel=relabel), []
    for _ in range(2):
        before = stream.train[1]
        changed.append(int((before != turned(stream).train[1]).sum()))
    for count in changed:  # of those drawn anew a tenth gets the label it had
        assert count <= redrawn and abs(count - 0.9 * redrawn) <= 4 * (0.09 * redrawn) ** 0.5


def test_each_task_relabels_other_images():
    stream, moved = make(images=100, relabel=0.2), torch.zeros(100, dtype=torch.bool)
    for _ in range(30):
        before = stream.train[1]
        moved |= before != turned(stream).train[1]
    assert moved.sum() > 95  # an image escapes 30 draws of .18 with probability .003


def test_a_task_is_the_same_however_it_is_reached():
    for kind in KINDS:
        walked, loaded = turned(small(kind, relabel=0.2), 5), small(kind, relabel=0.2)
        loaded.load_state_dict(walked.state_dict())
        assert torch.equal(walked.train[0], loaded.train[0]) and torch.equal(walked.train[1], loaded.train[1])


def test_every_image_keeps_its_minibatch_row():
    stream = small("labels")
    batch = stream.sample(4, UNUSED)
    assert torch.equal(batch.obs, stream.train[0][batch.index])
    assert torch.equal(batch.action, stream.train[1][batch.index])
    assert batch.next_obs is batch.obs and batch.weight.tolist() == [1] * 4
    assert batch.reward.tolist() == batch.discount.tolist() == [0] * 4
    assert batch.obs.dtype == torch.uint8 and batch.action.dtype == torch.int64


def test_an_epoch_visits_each_example_once_and_drops_the_last_partial_minibatch():
    stream = small("labels")  # 30 examples in 4s: 7 minibatches, 2 examples left over
    epochs = [steps(stream, 7) for _ in range(20)]
    assert all(len(set(epoch)) == 28 for epoch in epochs)
    assert set(range(30)) == set().union(*epochs) and epochs[0] != epochs[1]


def test_an_epoch_without_a_rest_visits_everything():
    stream = small("labels", n=32)
    assert sorted(steps(stream, 8)) == list(range(32))


def test_an_epoch_is_done_after_its_last_minibatch_only():
    stream = small("labels")
    done = [stream.epoch_done]
    for _ in range(15):
        stream.step_done()
        done.append(stream.epoch_done)
    assert [k for k, ended in enumerate(done) if ended] == [7, 14] and stream.per_epoch == 7
    assert not turned(stream).epoch_done


def test_the_task_is_due_when_its_minibatches_are_used_up():
    stream = make(every=3)
    due = []
    for _ in range(3):
        due.append(stream.due)
        stream.step_done()
    assert due == [False] * 3 and stream.due and stream.task == 0 and stream.step == 3
    stream.turn()
    assert (stream.task, stream.step, stream.due) == (1, 0, False)


def test_a_task_of_0_minibatches_is_never_due():
    stream = make()
    for _ in range(10):
        stream.step_done()
    assert not stream.due


def test_sampling_twice_at_a_step_gives_the_same_minibatch_and_no_generator_moves():
    stream, rng = make(), np.random.default_rng(3)
    before = rng.bit_generator.state
    one, two = stream.sample(16, rng), stream.sample(16, rng, n=3, gamma=0.5)
    assert torch.equal(one.obs, two.obs) and torch.equal(one.index, two.index)
    assert rng.bit_generator.state == before and stream.step == 0


def test_sampling_into_a_buffer_gives_what_sampling_gives():
    stream = make()
    out = stream.buffer(16)
    for _ in range(3):
        got, fresh = stream.sample(16, UNUSED, out=out), stream.sample(16, UNUSED)
        assert got.obs is out.obs and got.next_obs is out.obs
        assert all(torch.equal(a, b) for a, b in zip(got[:7], fresh[:7], strict=True))
        stream.step_done()


@pytest.mark.parametrize("name", ["labels:generated", "pixels:generated", "classes:generated", "drift:bits"])
@pytest.mark.parametrize("point", [0, 1, 6, 7, 8, 20, 21])  # an epoch is 7 minibatches, a task 20
def test_a_restored_stream_goes_on_as_the_straight_one(name, point):
    def walk(stream, count):
        rows = []
        for _ in range(count):
            peeked = stream.peek(3, np.random.default_rng(0))
            batch = stream.sample(16, UNUSED)
            rows.append([x.numpy().tobytes() for x in (batch.obs, batch.action, batch.index, peeked.obs)])
            stream.step_done()
            if stream.due:
                stream.turn()
        return rows

    straight, resumed = make(name, every=20, images=120), make(name, every=20, images=120)
    walk(straight, point)
    state = straight.state_dict()
    assert all(type(value) is int for value in state.values())
    resumed.load_state_dict(state)
    assert walk(straight, 45) == walk(resumed, 45) and straight.task == (point + 45) // 20


def test_seeds_differ_in_images_labels_and_order():
    one, two = make(seed=1), make(seed=2)
    assert not torch.equal(one.train[0], two.train[0]) and not torch.equal(one.train[1], two.train[1])
    assert steps(one, 1) != steps(two, 1)


def test_a_state_of_other_images_is_refused():
    with pytest.raises(ValueError, match="other data than 5,000"):
        make(seed=1).load_state_dict(make(seed=2).state_dict())


def test_peeking_draws_with_the_callers_generator_and_moves_nothing():
    stream = small("labels")
    stream.step_done()
    before = stream.sample(4, UNUSED)
    peeked = stream.peek(3_000, np.random.default_rng(1))
    assert torch.equal(peeked.obs, stream.peek(3_000, np.random.default_rng(1)).obs)
    assert torch.equal(peeked.obs, stream.train[0][peeked.index])
    assert torch.equal(peeked.action, stream.train[1][peeked.index])
    counts = peeked.index.bincount(minlength=30)
    assert counts.min() > 60 and counts.max() < 140  # 100 each on average
    assert torch.equal(before.index, stream.sample(4, UNUSED).index)
    peeked.obs.zero_()
    assert stream.train[0].sum() > 0


@pytest.mark.parametrize("name", ["labels:generated", "drift:bits"])
def test_an_excerpt_is_restored_to_what_peek_draws(name):
    stream = make(name, images=40)
    arrays = stream.excerpt(64, np.random.default_rng(5))
    batch, peeked = restore_excerpt(arrays), stream.peek(64, np.random.default_rng(5))
    assert len(arrays["frames"]) <= 40
    for got, expected in zip(batch[:6], peeked[:6], strict=True):  # all but index
        assert torch.equal(got, expected) and got.dtype == expected.dtype


def test_permuted_pixels_are_the_same_pixels_elsewhere():
    mnist, stream = load("mnist"), make("pixels:mnist")
    known = {row.tobytes() for row in mnist.images.flatten(1).sort(1)[0].numpy()}
    first, second = stream.train, turned(stream).train
    assert not torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    for x in (*first[0][:50], *second[0][:50], *stream.test[0][:50]):
        assert x.flatten().sort()[0].numpy().tobytes() in known


def test_one_permutation_moves_all_images_of_a_task_and_its_test_set():
    images = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 2, 3).repeat(20, 3, 1, 1)  # pixel p has the value p
    data = Data("small", "small", images, torch.arange(20) % 2, 2)
    stream = Stream("pixels:small", images_problem("pixels", data, StreamSettings(images=0), 0), 0, 0, 4)
    orders = set()
    for _ in range(4):
        everything = torch.cat([stream.train[0], stream.test[0]]).flatten(2).flatten(0, 1).unique(dim=0)
        assert len(everything) == 1  # the channels too
        orders.add(tuple(everything[0].tolist()))
        stream.turn()
    assert len(orders) == 4 and all(sorted(order) == list(range(6)) for order in orders)


def test_a_shuffle_renames_the_classes():
    stream = small("shuffle", classes=5)
    seen = set()
    for _ in range(4):
        both = [*zip(pictures(stream), stream.train[1].tolist(), strict=True)]
        both += zip(stream.test[0][:, 0, 0, 0].tolist(), stream.test[1].tolist(), strict=True)
        names = {image % 5: label for image, label in both}
        assert sorted(names.values()) == list(range(5)) and all(names[image % 5] == label for image, label in both)
        seen.add(tuple(names[k] for k in range(5)))
        stream.turn()
    assert len(seen) == 4


def test_warm_starting_adds_the_second_half_to_the_first():
    stream = small("warm")  # 30 images: 10 to test, 20 to train on
    half, test = pictures(stream), stream.test[0][:, 0, 0, 0].tolist()
    whole = pictures(turned(stream))
    assert len(half) == 10 and len(whole) == 20 and len(test) == 10 and whole[:10] == half
    assert sorted(whole + test) == list(range(30))
    assert stream.train[1].tolist() == [image % 3 for image in whole]
    assert pictures(turned(stream)) == whole and stream.test[0][:, 0, 0, 0].tolist() == test


def test_classes_come_two_at_a_time():
    stream = make("classes:mnist", images=0)
    train, tests, seen = [], [], set()
    for _ in range(6):
        known = set(stream.train[1].tolist())
        assert seen <= known == set(stream.test[1].tolist())
        seen = known
        train.append((len(known), len(stream)))
        tests.append(len(stream.test[1]))
        stream.turn()
    assert train == [(2, 800), (4, 1_600), (6, 2_400), (8, 3_200), (10, 4_000), (10, 4_000)]
    assert tests == [200, 400, 600, 800, 1_000, 1_000]


def test_an_increment_that_does_not_divide_the_classes_ends_with_the_rest():
    stream = small("classes", classes=5, increment=2)
    assert [len(set(turned(stream, k > 0).train[1].tolist())) for k in range(3)] == [2, 4, 5]


@pytest.mark.parametrize("kind", ["pixels", "shuffle", "warm", "classes"])
def test_no_test_image_is_trained_on(kind):
    stream = make(f"{kind}:mnist", images=0)
    for _ in range(2):
        train = {x.numpy().tobytes() for x in stream.train[0]}
        assert not any(x.numpy().tobytes() in train for x in stream.test[0])
        stream.turn()


def test_drift_is_the_output_of_threshold_units_that_match_15_of_21_signs():
    stream = make("drift:bits", batch_size=20, images=20, seed=4)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(4, spawn_key=(5,))))
    signs, weights = rng.choice([-1, 1], (21, 100)).tolist(), rng.choice([-1, 1], 101).tolist()
    for x, y in zip(*(each.tolist() for each in stream.train), strict=True):
        total = weights[100]
        for unit in range(100):
            matches = int(signs[20][unit] == 1)  # the bias is a weight of an input of 1
            for bit in range(20):
                matches += int((x[bit] == 1) == (signs[bit][unit] == 1))
            total += weights[unit] * (matches >= 15)
        assert y == total
    assert stream.train[1].std() > 0.5


def test_one_slow_bit_flips_at_each_task_and_none_within_it():
    stream = make("drift:bits", images=200, batch_size=50)
    flipped = []
    for _ in range(40):
        slow = stream.train[0][0, :15].clone()
        for _ in range(5):  # into the second epoch
            assert (stream.train[0][:, :15] == slow).all()
            stream.step_done()
        assert stream.train[0][:, 15:].mean(0).sub(0.5).abs().max() < 0.2
        stream.turn()
        flipped.append((stream.train[0][0, :15] != slow).nonzero().flatten().tolist())
    assert all(len(bits) == 1 for bits in flipped) and len({bits[0] for bits in flipped}) > 10


def test_slow_bits_are_the_start_and_the_parity_of_the_flips():
    assert sum(int((slow_bits(k, 3) != slow_bits(k + 1, 3)).sum()) for k in range(300)) == 300


def test_drift_never_repeats_an_epoch():
    stream = make("drift:bits", images=64)
    first = stream.train[0].clone()
    for _ in range(4):
        stream.step_done()
    assert stream.epoch_done and not torch.equal(first, stream.train[0])


def test_drifts_targets_lie_in_the_box():
    stream = make("drift:bits", images=0)
    assert len(stream) == 10_000 and stream.spec.action.shape == () and stream.train[1].dtype == torch.float32
    low, high = float(stream.spec.action.low), float(stream.spec.action.high)
    assert (low, high) == (-101, 101) and low < stream.train[1].min() < stream.train[1].max() < high
    assert stream.spec.observation.contains(stream.train[0].numpy()[0])


def test_the_spec_is_that_of_the_images():
    spec = small("labels", channels=3).spec
    assert spec.observation.shape == (3, 2, 3) and spec.observation.dtype == np.uint8
    assert spec.action == Discrete(3) and spec.name == "labels:small" and spec.stack == 0


def test_names_are_canonical_and_others_are_not_of_this_family():
    assert all(canonical(name) == name for name in names()) and len(names()) == 26
    assert canonical("Labels:MNIST") == "labels:mnist" and canonical("warm:CIFAR-10") == "warm:cifar10"
    assert [canonical(name) for name in ("Pong", "toy:chain", "CartPole-v1", "dmc:walker-walk", "")] == [None] * 5


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("labels:mnits", "no data 'mnits' for labels; write labels:mnist"),
        ("drift:mnist", "no data 'mnist' for drift; write drift:bits"),
        ("warm", "write warm:mnist or warm:fashion or"),
    ],
)
def test_a_known_kind_of_unknown_data_names_the_nearest(name, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        canonical(name)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        (
            "labels:mnist",
            {"images": 6_000},
            "images is 6000, but mnist has 5000 here; write at most 5000, or 0 for all",
        ),
        ("warm:mnist", {"images": 4_000}, "mnist has 3334 here"),
        ("labels:mnist", {"images": 10}, "task 0 of labels:mnist has 10 examples, fewer than a minibatch of 16"),
        ("labels:mnist", {"relabel": 1.5, "images": -1}, "images is -1, but must be at least 0; relabel is 1.5"),
        ("labels:mnist", {"task_until": 2.0}, "task_until is 2.0, but must be in [0, 1]"),
        ("classes:mnist", {"increment": 11}, "increment is 11, but must be at most 10, mnist's classes"),
        ("classes:mnist", {"increment": 0}, "increment is 0, but must be at least 1"),
        ("labels:mnist", {"increment": 5}, "increment is a setting of classes; labels has none"),
        ("pixels:mnist", {"relabel": 0.5}, "relabel is a setting of labels; pixels has none"),
        ("drift:bits", {"task_until": 0.9}, "task_until is a setting of labels, pixels, shuffle, warm, classes; drift"),
        ("labels:mnist", {"batch_size": 0}, "batch_size is 0, but must be at least 1"),
        ("labels:mnist", {"every": -1}, "every is -1, but must be at least 0"),
        ("Pong", {}, "no stream 'Pong'; write e.g. labels:mnist or drift:bits"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(name, arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make(name, **arguments)


def test_nothing_can_be_added_and_other_sizes_are_refused():
    stream = make()
    with pytest.raises(ValueError, match="nothing can be added"):
        stream.add(None, None, None)
    with pytest.raises(ValueError, match="minibatches of 16, not 32; use peek"):
        stream.sample(32, UNUSED)


def test_every_setting_says_what_it_is_and_the_defaults_have_no_problem():
    assert StreamSettings().problems() == [] and StreamSettings.__doc__ == "Streams of labelled data"
    assert [f.name for f in fields(StreamSettings)] == ["data_dir", "images", "relabel", "increment", "task_until"]
