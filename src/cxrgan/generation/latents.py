"""Seeds -> images. An image depends on its generator, its seed and its class alone, not on the batch it is made in.

A class enters a generator as part of its latent: one more channel for each class, 1 in that of the class, else 0.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cxrgan.device import full_float32
from cxrgan.images import to_uint8
from cxrgan.models.config import ModelConfig

MAX_SEED = 2**32 - 1  # on a CPU PyTorch's generator takes 32 bits: beyond, the same latents come again
CHUNK = 16  # every forward pass has this many latents, so that the same kernels run whatever is asked for


def seed_labels(class_counts: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """The class of each seed, (N,) int64, drawn as often as the training images have it; zeros without classes."""
    if not class_counts:
        return torch.zeros(len(seeds), dtype=torch.int64)
    shares = np.cumsum(class_counts) / sum(class_counts)
    draws = [np.random.default_rng([seed, 1]).random() for seed in seeds]
    return torch.from_numpy(np.searchsorted(shares, draws, side="right"))


def seed_latents(config: ModelConfig, seeds: Sequence[int], labels: Tensor) -> Tensor:
    """The standard normal latent of each seed with its class (N,): (N, L_ch + classes, L_w, L_w) float32.

    The same on every device.
    """
    draws = [torch.randn(config.latent_shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return with_classes(torch.stack(draws), labels, config.num_classes)


def with_classes(latents: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Latents (N, L_ch, L_w, L_w) and classes (N,) -> (N, L_ch + num_classes, L_w, L_w)."""
    if num_classes == 0:
        return latents
    one_hot = (labels[:, None] == torch.arange(num_classes, device=labels.device)).to(latents)[:, :, None, None]
    return torch.cat([latents, one_hot.expand(-1, -1, *latents.shape[2:])], 1)


def great_circle(first: Tensor, last: Tensor, share: float) -> Tensor:
    """The latent at a share in [0, 1] of the way between two of any one shape; at 0 and 1 these themselves.

    The way is the great circle through both, along which a normal latent keeps its usual length (White 2016, "Sampling
    Generative Networks").
    """
    if share in (0, 1):
        return last if share else first
    whole = angle_between(first, last)
    part = share * whole
    return (torch.sin(whole - part) * first + torch.sin(part) * last) / torch.sin(whole)


def angle_between(first: Tensor, last: Tensor) -> Tensor:
    """In radians, from 0 to pi: ()."""
    cosine = torch.dot(first.flatten(), last.flatten()) / (first.norm() * last.norm())
    return torch.arccos(cosine.clamp(-1, 1))


@torch.no_grad()
@full_float32()
def render(generator: nn.Module, latents: Tensor, chunk: int = CHUNK) -> Tensor:
    """Latents as `seed_latents` gives them -> grey images (N, M, M) uint8 on the CPU, in float32 and evaluation mode.

    Three channels are averaged. The generator's mode is left as it was. With another `chunk` than the usual one an
    image may differ from its usual self by rounding: by 1 grey level in a pixel or two.
    """
    parameter = next(generator.parameters())
    was_training = generator.training
    generator.eval()
    padded = torch.cat([latents, latents[-1:].expand(-len(latents) % chunk, *latents.shape[1:])])
    images = [to_uint8(generator(part.to(parameter.device)).mean(dim=1)).cpu() for part in padded.split(chunk)]
    generator.train(was_training)
    return torch.cat(images)[: len(latents)]
