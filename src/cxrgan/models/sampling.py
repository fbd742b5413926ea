"""Seeds -> images. An image depends on its generator and its seed alone, not on the batch it is made in."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cxrgan.images import to_uint8
from cxrgan.models.config import DCGANConfig

CHUNK = 16  # every forward pass has this many latents, so that the same kernels run whatever is asked for


def seed_latents(config: DCGANConfig, seeds: Sequence[int]) -> Tensor:
    """The standard normal latent of each seed, (N, L_ch, L_w, L_w) float32, the same on every device."""
    draws = [torch.randn(config.latent_shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(draws)


@torch.no_grad()
def render(generator: nn.Module, latents: Tensor) -> Tensor:
    """Latents (N, L_ch, L_w, L_w) -> grey images (N, M, M) uint8 on the CPU, in float32 and evaluation mode.

    Three channels are averaged. The generator's mode is left as it was.
    """
    parameter = next(generator.parameters())
    was_training = generator.training
    generator.eval()
    padded = torch.cat([latents, latents[-1:].expand(-len(latents) % CHUNK, *latents.shape[1:])])
    images = [to_uint8(generator(chunk.to(parameter.device)).mean(dim=1)).cpu() for chunk in padded.split(CHUNK)]
    generator.train(was_training)
    return torch.cat(images)[: len(latents)]
