"""Any nested state as safetensors and JSON, bit for bit; the same state gives the same bytes. No pickle, no eval.

Tensors, arrays, numpy scalars and bytes go to safetensors under the slash-joined path of their place; the rest stays in
the JSON tree, where {"$": kind} stands for what JSON cannot say. Memory order is not kept: everything is saved
contiguous. An OrderedDict comes back as a dict, a Parameter as a tensor, a tensor of any device on the CPU.
"""

import hashlib
import json
import math
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

Array = Tensor | np.ndarray[Any, Any]
MARK = "$"
WIDE = 1 << 64  # a wider int is written in hex: decimal digits are limited to 4,300
DTYPES = {
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32),
    *(torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64),
}


def split(state: Mapping[str, Any]) -> tuple[dict[str, Array], Any]:
    """The arrays of a state by path, and the JSON tree that says where each belongs."""
    tensors: dict[str, Array] = {}
    rest = _split(state, "", tensors)
    return tensors, rest


def join(tensors: Mapping[str, Array], rest: Any) -> Any:
    """The inverse of `split`; every array must have its place."""
    left = dict(tensors)
    state = _join(rest, "", left)
    if left:
        raise ValueError(f"tensor {min(left)!r} has no place in the state")
    return state


def encode(state: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """A state as the bytes of state.safetensors and of state.json."""
    tensors, rest = split(state)
    return to_bytes(tensors), json.dumps(rest, allow_nan=False, indent=1).encode()


def decode(blob: bytes, text: bytes) -> dict[str, Any]:
    """The inverse of `encode`; anything else than its output is a ValueError."""
    try:
        state = join(from_bytes(blob), json.loads(text, parse_constant=_no_constant))
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error, OverflowError) as error:
        raise ValueError(f"not a saved state ({type(error).__name__}: {error})") from error
    if not isinstance(state, dict):
        raise ValueError(f"not a saved state (a {type(state).__name__})")
    return state


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of a state; the order in which a dict was filled does not count."""
    return encoded_digest(*encode(state))


def encoded_digest(blob: bytes, text: bytes) -> str:
    """`digest` of what `encode` returned; safetensors sorts by itself, the JSON is sorted here."""
    total = hashlib.sha256(hashlib.sha256(blob).digest())
    total.update(json.dumps(json.loads(text), sort_keys=True).encode())
    return total.hexdigest()


def to_bytes(tensors: Mapping[str, Array]) -> bytes:
    """Arrays as safetensors bytes, which depend neither on the order of the dict nor on memory order."""
    return save({name: _detached(name, array) for name, array in tensors.items()})


def from_bytes(blob: bytes) -> dict[str, Tensor]:
    try:
        return load(blob)
    except (SafetensorError, KeyError, AssertionError, RuntimeError) as error:
        raise ValueError(f"not safetensors ({error})") from error


def _detached(name: str, array: Array) -> Tensor:
    """A contiguous copy on the CPU: safetensors refuses two tensors that share memory."""
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "biuf" or not array.dtype.isnative or array.dtype.itemsize > 8:
            raise TypeError(f"{name!r} has dtype {array.dtype}; cast it to a bool, int or float of at most 64 bits")
        return torch.from_numpy(np.array(array, array.dtype.str, order="C"))  # longlong becomes int64
    if array.dtype not in DTYPES or array.layout != torch.strided:
        raise TypeError(f"{name!r} is {array.layout} {array.dtype}; cast it to a dense bool, int or float tensor")
    return array.detach().cpu().clone(memory_format=torch.contiguous_format)


def _text(text: str) -> str:
    text.encode()  # half a surrogate pair is no text: it would not come back from JSON
    return text


def _int(n: int) -> Any:
    return n if abs(n) < WIDE else {MARK: "int", "of": hex(n)}


def _float(x: float) -> Any:
    return x if math.isfinite(x) else {MARK: "float", "of": struct.pack(">d", x).hex()}


PLAIN: dict[type, Callable[[Any], Any]] = {
    type(None): lambda x: x,
    bool: lambda x: x,
    str: _text,
    int: _int,
    float: _float,
}


def _split(node: Any, path: str, tensors: dict[str, Array]) -> Any:
    kind = type(node)
    if kind in PLAIN:
        return PLAIN[kind](node)
    if kind in (dict, OrderedDict):
        items = {key: _split(item, _below(path, key), tensors) for key, item in node.items()}
        return {MARK: "dict", "of": items} if MARK in items else items
    if kind in (list, tuple):
        row = [_split(item, _below(path, str(i)), tensors) for i, item in enumerate(node)]
        return row if kind is list else {MARK: "tuple", "of": row}
    name, tensors[path] = _leaf(node, path)
    return {MARK: name}


def _below(path: str, key: Any) -> str:
    if type(key) is not str or not key or "/" in key or key == "__metadata__":
        raise ValueError(f"key {key!r} under {path!r} cannot be saved; use a non-empty str without '/'")
    return f"{path}/{_text(key)}" if path else _text(key)


def _leaf(node: Any, path: str) -> tuple[str, Array]:
    if isinstance(node, Tensor):
        return "torch", node
    if type(node) is np.ndarray:
        return "numpy", node
    if isinstance(node, np.generic):
        return "scalar", np.asarray(node)
    if type(node) is bytes:
        return "bytes", np.frombuffer(node, np.uint8)
    raise TypeError(f"{path!r} is a {type(node).__qualname__}, which cannot be saved; make it numbers, text or arrays")


def _join(node: Any, path: str, left: dict[str, Array]) -> Any:
    if isinstance(node, list):
        return [_join(item, _below(path, str(i)), left) for i, item in enumerate(node)]
    if isinstance(node, dict):
        return _marked(node, path, left) if MARK in node else _items(node, path, left)
    return node


def _items(node: dict[str, Any], path: str, left: dict[str, Array]) -> dict[str, Any]:
    return {key: _join(item, _below(path, key), left) for key, item in node.items()}


def _marked(node: dict[str, Any], path: str, left: dict[str, Array]) -> Any:
    kind = node[MARK]
    if kind in INLINE:
        return INLINE[kind](node["of"])
    if kind in NESTED:
        return NESTED[kind](node["of"], path, left)
    return STORED[kind](left.pop(path))


def _numpy(array: Array) -> np.ndarray[Any, Any]:
    return array.numpy() if isinstance(array, Tensor) else array


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


INLINE: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
}
NESTED: dict[str, Callable[[Any, str, dict[str, Array]], Any]] = {
    "dict": _items,
    "tuple": lambda row, path, left: tuple(_join(row, path, left)),
}
STORED: dict[str, Callable[[Array], Any]] = {
    "torch": lambda array: array,
    "numpy": _numpy,
    "scalar": lambda array: _numpy(array)[()],
    "bytes": lambda array: _numpy(array).tobytes(),
}
