"""Where a run computes, in which precision, and how exactly: chosen for the machine unless it is told."""

import contextlib
import ctypes
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxrgan.console import warn
from cxrgan.errors import UserError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class ControlGroup:
    """Where the kernel says what a container or a job of Slurm may take: files, and a line of memory.stat."""

    folder: Path
    limit: str
    used: str
    pages: str


CONTROL_GROUPS = (
    ControlGroup(Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    ControlGroup(
        Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    ),
)
"""Those of both versions."""


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
    """`auto` -> `bf16` where the hardware multiplies in it (AMX, Ampere and newer), else `fp32`.

    A GPU without it computes in `fp32` in any case, which is said; a CPU takes `bf16` where it is asked to.
    """
    import torch

    if wanted == "fp32" or (wanted == "bf16" and device == "cpu"):
        return wanted
    if device == "mps" and wanted == "bf16":
        warn("bf16 has not been tried on mps; training in fp32")
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        warn("this GPU does not multiply in bf16 (Ampere and newer do); computing in fp32, which is slower")
        return "fp32"
    if device == "cuda":
        return "bf16"
    return "bf16" if device == "cpu" and torch.cpu._is_amx_tile_supported() else "fp32"


def can_compile(device: Device) -> bool:
    """Whether torch.compile finds what it needs: Triton for a GPU, a C++ compiler for a CPU; not on mps, untried."""
    if device == "mps":
        return False
    if device == "cuda":
        return importlib.util.find_spec("triton") is not None
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def free_memory(device: Device) -> int:
    """Bytes that this process can still have on a device; 0 where the machine does not say (not on Linux)."""
    import torch

    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, min((*_of_machine(), *_of_container(), *_of_process()), default=0))


def peak_memory(device: Device) -> int:
    """The most bytes that this process had on a device so far; 0 where that is not known (Windows, MPS)."""
    import torch

    if device == "cuda":
        return int(torch.cuda.max_memory_reserved())
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 0 if device == "mps" else most if sys.platform == "darwin" else 1024 * most


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """From now on, memory that this process frees stays its own for the next use, as PyTorch keeps a GPU's.

    glibc gives large blocks back to the kernel at once, which clears them page by page when they are next asked for:
    a sixth of a training step's time at 128 pixels. Elsewhere than in glibc nothing changes.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # all memory from one heap,
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # whose end is not cut off


def _of_machine() -> list[int]:
    return [1024 * value for value in _counts(Path("/proc/meminfo"), "MemAvailable:")]


def _of_container() -> list[int]:
    """What the container may still take; pages of files would be given up."""
    found = []
    for group in CONTROL_GROUPS:
        limit, used = (_counts(group.folder / name) for name in (group.limit, group.used))
        pages = _counts(group.folder / "memory.stat", group.pages)
        found += [limit[0] - used[0] + sum(pages)] if limit and used else []
    return found


def _of_process() -> list[int]:
    """What `ulimit -v` and `ulimit -d` leave."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    found = []
    for limit, name in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
        most, used = resource.getrlimit(limit)[0], _counts(Path("/proc/self/status"), name)
        found += [most - 1024 * used[0]] if most != resource.RLIM_INFINITY and used else []
    return found


def _counts(file: Path, name: str = "") -> list[int]:
    """The number in a file of the kernel, or on its line `name`; none where it is not there, or is `max`."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return []
    words = [line[1:] if name else line for line in lines if line and (not name or line[0] == name)]
    return [int(line[0]) for line in words[:1] if line[0].isdecimal()]


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within, a float32 product is one, and convolutions have gradients that are always added up in one order.

    A GPU's TF32, which it takes for convolutions unasked, keeps 10 of 23 bits.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic = False, False, True
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic = before
