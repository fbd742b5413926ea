"""Which networks a configuration names."""

from torch import nn

from cxrgan.models import dcgan, stable
from cxrgan.models.config import ModelConfig
from cxrgan.models.judge import Judge


def build_generator(config: ModelConfig) -> nn.Module:
    """Latents (N, L_ch + classes, L_w, L_w) float -> images (N, channels, M, M) in [-1, 1]."""
    return stable.Generator(config) if config.networks == "stable" else dcgan.Generator(config)


def build_discriminator(config: ModelConfig) -> Judge:
    """Images (N, channels, M, M) in [-1, 1] -> logits (N, classes or 1)."""
    return stable.Discriminator(config) if config.networks == "stable" else dcgan.Discriminator(config)
