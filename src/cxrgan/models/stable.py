"""The networks of the stable recipe: the DCGAN's, with three changes that measurements chose (`docs/stable-recipe.md`).

The latent modulates every layer of the generator and not its first one alone, the discriminator has no BatchNorm, and
its last layer sees how much the images of a batch differ.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.models.config import STYLE_WIDTH, ModelConfig, halvings
from cxrgan.models.convolution import Double, Halve
from cxrgan.models.judge import Judge

NUM_OF_MEAN = 4096  # latents whose styles make the mean of a class


class Generator(nn.Module):
    """Latents (N, L_ch + classes, L_w, L_w) float -> images (N, channels, M, M) in [-1, 1]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = [config.ngf * 2**k for k in reversed(range(config.num_doublings))]
        num_inputs = config.latent_channels + config.num_classes
        self.style = nn.Linear(num_inputs * config.latent_size**2, STYLE_WIDTH)
        self.first = nn.ConvTranspose2d(num_inputs, widths[0], 4, stride=1, padding=0, bias=False)
        self.doubles = nn.ModuleList([Double(width_in, width_out) for width_in, width_out in pairwise(widths)])
        self.norms = nn.ModuleList([ModulatedNorm(width) for width in widths])
        self.last = Double(widths[-1], config.channels)

    def forward(self, latents: Tensor) -> Tensor:
        return self.synthesise(latents, self.styles(latents))

    def styles(self, latents: Tensor) -> Tensor:
        """Latents -> the styles (N, S) that modulate every layer."""
        return F.leaky_relu(self.style(latents.flatten(1)), 0.2)

    def keep_deep_layers(self, learning: int) -> None:
        """From now on, only the `learning` layers next to the image learn (as in FreezeG, Lee et al. 2020)."""
        self.requires_grad_(False)
        for layer in (self.last, *self.doubles[-learning:], *self.norms[-learning:]):
            layer.requires_grad_(True)

    def synthesise(self, latents: Tensor, style: Tensor) -> Tensor:
        """Latents and their styles (N, S) -> images."""
        return torch.tanh(self.drawn(latents, style))

    def drawn(self, latents: Tensor, style: Tensor) -> Tensor:
        """The images before the tanh brings them to [-1, 1]."""
        x = self.norms[0](self.first(latents), style)
        for double, norm in zip(self.doubles, self.norms[1:], strict=True):
            x = norm(double(x), style)
        y: Tensor = self.last(x)
        return y


class Truncated(nn.Module):
    """A generator whose styles are pulled towards the mean style of their class: mean + psi (style - mean).

    The truncation trick of StyleGAN (Karras et al. 2019). Below 1 images are more typical and less varied, above 1 more
    varied and less typical; at 1 they are the generator's own. `docs/stable-recipe.md` has what it costs and brings.
    """

    means: Tensor

    def __init__(self, generator: Generator, config: ModelConfig, psi: float) -> None:
        super().__init__()
        self.generator, self.psi, self.num_classes = generator, psi, config.num_classes
        self.register_buffer("means", self._mean_styles(config))

    @torch.no_grad()
    def _mean_styles(self, config: ModelConfig) -> Tensor:
        """(classes or 1, S), each over the same latents."""
        device = next(self.generator.parameters()).device
        latents = torch.randn(NUM_OF_MEAN, *config.latent_shape, generator=torch.Generator().manual_seed(0)).to(device)
        if not config.num_classes:
            return self.generator.styles(latents).mean(0, keepdim=True)
        own = torch.eye(config.num_classes, device=device)[:, None, :, None, None]
        side = config.latent_size
        return torch.stack(
            [
                self.generator.styles(torch.cat([latents, one.expand(NUM_OF_MEAN, -1, side, side)], 1)).mean(0)
                for one in own
            ]
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, L_ch + classes, L_w, L_w) float -> images (N, channels, M, M) in [-1, 1]."""
        return self.generator.synthesise(latents, self.styles(latents))

    def styles(self, latents: Tensor) -> Tensor:
        """Latents -> the truncated styles (N, S)."""
        mean = latents[:, -self.num_classes :, 0, 0] @ self.means if self.num_classes else self.means
        return torch.lerp(mean, self.generator.styles(latents), self.psi)

    def synthesise(self, latents: Tensor, style: Tensor) -> Tensor:
        """As the generator's own."""
        return self.generator.synthesise(latents, style)


