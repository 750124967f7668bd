"""Any nested state comes back to the last bit, or is refused with its path."""

import json
import math
import random
import struct
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rowlog import same

from runs import pack

NAN = struct.unpack(">d", bytes.fromhex("7ff8000000abcdef"))[0]
TORCH = sorted(pack.DTYPES, key=str)


def noise(seed):
    """An array of any dtype and shape, of random bits: NaN payloads and denormals among them."""
    rng = np.random.default_rng(seed)
    dtype, shape = np.dtype(rng.choice(list("?bBhHiIlLefd"))), tuple(rng.integers(0, 4, rng.integers(0, 4)))
    raw = np.frombuffer(rng.bytes(dtype.itemsize * math.prod(shape)), np.uint8)
    return (raw & 1 if dtype.kind == "b" else raw).view(dtype).reshape(shape)


keys = st.text(min_size=1, max_size=3).filter(lambda key: "/" not in key)
arrays = st.integers(0, 10**6).map(noise)
leaves = st.one_of(
    *(st.sampled_from([None, True, False]), st.integers(-(2**200), 2**200), st.floats(), st.text(max_size=3)),
    *(st.binary(max_size=3), arrays, arrays.map(lambda array: array.flat[0] if array.size else array)),
    arrays.map(lambda array: torch.from_numpy(array.copy())),
)
rows = lambda node: st.lists(node, max_size=3)
nodes = st.recursive(
    leaves, lambda n: rows(n) | rows(n).map(tuple) | st.dictionaries(keys, n, max_size=3), max_leaves=6
)


def back(state):
    return pack.decode(*pack.encode(state))


def returns(state):
    assert same(back(state), state)
    assert same(pack.join(*pack.split(state)), state)
    assert pack.encode(back(state)) == pack.encode(state)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, nodes, max_size=3))
def test_any_state_comes_back_bit_for_bit(state):
    returns(state)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(st.dictionaries(keys, nodes, max_size=3))
def test_any_of_20_000_states_comes_back_bit_for_bit(state):
    returns(state)


@pytest.mark.parametrize(
    "value",
    [
        *(
            True,
            1,
            1.0,
            None,
            "",
            "$",
            (),
            [],
            {},
            ((),),
            [()],
            {"$": 1},
            {"$": {"$": "int"}},
            {"a": {}},
            b"",
            b"\x00\xff",
        ),
        *(-0.0, math.inf, -math.inf, math.nan, NAN, 5e-324, 2**64, -(2**64), 2**128 - 1, 10**5000, np.bool_(True)),
        *(np.float64(-0.0), np.float32("nan"), np.uint64(2**64 - 1), np.int8(-1), np.array(3.5), np.zeros((0, 3))),
        *(np.array([NAN, -0.0]), torch.tensor(NAN, dtype=torch.float64), torch.tensor(7), torch.zeros(2, 0, 3)),
        *(torch.tensor([1.0, -0.0, math.nan], dtype=torch.bfloat16), np.zeros(2, np.uint16), torch.tensor([True])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_in_type_and_bits(value):
    assert same(back({"a": {"b": [value]}}), {"a": {"b": [value]}})


@pytest.mark.parametrize("dtype", TORCH, ids=str)
def test_every_dtype_keeps_every_bit(dtype):
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, 4096, np.uint8))
    tensor = noise.bool() if dtype == torch.bool else noise.view(dtype)
    assert same(back({"a": tensor}), {"a": tensor})


def test_generators_come_back():
    bits = np.random.PCG64(3)
    state = {"numpy": bits.state, "torch": torch.get_rng_state(), "legacy": np.random.MT19937(1).state}
    assert same(back(state), state)


def test_a_network_comes_back_as_tensors():
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = {"net": net.state_dict(), "parameters": dict(net.named_parameters())}
    assert same(back(state)["net"], dict(net.state_dict()))
    assert same(back(state)["parameters"], {name: p.detach() for name, p in net.named_parameters()})


def test_memory_order_and_sharing_do_not_count():
    grid = torch.arange(6.0).reshape(2, 3)
    views = {"a": grid.t(), "b": grid[:, 1], "c": grid, "d": np.asfortranarray(grid.numpy())}
    copies = {"a": grid.t().contiguous(), "b": grid[:, 1].clone(), "c": grid.clone(), "d": grid.numpy().copy()}
    assert pack.encode(views) == pack.encode(copies)
    assert back(views)["a"].is_contiguous()


def test_a_decoded_state_is_nobodys_view():
    weight = torch.zeros(3)
    state = back({"w": weight})
    weight += 1
    state["w"] += 2
    assert state["w"].tolist() == [2, 2, 2]


def test_the_digest_ignores_the_order_of_keys_which_the_bytes_keep():
    a, b = {"x": 1, "y": torch.ones(1), "z": 2}, {"z": 2, "y": torch.ones(1), "x": 1}
    assert pack.digest(a) == pack.digest(b)
    assert list(back(b)) == ["z", "y", "x"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(((1,), [1]), (1, True), (1, 1.0), (0.0, -0.0), (b"a", np.array([97], np.uint8)), (None, {}), ("1", 1)),
        *((np.ones(1), torch.ones(1, dtype=torch.float64)), (np.float64(1), np.array(1.0)), (2**64, hex(2**64))),
        *((torch.ones(2, 3), torch.ones(3, 2)), (torch.ones(1), torch.ones(1).bfloat16()), (math.nan, NAN)),
    ],
)
def test_the_digest_tells_apart(one, other):
    assert pack.digest({"a": one}) != pack.digest({"a": other})
    assert pack.digest({"a": one}) == pack.digest({"a": one})


