"""Inception-v3 as it classifies ImageNet, in torchvision's layout: uint8 images -> logits of 1000 classes.

The Inception Score of the reports is over these classes (Salimans et al. 2016, as PyTorch code computes it);
nothing else is measured with this network.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cxrgan.device import Device
from cxrgan.evaluation.rulers.inception_layers import SIZE, InceptionV3, load
from cxrgan.evaluation.rulers.inception_weights import PublishedWeights

IMAGENET_WEIGHTS = PublishedWeights(
    url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    sha256="0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
    num_bytes=108_949_747,
    flag="--imagenet-weights",
    name="inception-imagenet",
    other_name="inception-imagenet",
    left_out="AuxLogits.",
)
"""torchvision's `Inception_V3_Weights.IMAGENET1K_V1`; its auxiliary head, made for training, is left out."""


def load_imagenet(path: Path | None = None, *, exact: bool = False, device: Device = "auto") -> "ImageNetInception":
    """The network with its weights; arguments and errors are those of `inception_layers.load`."""
    return load(ImageNetInception(), IMAGENET_WEIGHTS, path, exact=exact, device=device)


class ImageNetInception(InceptionV3):
    """(N, 3 or 1, H, W) uint8 -> `logits` (N, 1000) float32."""

    resize = f"bilinear to {SIZE}"
    main_tap = "logits"

    def __init__(self) -> None:
        super().__init__(pool=average_padded, last_pool=average_padded, num_classes=1000)

    def taps(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": self.features(scale(images))["2048"] @ self.fc_weight.T + self.fc_bias}


def scale(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, 299, 299) float32 in [-1, 1], channels last: bilinear between pixels' centres."""
    x = images.to(torch.float32, memory_format=torch.channels_last) / 255
    return 2 * F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=False) - 1


def average_padded(x: Tensor) -> Tensor:
    """Mean over 3 x 3 neighbours, at the border with zeros for those outside."""
    return F.avg_pool2d(x, 3, 1, 1)
