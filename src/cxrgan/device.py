"""Where a run computes, in which precision, and how exactly: chosen for the machine unless it is told."""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from typing import Literal

from cxrgan.errors import UserError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


def choose_device(wanted: Device) -> Device:
    """`auto` -> `cuda`, `mps` or `cpu`, whichever is here, in this order; UserError when `wanted` is not here."""
    import torch

    present: dict[Device, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(device for device, here in present.items() if here)
    if not present[wanted]:
        raise UserError(f"device is {wanted!r}, but this machine has none that PyTorch can use; try --device cpu")
    return wanted


def choose_precision(wanted: Precision, device: Device) -> Precision:
    """`auto` -> `bf16` where the hardware multiplies in it (AMX, Ampere and newer), else `fp32`."""
    import torch

    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device == "cpu" and torch.cpu._is_amx_tile_supported() else "fp32"


def can_compile(device: Device) -> bool:
    """Whether torch.compile finds what it needs: Triton for a GPU, a C++ compiler for a CPU."""
    if device == "cuda":
        return importlib.util.find_spec("triton") is not None
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within, a float32 product is one: a GPU's TF32, which it takes for convolutions unasked, keeps 10 of 23 bits."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
