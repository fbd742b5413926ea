"""The DCGAN's 4 x 4, stride 2 convolution and its transpose, computed on a CPU in the way that is fastest there.

- In bfloat16, where channels are many and pixels few, oneDNN's convolutions fall far below the speed of a matrix
  product: these layers gather the patches and multiply.
- In float32, training takes `winograd`'s nine products for sixteen. What no gradient is asked of, such as samples,
  keeps the plain convolution, and with it its values.
- Elsewhere they are `nn.Conv2d` and `nn.ConvTranspose2d`, whose parameters they share.

Which way is a rule and not a timing, since two runs of one seed are to have the same bits. `benchmarks/convolution.py`
times the ways on a machine.
"""

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.models import winograd

MIN_CHANNELS = 256  # from this width on, on both sides, the product beats the convolution in bfloat16
MIN_CHANNELS_WINOGRAD = 128  # and Winograd's in float32


class Halve(nn.Conv2d):
    """(N, C, 2H, 2W) -> (N, O, H, W): kernel 4, stride 2, padding 1, no bias."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if _multiplies(x, self.weight):
            return halve(x, self.weight)
        if _tiles(x, self.weight, [side // 2 for side in x.shape[2:]]):
            return winograd.halve(x, self.weight)
        return super().forward(x)


class Double(nn.ConvTranspose2d):
    """(N, C, H, W) -> (N, O, 2H, 2W): transposed, kernel 4, stride 2, padding 1, no bias."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if _multiplies(x, self.weight):
            return double(x, self.weight)
        if _tiles(x, self.weight, x.shape[2:]):
            return winograd.double(x, self.weight)
        return super().forward(x, output_size)


def halve(x: Tensor, weight: Tensor) -> Tensor:
    """`conv2d(x, weight, stride=2, padding=1)` for a weight (O, C, 4, 4), by one matrix product."""
    patches: Tensor = _Gather.apply(x.permute(0, 2, 3, 1))  # type: ignore[no-untyped-call]
    y = patches.flatten(3) @ weight.permute(2, 3, 1, 0).flatten(0, 2)
    return y.permute(0, 3, 1, 2)


def double(x: Tensor, weight: Tensor) -> Tensor:
    """`conv_transpose2d(x, weight, stride=2, padding=1)` for a weight (C, O, 4, 4), by one matrix product."""
    patches = x.permute(0, 2, 3, 1) @ weight.permute(0, 2, 3, 1).flatten(1)
    y: Tensor = _Scatter.apply(patches.unflatten(3, (4, 4, -1)))  # type: ignore[no-untyped-call]
    return y.permute(0, 3, 1, 2)


def _multiplies(x: Tensor, weight: Tensor) -> bool:
    return x.device.type == "cpu" and _low_precision(x) and min(weight.shape[:2]) >= MIN_CHANNELS


def _tiles(x: Tensor, weight: Tensor, sides: Sequence[int]) -> bool:
    """Whether Winograd's way is taken to or from images of these sides, the smaller ones."""
    learning = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    fits = min(weight.shape[:2]) >= MIN_CHANNELS_WINOGRAD and all(side % 2 == 0 for side in sides)
    return x.device.type == "cpu" and not _low_precision(x) and learning and fits


def _low_precision(x: Tensor) -> bool:
    return torch.is_autocast_enabled("cpu") or x.dtype == torch.bfloat16


class _Gather(torch.autograd.Function):
    """(N, 2H, 2W, C) -> patches (N, H, W, 4, 4, C) around every second pixel, zeros outside."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return _gather(x)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return _Scatter.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


class _Scatter(torch.autograd.Function):
    """The adjoint of `_Gather`: patches (N, H, W, 4, 4, C) -> (N, 2H, 2W, C), overlaps added."""

    @staticmethod
    def forward(ctx: object, patches: Tensor) -> Tensor:
        return _scatter(patches)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return _Gather.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


def _gather(x: Tensor) -> Tensor:
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    n, y, x_, c = padded.stride()
    shape = (x.shape[0], rows, columns, 4, 4, x.shape[3])
    return padded.as_strided(shape, (n, 2 * y, 2 * x_, y, x_, c)).contiguous()


def _scatter(patches: Tensor) -> Tensor:
    # Along one axis, tap 2s + p of patch i lands on pixel 2(i + s) + p: shifted sums, no scattering.
    n, rows, columns, _, _, c = patches.shape
    taps = patches.unflatten(4, (2, 2)).unflatten(3, (2, 2)).movedim((3, 5), (0, 1))  # (s, t, N, H, W, p, q, C)
    padded = patches.new_zeros(n, rows + 1, 2, columns + 1, 2, c)
    for s, t in product(range(2), repeat=2):
        padded[:, s : s + rows, :, t : t + columns] += taps[s, t].transpose(2, 3)
    return padded.flatten(3, 4).flatten(1, 2)[:, 1:-1, 1:-1].contiguous()
