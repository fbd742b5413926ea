"""Copies of training images, whole or in part: the correlation of band-passed pixels after small shifts.

All chest X-rays resemble each other, so that a high correlation proves nothing. What tells a copy is that one training
image is far nearer than all others. With d the distance (one minus the correlation) to the nearest training image, and
D that to the tenth nearest of other patients, `evidence` is log(D / d). Where an image lies among others as any other
image does, such a ratio follows a power law with the local dimension alone as its exponent, whatever the density (Facco
et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information"): a generator that
prefers typical images, which have near neighbours, is not taken for one that copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrgan.console import ProgressBar
from cxrgan.device import full_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 64  # pixels a side at which images are compared, whatever their own size
CELL = 2  # of those pixels a side
MARGIN = 2  # cells about the image that are left out: a shift brings in what is not there
FINE, COARSE = 0.7, 2.5  # sigmas of the band, in pixels of `SIZE`: noise is above it, what all chests share below
GREY = 0.5  # grey levels in the band that count as nothing: an empty corner is no copy of another
FLOOR = 0.01  # distance below which nearer is no more of a copy
TYPICAL = 10  # the how manieth nearest image of other patients stands for "all others": duplicates do not hide a copy
KEPT = 24  # nearest images that are kept, in which the series of one patient may stand first
CHUNK = 16  # images that are compared at once
BLOCK = 8192  # training images that are compared at once: memory does not grow with their number


@dataclass(frozen=True)
class Window:
    """Which parts of an image are compared, each with the same place of every training image, and about it."""

    side: int
    """Cells."""
    stride: int
    """Cells from one part to the next."""
    shift: int
    """Pixels of `SIZE` that a part may be shifted, up to which in each direction."""
    is_mirrored: bool = False
    """Whether images are mirrored, left to right, before they are compared."""


WHOLE = Window(side=SIZE // CELL - 2 * MARGIN, stride=1, shift=3)
MIRRORED = replace(WHOLE, is_mirrored=True)
PATCHES = Window(side=8, stride=4, shift=2)


class Matches(NamedTuple):
    """For each of N images the part of it that looks most like a copy."""

    evidence: "NDArray[np.float32]"
    """(N,), log(D / d); 0 where the nearest training image is as near as the tenth."""
    correlation: "NDArray[np.float32]"
    """(N,), with that training image, from -1 to 1."""
    train: "NDArray[np.int64]"
    """(N,), the training image."""
    centre: "NDArray[np.float32]"
    """(N, 2), row and column of the middle of that part, as shares of the image's side."""


def patient_codes(patients: Sequence[str | None]) -> "NDArray[np.int64]":
    """(N,), equal for equal patients; an image of an unknown patient is of a patient of its own."""
    known: dict[object, int] = {}
    return np.array(
        [known.setdefault(name if name is not None else (place,), len(known)) for place, name in enumerate(patients)]
    )


