"""Differentiable augmentation of what the discriminator sees, safe for radiographs.

A discriminator that sees only augmented images, real and generated alike, cannot memorise a small dataset, and the
generator still learns to make images that are not augmented (Zhao et al. 2020, DiffAugment). Left out on purpose:
flips (the heart is on one side), quarter turns and inversion, which no radiograph shows; and everything that needs
interpolation between pixels (small rotations, zoom, half-pixel shifts): its smoothing hides a fine checkerboard from
the discriminator, which the generator then makes.
"""

import torch
from torch import Tensor

from cxrgan.training.distributed import ALONE, Processes

SHIFT = 1 / 8  # of the side, either way
BRIGHTNESS = 0.3  # added to grey values in [-1, 1], either way
CONTRAST = 0.4  # share of the contrast, either way


def augment(images: Tensor, probability: float, random: torch.Generator, processes: Processes = ALONE) -> Tensor:
    """Images (N, C, M, M) float in [-1, 1] -> the same shape, shifted, brighter or darker, of other contrast.

    Each alteration befalls an image with this probability. Shifts are by whole pixels; what they uncover is filled by
    reflection. `random`, on the CPU, decides, for the batch of which the images are the share of one of `processes`;
    values may leave [-1, 1].
    """
    num = len(images) * processes.size

    def draw() -> Tensor:
        """(N,) uniform in [-1, 1]; 0 where the alteration passes the image by."""
        chosen = torch.rand(num, generator=random) < probability
        return processes.share((torch.rand(num, generator=random) * 2 - 1) * chosen)

    for dim in (2, 3):
        images = _shift(images, (draw() * SHIFT * images.shape[dim]).round().long().to(images.device), dim)
    contrast, brightness = (value.to(images.device)[:, None, None, None] for value in (draw(), draw()))
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (1 + CONTRAST * contrast) + mean + BRIGHTNESS * brightness


def _shift(images: Tensor, pixels: Tensor, dim: int) -> Tensor:
    """Each image moved by its own number of pixels (N,) along `dim`, mirrored at the border."""
    size = images.shape[dim]
    source = torch.arange(size, device=images.device) - pixels[:, None]  # (N, M)
    source = torch.where(source < 0, -1 - source, source)
    source = torch.where(source >= size, 2 * size - 1 - source, source)
    shape = [len(images), 1, 1, 1]
    shape[dim] = size
    return images.gather(dim, source.view(shape).expand_as(images))
