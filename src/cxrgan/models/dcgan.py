"""The DCGAN of the reports: Radford et al. 2016 as the common PyTorch tutorial writes it, for any size.

The generator's first layer turns L_w x L_w into L_w + 3 pixels, each further one doubles; the discriminator
halves as often as it can. A larger image adds a layer at the deep end, so `ngf` and `ndf` name the layer at the image.
"""

from itertools import pairwise

import torch
from torch import nn

from cxrgan.models.config import ModelConfig, halvings
from cxrgan.models.convolution import Double, Halve
from cxrgan.models.judge import Judge


class Generator(nn.Sequential):
    """Latents (N, L_ch + classes, L_w, L_w) float -> images (N, channels, M, M) in [-1, 1]."""

    def __init__(self, config: ModelConfig) -> None:
        widths = [config.ngf * 2**k for k in reversed(range(config.num_doublings))]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(
                config.latent_channels + config.num_classes, widths[0], 4, stride=1, padding=0, bias=False
            ),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for width_in, width_out in pairwise(widths):
            layers += [
                Double(width_in, width_out),
                nn.BatchNorm2d(width_out),
                nn.ReLU(inplace=True),
            ]
        layers += [
            Double(widths[-1], config.channels),
            nn.Tanh(),
        ]
        super().__init__(*layers)


class Discriminator(Judge):
    """Images (N, channels, M, M) in [-1, 1] -> logits (N, classes or 1); the sigmoid is part of the loss.

    Logit c judges an image as one of class c: the projection discriminator of Miyato & Koyama 2018, whose unconditional
    term and class embedding are linear, and so add up to one weight vector for each class.
    """

    def __init__(self, config: ModelConfig) -> None:
        slope = config.leaky_relu_slope
        num_halvings, side = halvings(config.image_size)
        widths = [config.ndf * 2**k for k in range(num_halvings)]
        layers: list[nn.Module] = [
            Halve(config.channels, widths[0]),
            nn.LeakyReLU(slope, inplace=True),
        ]
        for width_in, width_out in pairwise(widths):
            layers += [
                Halve(width_in, width_out),
                nn.BatchNorm2d(width_out),
                nn.LeakyReLU(slope, inplace=True),
            ]
        last = nn.Conv2d(widths[-1], max(1, config.num_classes), side, stride=1, padding=0, bias=False)
        super().__init__(*layers, last, nn.Flatten())


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the DCGAN paper's weights: convolutions N(0, 0.02), BatchNorm weights N(1, 0.02), biases 0.

    Linear layers, which only the stable networks have, are drawn from N(0, 0.03).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.03, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
            nn.init.zeros_(module.bias)
