"""What a run's samples, and D's view of images it never trained on, tell of its health: numbers for the doctor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.images import to_float
from cxrgan.models.stable import BatchSpread

if TYPE_CHECKING:
    from numpy.typing import NDArray

THUMBNAIL = 16  # pixels a side at which images are compared: what they show, not their grain


def sample_health(samples: "NDArray[np.uint8]", real: "NDArray[np.uint8]") -> dict[str, float]:
    """Of samples and as many real images, both (N, M, M) uint8, N > 1: how varied the samples are, and how rough.

    `diversity`: mean distance between two samples, as a share of that between two real images; 1 is as it should be.
    `repeats`: share of the samples to which another one is closer than half the distance at which a real image
    usually (median) has its nearest other one.
    `grain`: mean step from a pixel to the next, as a share of that in real images; noise has several times as much.
    """
    between_samples, between_real = _distances(samples), _distances(real)
    too_close = between_real.min(1).values.median() / 2
    others = ~torch.eye(len(samples), dtype=torch.bool)
    return {
        "diversity": float(between_samples[others].mean() / between_real[others].mean()),
        "repeats": float((between_samples.min(1).values < too_close).float().mean()),
        "grain": _grain(samples) / _grain(real),
    }


def _distances(images: "NDArray[np.uint8]") -> Tensor:
    """(N, M, M) uint8 -> (N, N) distances between thumbnails, infinite from an image to itself."""
    thumbnails = F.adaptive_avg_pool2d(to_float(torch.from_numpy(images)).unsqueeze(1), THUMBNAIL).flatten(1)
    return torch.cdist(thumbnails, thumbnails).fill_diagonal_(float("inf"))


def _grain(images: "NDArray[np.uint8]") -> float:
    """Mean absolute difference between neighbours, across and down, of images (N, M, M) uint8."""
    values = images.astype(np.int16)
    return float(np.abs(np.diff(values, axis=1)).mean() + np.abs(np.diff(values, axis=2)).mean())


@dataclass(frozen=True)
class Opinion:
    """What D makes of images of one kind."""

    mean: float
    """Of its logits."""
    error: float
    """Standard error of that mean: how far it may lie from that of all images of the kind."""


@torch.no_grad()
def opinion(
    discriminator: nn.Module, images: Tensor, labels: Tensor, *, channels: int, batch_size: int
) -> Opinion | None:
    """D's logits of images (N, M, M) uint8 as those of their classes (N,), in evaluation mode and float32.

    Judged in batches of the size that D is trained with, since its last layer compares images within a batch; what is
    over goes unjudged. Of fewer images, as many whole groups of that layer as there are; None below two.
    """
    size = min(batch_size, len(images) // BatchSpread.GROUP * BatchSpread.GROUP)
    if size < 2:
        return None
    whole = len(images) // size * size
    device = next(discriminator.parameters()).device

    def seen(batch: Tensor) -> Tensor:
        return to_float(batch.to(device)).unsqueeze(1).expand(-1, channels, -1, -1)

    was_training = discriminator.training
    discriminator.eval()
    logits = torch.cat([discriminator(seen(batch)) for batch in images[:whole].split(size)])
    discriminator.train(was_training)
    own = logits.gather(1, labels[:whole].to(device)[:, None])
    return Opinion(float(own.mean()), float(own.std() / whole**0.5))
