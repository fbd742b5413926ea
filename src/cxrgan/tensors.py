"""Reads safetensors files: names, kinds and shapes are checked before a tensor meets a network or an optimiser."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, deserialize

from cxrgan.errors import UserError
from cxrgan.fields import read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

KINDS = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "|u1"}  # all that cxrgan writes
MAX_HEADER_BYTES = 2**20  # the largest network has some 10,000

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name of a tensor -> its kind, such as `float32`, and its shape."""


def layout_of(tensors: "Mapping[str, Tensor]") -> Layout:
    """That of a network's state, be it on the device meta."""
    return {name: (str(value.dtype).removeprefix("torch."), tuple(value.shape)) for name, value in tensors.items()}


def read_tensors(path: Path, layout: Layout, *, mend: str, halves: bool = False) -> "dict[str, NDArray[Any]]":
    """The tensors of a file, which are just those of `layout`; UserError where they are not.

    With `halves` the file may keep float32 as float16. No more is read than such a file can have. FileNotFoundError
    is for the caller.
    """
    num_bytes = sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in layout.values())
    content = read_bytes(path, num_bytes + MAX_HEADER_BYTES, mend=mend)
    try:
        tensors = parse_tensors(content)
        if halves:
            tensors = {name: _widened(array) for name, array in tensors.items()}
        _check(tensors, layout)
    except ValueError as error:
        raise UserError(f"{path} is damaged or incomplete: {error}; {mend}") from error
    return tensors


def parse_tensors(content: bytes) -> "dict[str, NDArray[Any]]":
    """The tensors in the bytes of a safetensors file; ValueError for what is none, or of a kind unknown to cxrgan."""
    try:
        found = deserialize(content)
    except SafetensorError as error:
        raise ValueError(" ".join(str(error).split())) from error
    for name, tensor in found:
        if tensor["dtype"] not in KINDS or 0 in tensor["shape"]:
            raise ValueError(f"{name!r} is {tensor['dtype']} of shape {tensor['shape']}")
    return {
        name: np.frombuffer(tensor["data"], KINDS[tensor["dtype"]]).reshape(tensor["shape"]) for name, tensor in found
    }


def _widened(array: "NDArray[Any]") -> "NDArray[Any]":
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _check(tensors: "Mapping[str, NDArray[Any]]", layout: Layout) -> None:
    for name in [*layout, *tensors]:
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        if name not in layout:
            raise ValueError(f"{name!r} is in it, which has no place")
        array, (kind, shape) = tensors[name], layout[name]
        if (array.dtype, array.shape) != (np.dtype(kind), shape):
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, but must be {kind} of shape {shape}")