@torch.inference_mode()
def find_copies(
    images: "NDArray[np.uint8]",
    train: "NDArray[np.uint8]",
    patients: "NDArray[np.int64]",
    window: Window,
    *,
    own: "NDArray[np.int64] | None" = None,
    title: str = "comparing",
) -> Matches:
    """Images (N, M, M) against training images (T, M, M), both uint8, the latter of `patients` (T,).

    `own` (N,) names patients with whose training images an image is not compared. The cost is that of N x T x
    (parts x shifts) correlations, in float32, and does not depend on M.
    """
    queries = band(images[:, :, ::-1] if window.is_mirrored else images)
    num, parts = len(images), _parts(queries[:1], window).shape[1]
    best = torch.full((num, parts, 0), -1.0), torch.zeros((num, parts, 0), dtype=torch.int64)
    with ProgressBar(title, num * -(-len(train) // BLOCK)) as bar:
        for first in range(0, len(train), BLOCK):
            block = _unit(_parts(band(train[first : first + BLOCK]), window)).permute(1, 2, 0).contiguous()
            of_block = patients[first : first + BLOCK]
            found = []
            for start in range(0, num, CHUNK):
                rows = slice(start, min(start + CHUNK, num))
                correlations = _correlate(queries[rows], block, window)
                if own is not None:
                    same = torch.from_numpy(own[rows, None] == of_block)
                    correlations.masked_fill_(same.unsqueeze(1), -1.0)
                values, which = correlations.topk(min(KEPT, block.shape[2]), 2)
                found.append((values, which + first))
                bar.advance(rows.stop - rows.start)
            values, which = (torch.cat(each) for each in zip(*found, strict=True))
            merged, which = torch.cat([best[0], values], 2), torch.cat([best[1], which], 2)
            values, order = merged.topk(min(KEPT, merged.shape[2]), 2)
            best = values, which.gather(2, order)
    return _strongest(best[0].numpy(), best[1].numpy(), patients, window)


def band(images: "NDArray[np.uint8]") -> Tensor:
    """(N, M, M) uint8 -> (N, 1, `SIZE`, `SIZE`) float32: the details between `FINE` and `COARSE`, in grey levels."""
    parts = []
    for first in range(0, len(images), 256):
        grey = torch.tensor(np.ascontiguousarray(images[first : first + 256])).unsqueeze(1).float()
        if grey.shape[2] != SIZE:
            grey = F.interpolate(grey, (SIZE, SIZE), mode="bilinear", antialias=True)
        parts.append(_blurred(grey, FINE) - _blurred(grey, COARSE))
    return torch.cat(parts)


def _blurred(x: Tensor, sigma: float) -> Tensor:
    reach = int(3 * sigma + 1)
    distance = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(distance**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = F.pad(x, (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def _parts(x: Tensor, window: Window) -> Tensor:
    """(N, 1, `SIZE`, `SIZE`) -> (N, parts, D), D cells each."""
    cells = F.avg_pool2d(x, CELL)[:, 0, MARGIN:-MARGIN, MARGIN:-MARGIN]
    tiles = cells.unfold(1, window.side, window.stride).unfold(2, window.side, window.stride)
    return tiles.reshape(len(x), -1, window.side**2)


def _unit(parts: Tensor) -> Tensor:
    """Each part without its mean and of length 1, less where it holds next to nothing; any shape, of D last."""
    centred = parts - parts.mean(-1, keepdim=True)
    return centred / (centred.square().sum(-1, keepdim=True) + GREY**2 * parts.shape[-1]).sqrt()


def _correlate(queries: Tensor, block: Tensor, window: Window) -> Tensor:
    """Band-passed images (n, 1, ...) and training parts (parts, D, T) -> the highest of all shifts, (n, parts, T)."""
    reach = range(-window.shift, window.shift + 1)
    shifted = [torch.roll(queries, (down, right), (2, 3)) for down in reach for right in reach]
    parts = torch.stack([_unit(_parts(each, window)) for each in shifted], 2)  # (n, parts, shifts, D)
    num, num_parts, shifts, _ = parts.shape
    found = torch.empty(num, num_parts, block.shape[2])
    with full_float32():
        for part in range(num_parts):
            products = parts[:, part].reshape(num * shifts, -1) @ block[part]
            found[:, part] = products.view(num, shifts, -1).amax(1)
    return found


def _strongest(
    values: "NDArray[np.float32]", which: "NDArray[np.int64]", patients: "NDArray[np.int64]", window: Window
) -> Matches:
    """The nearest training images of each part, (N, parts, K) from the nearest on -> the strongest part of each."""
    codes = patients[which]
    others = (codes != codes[..., :1]).cumsum(2)
    place = np.where(others[..., -1] >= TYPICAL, (others >= TYPICAL).argmax(2), values.shape[2] - 1)
    typical = np.take_along_axis(values, place[..., None], 2)[..., 0]
    evidence = np.log((1 - typical + FLOOR) / (1 - values[..., 0] + FLOOR))
    rows, part = np.arange(len(values)), evidence.argmax(1)
    across = (SIZE // CELL - 2 * MARGIN - window.side) // window.stride + 1
    cells = np.stack(np.divmod(part, across), 1) * window.stride + MARGIN + window.side / 2
    centre = (cells * CELL / SIZE).astype(np.float32)
    return Matches(evidence[rows, part], values[rows, part, 0], which[rows, part, 0], centre)
