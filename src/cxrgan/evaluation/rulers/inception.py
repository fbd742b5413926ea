"""The FID's Inception network (TensorFlow's of 2015-12-05): uint8 images -> features at four depths, and logits."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cxrgan.device import Device
from cxrgan.evaluation.rulers.inception_layers import SIZE, InceptionV3, load
from cxrgan.evaluation.rulers.inception_weights import PublishedWeights

FID_WEIGHTS = PublishedWeights(
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    num_bytes=95_628_359,
    flag="--inception-weights",
    name="inception-2015-12-05",
    other_name="inception",
)
"""Converted from TensorFlow's by pytorch-fid; everyone's FID is computed with this file."""


def load_inception(path: Path | None = None, *, exact: bool = False, device: Device = "auto") -> "Inception":
    """The network with its weights; arguments and errors are those of `inception_layers.load`."""
    return load(Inception(), FID_WEIGHTS, path, exact=exact, device=device)


class Inception(InceptionV3):
    """(N, 3 or 1, H, W) uint8 -> `64`, `192`, `768`, `2048` and `logits_unbiased`, each (N, D) float32.

    The logits, of 1008 classes, leave the bias out, as public code has them for the Inception Score; the reports'
    score is of another network (`rulers.imagenet`).
    """

    resize = f"TensorFlow 1 bilinear to {SIZE}"
    main_tap = "2048"

    def __init__(self) -> None:
        super().__init__(pool=average_inside, last_pool=largest, num_classes=1008)

    def taps(self, images: Tensor) -> dict[str, Tensor]:
        taps = self.features((tensorflow_resize(images) - 128) / 128)
        return taps | {"logits_unbiased": taps["2048"] @ self.fc_weight.T}


def tensorflow_resize(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, 299, 299) float32 in [0, 255], channels last, as TensorFlow 1 does it.

    Bilinear between the pixel at the rounded-down source position i * H / 299 and the next one: corners, not centres,
    meet, and nothing is averaged, so that a bigger picture is sampled with gaps.
    """
    x = images.permute(0, 2, 3, 1).float()
    for dim in (2, 1):
        position = torch.arange(SIZE, device=x.device) * (x.shape[dim] / SIZE)
        low = position.long()
        high = (low + 1).clamp(max=x.shape[dim] - 1)
        share = (position - low).view(-1, *[1] * (3 - dim))
        x = torch.lerp(x.index_select(dim, low), x.index_select(dim, high), share)
    return x.permute(0, 3, 1, 2)


def average_inside(x: Tensor) -> Tensor:
    """Mean over 3 x 3 neighbours, at the border over those inside only, as TensorFlow does it."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def largest(x: Tensor) -> Tensor:
    """Maximum over 3 x 3 neighbours: in the last block, a slip of 2015 that the weights were trained with."""
    return F.max_pool2d(x, 3, 1, 1)
