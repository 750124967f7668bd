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
from hypothesis.extra import numpy as npst
from rowlog import same

from runs import pack

NAN = struct.unpack(">d", bytes.fromhex("7ff8000000abcdef"))[0]
TORCH = sorted(pack.DTYPES - {torch.bfloat16}, key=str)

keys = st.text(min_size=1, max_size=5).filter(lambda key: "/" not in key and key != "__metadata__")
dtypes = npst.boolean_dtypes() | npst.integer_dtypes(endianness="=") | npst.unsigned_integer_dtypes(endianness="=")
dtypes |= npst.floating_dtypes(endianness="=", sizes=(16, 32, 64))
arrays = npst.arrays(dtypes, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
tensors = arrays.map(lambda array: torch.from_numpy(array.copy()))
scalars = arrays.filter(lambda array: array.size > 0).map(lambda array: array.flat[0])
leaves = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=9)),
    *(arrays, tensors, scalars, st.integers(-(2**300), 2**300)),
)
nodes = st.recursive(leaves, lambda n: st.lists(n) | st.lists(n).map(tuple) | st.dictionaries(keys, n), max_leaves=12)


def back(state):
    return pack.decode(*pack.encode(state))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, nodes))
def test_any_state_comes_back_bit_for_bit(state):
    assert same(back(state), state)
    assert same(pack.join(*pack.split(state)), state)
    assert pack.encode(back(state)) == pack.encode(state)


@pytest.mark.parametrize(
    "value",
    [
        *(True, 1, 1.0, None, "", "$", (), [], {}, ((),), [()], {"$": 1}, {"$": {"$": "int"}}, {"a": {}}, b"", b"\x00\xff"),
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
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, 64, np.uint8))
    tensor = noise.bool() if dtype == torch.bool else noise.view(dtype)
    assert same(back({"a": tensor}), {"a": tensor})


def test_generators_come_back():
    bits = np.random.PCG64(3)
    state = {"numpy": bits.state, "torch": torch.get_rng_state(), "legacy": np.random.MT19937(1).state}
    assert same(back(state), state)


def test_adam_comes_back():
    net = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(net.parameters(), foreach=False)
    net(torch.ones(1, 3)).sum().backward()
    adam.step()
    slots = {name: adam.state[p] for name, p in net.named_parameters()}
    state = back({"net": net.state_dict(), "slots": slots})
    assert same(state["slots"], slots)
    assert same(state["net"], {name: p.detach() for name, p in net.named_parameters()})


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
        *({1}, 1j, object(), namedtuple("P", "x")(1), np.zeros(1, complex), np.zeros(1, object), np.str_("a"), range(2)),
        *(np.zeros(1, ">f4"), np.zeros(1, np.longdouble), torch.zeros(1, dtype=torch.complex64), np.datetime64("2020")),
        *(np.ma.zeros(1), torch.eye(2).to_sparse(), np.zeros(1, "U3")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_is_refused_by_path(value):
    with pytest.raises(TypeError, match="'net/slots/1'"):
        pack.encode({"net": {"slots": [0, value]}})


def test_an_ordered_dict_comes_back_as_a_dict():
    assert same(back(OrderedDict(a=OrderedDict(b=1))), {"a": {"b": 1}})


@pytest.mark.parametrize(
    "tree",
    [
        *([], 3, None, {"$": "dict"}, {"a": {"$": "pickle", "of": "x"}}, {"a": {"$": []}}, {"a": {"$": "int", "of": 3}}),
        *({"a": {"$": "float", "of": "00"}}, {"a": {"$": "torch"}}, {"a": {"$": "tuple", "of": 3}}, {"a/b": 1}),
        *({"w": {"$": "torch"}, "a": {"$": "int"}}, {"a": {"$": "dict", "of": [1]}}, {}, {"w": 0}, {"a": {"$": "int", "of": "x"}}),
    ],
)
def test_a_foreign_tree_is_a_value_error(tree):
    blob, _ = pack.encode({"w": torch.zeros(2)})
    with pytest.raises(ValueError):
        pack.decode(blob, json.dumps(tree).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": ' * 100_000, b"1" * 5000], ids=len)
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
