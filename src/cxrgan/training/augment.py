"""Differentiable augmentation that leaves a radiograph a radiograph, of what the discriminator sees.

Shown only altered images, real and generated alike, a discriminator cannot learn a small dataset by heart, and the
generator learns through the alteration to make unaltered ones (Zhao et al. 2020, DiffAugment). Left out on purpose:
flips (the heart is on one side), quarter turns and inversion, which no radiograph shows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 / 8  # of the side, either way
ZOOM = 2**0.25  # at most, in or out
BRIGHTNESS = 0.3  # added to grey values in [-1, 1], either way
CONTRAST = 0.4  # share of the contrast, either way


def augment(images: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Images (N, C, M, M) float in [-1, 1] -> the same shape, shifted, zoomed, brighter or darker, of other contrast.

    Each of the four befalls an image with this probability. What a shift uncovers is filled by reflection. `random`,
    on the CPU, decides; values may leave [-1, 1].
    """

    def draw() -> Tensor:
        """(N,) uniform in [-1, 1]; 0 where the alteration passes the image by."""
        chosen = torch.rand(len(images), generator=random) < probability
        return (torch.rand(len(images), generator=random) * 2 - 1) * chosen

    shift_x, shift_y, zoom, brightness, contrast = (draw() for _ in range(5))
    placement = torch.zeros(len(images), 2, 3)
    placement[:, 0, 0] = placement[:, 1, 1] = ZOOM**zoom
    placement[:, 0, 2], placement[:, 1, 2] = 2 * SHIFT * shift_x, 2 * SHIFT * shift_y
    at = F.affine_grid(placement.to(images.device), list(images.shape), align_corners=False)
    images = F.grid_sample(images, at, mode="bilinear", padding_mode="reflection", align_corners=False)
    mean = images.mean((1, 2, 3), keepdim=True)
    scale, offset = (
        value.to(images.device).view(-1, 1, 1, 1) for value in (1 + CONTRAST * contrast, BRIGHTNESS * brightness)
    )
    return (images - mean) * scale + mean + offset
