"""Where a run computes and in which precision, chosen for the machine unless it is told."""

import importlib.util
import os
import shutil

import torch

from cxrgan.errors import UserError
from cxrgan.training.recipes import Device, Precision


def choose_device(wanted: Device) -> Device:
    """`auto` -> `cuda`, `mps` or `cpu`, whichever is here, in this order; UserError when `wanted` is not here."""
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