class Mixed(nn.Module):
    """A generator that takes two latents an image: one for its first layer, one for the style of all layers."""

    def __init__(self, generator: Generator | Truncated) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, pairs: Tensor) -> Tensor:
        """Pairs (N, 2 (L_ch + classes), L_w, L_w) float -> images (N, channels, M, M) in [-1, 1]."""
        first, second = pairs.chunk(2, 1)
        return self.generator.synthesise(first, self.generator.styles(second))


class ModulatedNorm(nn.Module):
    """x (N, C, H, W) and a style (N, S) -> (N, C, H, W): BatchNorm, scale and shift from the style, ReLU.

    Self-modulation (Chen et al. 2019, "On Self Modulation for Generative Adversarial Networks").
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.style = nn.Linear(STYLE_WIDTH, 2 * width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style).to(x.dtype)[:, :, None, None].chunk(2, 1)
        return F.relu(self.norm(x) * (1 + scale) + shift)


class Discriminator(Judge):
    """Images (N, channels, M, M) in [-1, 1] -> logits (N, classes or 1)."""

    def __init__(self, config: ModelConfig) -> None:
        num_halvings, side = halvings(config.image_size)
        widths = [config.seen_channels, *(config.ndf * 2**k for k in range(num_halvings))]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [Halve(width_in, width_out), nn.LeakyReLU(config.leaky_relu_slope, inplace=True)]
        last = nn.Conv2d(widths[-1] + 1, max(1, config.num_classes), side, stride=1, padding=0, bias=False)
        super().__init__(*layers, BatchSpread(), last, nn.Flatten())
        self.detail = config.detail

    def see(self, images: Tensor) -> Tensor:
        """(N, channels, M, M) -> with their detail behind them, if the configuration has it (N, 2 channels, M, M).

        Fine detail has a thousandth of an image's power and less, and a gradient penalty makes it as dear to look at as
        anything else: without this, the discriminator overlooks the grain of large images. What counts in the penalty
        is what is seen, so that detail is the cheaper the larger it is shown (as in Adler and Lunz 2018, "Banach
        Wasserstein GAN", where a norm says which frequencies count).
        """
        if not self.detail:
            return images
        images = images.float()
        seen = torch.cat([images, self.detail * fine_detail(images)], 1)
        return seen.contiguous(memory_format=torch.channels_last)


def fine_detail(images: Tensor) -> Tensor:
    """How each pixel differs from the mean of its four neighbours, at the border repeated: (N, C, H, W) -> the same."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate") if images.device.type == "cpu" else edged(images)
    across = padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]
    return images - (across + padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]) / 4


def edged(images: Tensor) -> Tensor:
    """`F.pad` by one repeated pixel, whose gradient a GPU adds up in any order: no run would resume exactly."""
    tall = torch.cat([images[:, :, :1], images, images[:, :, -1:]], 2)
    return torch.cat([tall[..., :1], tall, tall[..., -1:]], 3)


class BatchSpread(nn.Module):
    """(N, C, H, W) -> (N, C + 1, H, W): how much the images of a batch differ, so that D sees a generator's monotony.

    Minibatch standard deviation (Karras et al. 2018): the deviation over groups of images, averaged over everything.
    Its answer depends on the size of the groups: ask about whole ones, as training and the probe do. A batch that is
    no multiple of `GROUP`, which older versions let a run have, falls into the largest equal groups that fit.
    """

    GROUP = 8

    def forward(self, x: Tensor) -> Tensor:
        group = math.gcd(self.GROUP, len(x))
        groups = x.float().unflatten(0, (group, -1))
        variance = (groups - groups.mean(0)).square().mean(0)  # `var` over the first axis takes ten times as long
        deviation = (variance + 1e-8).sqrt().mean((1, 2, 3))
        spread = deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, spread.to(x.dtype)], 1)