@pytest.mark.parametrize("key", ["a/b", "", "__metadata__", 3, "\ud800"])
def test_a_key_that_makes_no_path_is_refused(key):
    with pytest.raises(ValueError):
        pack.encode({"part": {key: torch.zeros(1)}})


@pytest.mark.parametrize(
    "value",
    [
        *(
            {1},
            1j,
            object(),
            namedtuple("P", "x")(1),
            np.zeros(1, complex),
            np.zeros(1, object),
            np.str_("a"),
            range(2),
        ),
        *(np.zeros(1, ">f4"), np.zeros(1, np.longdouble), torch.zeros(1, dtype=torch.complex64), np.datetime64("2020")),
        *(np.ma.zeros(1), torch.eye(2).to_sparse(), np.zeros(1, "U3")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_is_refused_by_path(value):
    with pytest.raises(TypeError, match="'net/slots/1'"):
        pack.encode({"net": {"slots": [0, value]}})


def test_the_two_names_of_64_bits_become_one():
    array = np.arange(3, dtype=np.longlong)
    assert same(back({"a": array, "b": array[1]}), {"a": np.arange(3), "b": np.int64(1)})


def test_an_ordered_dict_comes_back_as_a_dict():
    assert same(back(OrderedDict(a=OrderedDict(b=1))), {"a": {"b": 1}})


@pytest.mark.parametrize(
    "tree",
    [
        *(
            [],
            3,
            None,
            {"$": "dict"},
            {"a": {"$": "pickle", "of": "x"}},
            {"a": {"$": []}},
            {"a": {"$": "int", "of": 3}},
        ),
        *({"a": {"$": "float", "of": "00"}}, {"a": {"$": "torch"}}, {"a": {"$": "tuple", "of": 3}}, {"a/b": 1}),
        *(
            {"w": {"$": "torch"}, "a": {"$": "int"}},
            {"a": {"$": "dict", "of": [1]}},
            {},
            {"w": 0},
            {"a": {"$": "int", "of": "x"}},
        ),
    ],
)
def test_a_foreign_tree_is_a_value_error(tree):
    blob, _ = pack.encode({"w": torch.zeros(2)})
    with pytest.raises(ValueError):
        pack.decode(blob, json.dumps(tree).encode())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": ' * 100_000, b"1" * 5000], ids=len
)
def test_foreign_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        pack.decode(pack.encode({})[0], text)


def test_mutilated_bytes_are_a_value_error_or_a_state():
    rng = random.Random(0)
    encoded = pack.encode({"w": torch.arange(3.0), "n": {"k": np.float32(2), "t": (b"ab", 2**70, math.inf)}})
    for _ in range(2_000):
        parts = [bytearray(part) for part in encoded]
        part = rng.choice(parts)
        part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
        del part[len(part) - rng.choice([0, 0, rng.randrange(len(part))]) :]
        try:
            assert isinstance(pack.decode(bytes(parts[0]), bytes(parts[1])), dict)
        except ValueError:
            continue
