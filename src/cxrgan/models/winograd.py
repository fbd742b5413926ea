"""The 4 x 4, stride 2 convolution and its transpose with nine multiplications for sixteen (Winograd 1980).

Every second row and column of an image, in four phases, is an image of its own, on each of which the kernel has 2 x 2
taps and stride 1. Two neighbouring outputs of such taps (g0, g1) on (x0, x1, x2) take three products instead of four,

    y0 = (x0 - x1) g0 + x1 (g0 + g1),    y1 = x1 (g0 + g1) + (x2 - x1) g1,

so a tile of 2 x 2 outputs takes nine instead of sixteen: F(2 x 2, 2 x 2) of Lavin and Gray 2016 ("Fast Algorithms for
Convolutional Neural Networks"). Only sums and differences surround the products, so float32 stays as exact as a plain
convolution (`tests/models/test_convolution.py`). The tiles cover the smaller image, whose sides must be even.

Layer, transpose and the gradient of the taps are the three partial derivatives of one trilinear form
<halve(x, taps), y>; so each has the other two as its gradients, to any order.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512  # of the matrices multiplied, as far as the batch has them: enough for full speed, few enough for the cache


def halve(x: Tensor, weight: Tensor) -> Tensor:
    """`conv2d(x, weight, stride=2, padding=1)`: x (N, C, 4H, 4W), weight (O, C, 4, 4) -> (N, O, 2H, 2W)."""
    y: Tensor = _Halve.apply(_channels_last(x), _Spread.apply(_channels_last(weight)))  # type: ignore[no-untyped-call]
    return y.permute(0, 3, 1, 2)


def double(y: Tensor, weight: Tensor) -> Tensor:
    """`conv_transpose2d(y, weight, stride=2, padding=1)`: y (N, O, 2H, 2W), weight (O, C, 4, 4) -> (N, C, 4H, 4W)."""
    x: Tensor = _Double.apply(_channels_last(y), _Spread.apply(_channels_last(weight)))  # type: ignore[no-untyped-call]
    return x.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), the form of all below."""
    return x.permute(0, 2, 3, 1)


