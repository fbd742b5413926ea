"""The sizes of the networks, checked before torch is loaded, so that a bad size fails at once."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cxrgan.errors import UserError
from cxrgan.fields import shown
from cxrgan.images import IMAGE_SIZES, check_image_size

MAX_WEIGHTS = 2**30  # of both networks; training takes 16 bytes for each: the weight, its gradient, Adam's two means
STYLE_WIDTH = 128  # of the stable generator's style
MAX_DETAIL = 1000


@dataclass(frozen=True)
class ModelConfig:
    """The networks of either kind: M x M images from L_ch x L_w x L_w latents, M = (L_w + 3) * 2^k."""

    image_size: int = 64
    """Pixels per side (M): even, 32 to 512."""
    channels: int = 1
    """Image channels: 1, or 3 equal channels as in the reports."""
    latent_channels: int = 100
    """Channels of the latent (L_ch)."""
    latent_size: int = 1
    """Pixels per side of the latent (L_w); the image size must be (L_w + 3) * 2^k."""
    ngf: int = 64
    """Width of the generator: feature maps in the layer before the image."""
    ndf: int = 64
    """Width of the discriminator: feature maps in its first layer."""
    leaky_relu_slope: float = 0.2
    """Negative slope of the discriminator's LeakyReLU."""
    networks: Literal["dcgan", "stable"] = "dcgan"
    """The reports' DCGAN, or the networks of the stable recipe (the same convolutions)."""
    detail: float = 0.0
    """What the stable discriminator sees beside the image: its fine detail, so many times as large; 0: nothing."""
    num_classes: int = 0
    """Number of classes; 0 for an unconditional run. Not to be set: --conditional takes it from the dataset."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise UserError(f"channels is {shown(self.channels)}, but must be 1 or 3")
        for name, least in {"latent_channels": 1, "latent_size": 1, "ngf": 1, "ndf": 1, "num_classes": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {shown(getattr(self, name))}, but must be at least {least}")
        if not 0 <= self.leaky_relu_slope < 1:
            raise UserError(f"leaky_relu_slope is {shown(self.leaky_relu_slope)}, but must lie in [0, 1)")
        if not 0 <= self.detail <= MAX_DETAIL:
            raise UserError(f"detail is {shown(self.detail)}, but must be from 0 to {MAX_DETAIL}")
        if self.detail and self.networks != "stable":
            raise UserError("only the stable networks see detail; leave --detail away, or give --networks stable")
        check_image_size(self.image_size)
        if self.latent_size not in latent_sizes(self.image_size):
            possible = ", ".join(str(size) for size in latent_sizes(self.image_size))
            latent = shown(self.latent_size)
            raise UserError(
                f"a latent of {latent} x {latent} cannot give {self.image_size}-pixel images: "
                f"image size = (latent size + 3) * 2^k; for {self.image_size} pixels the latent size can be "
                f"{possible}, and a latent size of {latent} gives image sizes "
                f"{', '.join(str(size) for size in image_sizes(self.latent_size)) or 'outside 32 to 512'}"
            )
        if self.num_weights > MAX_WEIGHTS:
            raise UserError(
                f"networks of ngf {shown(self.ngf)}, ndf {shown(self.ndf)}, latent_channels "
                f"{shown(self.latent_channels)} and {shown(self.num_classes)} classes have more than {MAX_WEIGHTS:,} "
                "weights, too many for any ordinary machine; make them smaller"
            )

    @property
    def num_doublings(self) -> int:
        """k: how many times the generator doubles the L_w + 3 pixels of its first layer."""
        return (self.image_size // (self.latent_size + 3)).bit_length() - 1

    @property
    def seen_channels(self) -> int:
        """Channels that the discriminator's first layer sees: the image's, and as many of its detail."""
        return 2 * self.channels if self.detail else self.channels

    @property
    def num_weights(self) -> int:
        """Weights of both networks, without biases and norms (about a thousandth)."""
        num_halvings, side = halvings(self.image_size)
        generator = [self.ngf << k for k in reversed(range(self.num_doublings))]
        discriminator = [self.ndf << k for k in range(num_halvings)]
        num_inputs = self.latent_channels + self.num_classes
        pairs = [(num_inputs, generator[0]), *pairwise(generator), (generator[-1], self.channels)]
        pairs += [(self.seen_channels, discriminator[0]), *pairwise(discriminator)]
        last = side**2 * discriminator[-1] * max(1, self.num_classes)
        styles = num_inputs * self.latent_size**2 + 2 * sum(generator) if self.networks == "stable" else 0
        return 16 * sum(width_in * width_out for width_in, width_out in pairs) + last + STYLE_WIDTH * styles

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(L_ch, L_w, L_w)."""
        return (self.latent_channels, self.latent_size, self.latent_size)


def halvings(image_size: int) -> tuple[int, int]:
    """How many stride-2 layers halve the image, and the pixels per side that the last layer then sees."""
    num_halvings, side = 0, image_size
    while side % 2 == 0 and side > 4:
        num_halvings, side = num_halvings + 1, side // 2
    return num_halvings, side


def latent_sizes(image_size: int) -> list[int]:
    """All L_w >= 1 with (L_w + 3) * 2^k = image_size, k >= 1."""
    return [
        image_size // 2**k - 3
        for k in range(image_size.bit_length(), 0, -1)
        if image_size % 2**k == 0 and image_size // 2**k > 3
    ]


def image_sizes(latent_size: int) -> list[int]:
    """All image sizes that a latent of this width can grow to."""
    return [size for size in IMAGE_SIZES if latent_size in latent_sizes(size)]
