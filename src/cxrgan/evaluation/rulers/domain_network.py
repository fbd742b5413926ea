"""What the domain networks share: small chest X-ray classifiers whose features measure images with no download.

Their features join three depths, since a ruler must see blur and noise, which a classifier learns to overlook, as well
as disease. Rows measured with one carry its name; they compare neither with another's nor with an Inception distance.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.evaluation.rulers import DomainName

CLASSES = ("NORMAL", "bacteria", "virus")
INPUT_SIZE = 128


class DomainNetwork(nn.Module):
    """Classifier of grey radiographs; a forward pass gives features and logits."""

    centre: Tensor
    scale: Tensor

    name: DomainName
    num_features: int
    num_shallow: int
    """How many of the features, from the first on, are of the shallow depths, which learn how an image was spoilt."""

    resize = f"antialiased bilinear to {INPUT_SIZE}"
    main_tap = "features"
    sha256 = ""
    """Of the weights file: names the network, wherever the file lies; empty before it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(self.num_features))
        self.register_buffer("scale", torch.ones(self.num_features))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 1 or 3, H, W) uint8 of any size -> `features` (N, D) and `logits` (N, 3), both float32."""
        pooled, logits = self.read(to_input(images.to(self.centre.device)))
        return {"features": (pooled - self.centre) * self.scale, "logits": logits}

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, 128, 128) float in [-1, 1] -> features before `centre` and `scale` (N, D), logits (N, 3); float32."""
        raise NotImplementedError

    def fold(self) -> None:
        """Make the network, in eval mode, what is shipped: without the layers that only training needs."""


def to_input(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) uint8 -> (N, 1, 128, 128) float32 in [-1, 1], by one antialiased bilinear resize."""
    grey = images.float().mean(1, keepdim=True)
    if grey.shape[2:] != (INPUT_SIZE, INPUT_SIZE):
        grey = F.interpolate(grey, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
    return grey / 127.5 - 1
