"""Differentiable augmentation of what the discriminator sees, safe for radiographs.

A discriminator that sees only augmented images, real and generated alike, cannot memorise a small dataset, and the
generator still learns to make images that are not augmented (Zhao et al. 2020, DiffAugment). Left out on purpose:
flips (the heart is on one side), quarter turns and inversion, which no radiograph shows; and everything that needs
interpolation between pixels (small rotations, zoom, half-pixel shifts): its smoothing hides a fine checkerboard from
the discriminator, which the generator then makes.
"""

import torch
from torch import Tensor

SHIFT = 1 / 8  # of the side, either way
BRIGHTNESS = 0.3  # added to grey values in [-1, 1], either way
CONTRAST = 0.4  # share of the contrast, either way


def draw_alterations(num: int, probability: float, random: torch.Generator) -> Tensor:
    """How each of `num` images is altered: shifts down and right, contrast, brightness, (4, num) in [-1, 1].

    Each befalls an image with this probability, and is 0 where it passes the image by.
    """

    def draw() -> Tensor:
        chosen = torch.rand(num, generator=random) < probability
        return (torch.rand(num, generator=random) * 2 - 1) * chosen

    return torch.stack([draw() for _ in range(4)])


def augment(images: Tensor, alterations: Tensor) -> Tensor:
    """Images (N, C, M, M) float in [-1, 1] -> the same shape, altered as `draw_alterations` says, (4, N).

    Shifts are by whole pixels; what they uncover is filled by reflection. Values may leave [-1, 1].
    """
    down, right, contrast, brightness = alterations.unbind()
    for dim, share in ((2, down), (3, right)):
        images = _shift(images, (share * SHIFT * images.shape[dim]).round().long(), dim)
    contrast, brightness = contrast[:, None, None, None], brightness[:, None, None, None]
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