class _Halve(torch.autograd.Function):
    """x (N, 4H, 4W, C) and taps (9, O, 4 C) -> y (N, 2H, 2W, O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor) -> Tensor:
        ctx.save_for_backward(x, taps)
        y = x.new_empty(len(x), x.shape[1] // 2, x.shape[2] // 2, taps.shape[1])
        for some in _pieces(y):
            _merge(_lift(x[some]) @ taps.transpose(1, 2), _outputs(y[some]))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, taps = ctx.saved_tensors
        return _wanted(ctx, (_Double, grad, taps), (_Weigh, x, grad))


class _Double(torch.autograd.Function):
    """y (N, 2H, 2W, O) and taps (9, O, 4 C) -> x (N, 4H, 4W, C)."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, taps: Tensor) -> Tensor:
        ctx.save_for_backward(y, taps)
        x = y.new_empty(len(y), 2 * y.shape[1], 2 * y.shape[2], taps.shape[2] // 4)
        for some in _pieces(y):
            _drop(_spread(_outputs(y[some])) @ taps, x[some])
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        y, taps = ctx.saved_tensors
        return _wanted(ctx, (_Halve, grad, taps), (_Weigh, grad, y))


class _Weigh(torch.autograd.Function):
    """x (N, 4H, 4W, C) and y (N, 2H, 2W, O) -> the gradient of <halve(x, taps), y> by the taps (9, O, 4 C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        first, *others = _pieces(y)
        taps = _spread(_outputs(y[first])).transpose(1, 2) @ _lift(x[first])
        for some in others:
            taps.baddbmm_(_spread(_outputs(y[some])).transpose(1, 2), _lift(x[some]))
        return taps

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        return _wanted(ctx, (_Double, y, grad), (_Halve, x, grad))


class _Spread(torch.autograd.Function):
    """A weight (O, 4, 4, C) -> its taps (9, O, 4 C), which all passes share."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return _spread(_phases(weight)).view(9, len(weight), -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Merge.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


class _Merge(torch.autograd.Function):
    """The adjoint of `_Spread`."""

    @staticmethod
    def forward(ctx: Any, taps: Tensor) -> Tensor:
        weight = taps.new_empty(taps.shape[1], 4, 4, taps.shape[2] // 4)
        _merge(taps, _phases(weight))
        return weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Spread.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


def _wanted(ctx: Any, *parts: tuple[Any, Tensor, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of a form's two inputs, as far as they are needed."""
    first, second = (
        form.apply(one, other) if needed else None
        for needed, (form, one, other) in zip(ctx.needs_input_grad, parts, strict=True)
    )
    return first, second


def _pieces(y: Tensor) -> Iterator[slice]:
    """Parts of a batch of outputs (N, H, W, O) that have about `ROWS` tiles each."""
    num = max(1, 4 * ROWS // y[0, :, :, 0].numel())
    return (slice(first, first + num) for first in range(0, len(y), num))


def _outputs(y: Tensor) -> Tensor:
    """Outputs (N, 2H, 2W, O) -> a view (2, 2, N, H, W, O): where they are in their tile."""
    n, height, width, o = y.shape
    return y.reshape(n, height // 2, 2, width // 2, 2, o).movedim((2, 4), (0, 1))


def _phases(weight: Tensor) -> Tensor:
    """Weights (O, 4, 4, C) -> a view (2, 2, O, 2, 2, C): the 2 x 2 taps of each phase."""
    o, *_, c = weight.shape
    return weight.reshape(o, 2, 2, 2, 2, c).movedim((1, 3), (0, 1))


def _spread(pairs: Tensor) -> Tensor:
    """(a, b) -> (a, a + b, b) along both of the first two axes: (2, 2, ..., O) -> (9, all between, O)."""
    rows = pairs.new_empty(3, *pairs.shape[1:])
    whole = pairs.new_empty(3, 3, *pairs.shape[2:])
    for two, three in ((pairs, rows), (rows.transpose(0, 1), whole.transpose(0, 1))):
        three[0].copy_(two[0])
        torch.add(two[0], two[1], out=three[1])
        three[2].copy_(two[1])
    return whole.view(9, -1, whole.shape[-1])


def _merge(whole: Tensor, pairs: Tensor) -> None:
    """The adjoint of `_spread`, written to `pairs`: (a, b, c) -> (a + b, b + c)."""
    whole = whole.view(3, 3, *pairs.shape[2:])
    columns = pairs.new_empty(2, 3, *pairs.shape[2:])
    for three, two in ((whole.transpose(0, 1), columns), (columns.transpose(0, 1), pairs)):
        torch.add(three[0], three[1], out=two[0])
        torch.add(three[1], three[2], out=two[1])


def _lift(x: Tensor) -> Tensor:
    """Images (N, 4H, 4W, C), zero outside -> what is multiplied by taps: (9, N H W, 4 C).

    (a, b, c) -> (a - b, b, c - b) of every three neighbours of one phase that make a tile, along rows and columns.
    """
    n, height, width, c = x.shape
    rows, columns = height // 4, width // 4
    x = F.pad(x, (0, 0, 1, 1, 1, 1)).view(n, 2 * rows + 1, 2, 2 * columns + 1, 2, c)
    some = x.new_empty(3, n, rows, 2, 2 * columns + 1, 2, c)
    whole = x.new_empty(3, 3, n, rows, columns, 2, 2, c)
    for line, tiles in (
        (x.movedim(1, 0), some.movedim(2, 1)),
        (some.movedim(4, 0), whole.movedim((1, 4), (0, 1))),
    ):
        torch.sub(line[:-1:2], line[1::2], out=tiles[0])
        tiles[1].copy_(line[1::2])
        torch.sub(line[2::2], line[1::2], out=tiles[2])
    return whole.view(9, -1, 4 * c)


def _drop(whole: Tensor, x: Tensor) -> None:
    """The adjoint of `_lift`, written to x (N, 4H, 4W, C)."""
    n, height, width, c = x.shape
    rows, columns = height // 4, width // 4
    whole = whole.view(3, 3, n, rows, columns, 2, 2, c)
    some = x.new_empty(3, n, rows, 2, 2 * columns + 1, 2, c)
    padded = x.new_empty(n, 2 * rows + 1, 2, 2 * columns + 1, 2, c)
    for tiles, line in (
        (whole.movedim((1, 4), (0, 1)), some.movedim(4, 0)),
        (some.movedim(2, 1), padded.movedim(1, 0)),
    ):
        line[:-1:2].copy_(tiles[0])
        line[-1].zero_()
        line[2::2] += tiles[2]
        torch.sub(tiles[1], tiles[0], out=line[1::2])
        line[1::2] -= tiles[2]
    x.copy_(padded.view(n, height + 2, width + 2, c)[:, 1:-1, 1:-1])
