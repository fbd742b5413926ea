"""The named recipes, each derived from another in a few lines."""

import types
from collections.abc import Mapping
from dataclasses import replace

from cxrgan.errors import UserError
from cxrgan.models.config import latent_sizes
from cxrgan.recipes.config import TrainConfig

DCGAN = TrainConfig()
"""The tutorial's DCGAN on one grey channel."""

FAST_64 = replace(
    DCGAN,
    model=replace(DCGAN.model, networks="stable", latent_channels=128),
    loss="relativistic",
    gradient_penalty=0.025,
    augment=1.0,
    lr=5e-4,
    beta1=0.0,
    beta2=0.99,
    epochs=40,
    ema_halflife=10000,
)
"""The stable recipe in half an hour on one core: R3GAN's game, modulated DCGAN networks."""

QUICK = replace(FAST_64, model=replace(FAST_64.model, ngf=32, ndf=32), steps=1200, batch_size=32, sample_every=200)
"""A small network for a first look within minutes on two cores."""

STABLE_64 = replace(FAST_64, epochs=200, ema_halflife=20000)
"""The same for five times as long, averaged over twice as many images."""

# From size to size the gradient is spread over four times the pixels, so that its square is a quarter: gamma times 4.
# Detail is fainter the more pixels there are; shown so many times as large, it deviates about as much as the image.
STABLE_128 = replace(
    STABLE_64,
    model=replace(STABLE_64.model, image_size=128, ngf=32, ndf=32, detail=8.0),
    batch_size=32,
    lr=3.5e-4,
    gradient_penalty=4 * STABLE_64.gradient_penalty,
)
STABLE_256 = replace(
    STABLE_128,
    model=replace(STABLE_128.model, image_size=256, ngf=16, ndf=16, detail=16.0),
    gradient_penalty=4 * STABLE_128.gradient_penalty,
)
STABLE_512 = replace(
    STABLE_256,
    model=replace(STABLE_256.model, image_size=512, ngf=8, ndf=8, detail=32.0),
    gradient_penalty=4 * STABLE_256.gradient_penalty,
)

# The six experiments of the reports: three equal channels, batch 64, beta1 0.5, slope 0.2.
EXP1 = replace(DCGAN, model=replace(DCGAN.model, channels=3), lr=1e-4)
EXP2 = replace(EXP1, model=replace(EXP1.model, latent_channels=200))
EXP3 = replace(EXP1, lr=2e-4)
EXP4 = replace(EXP1, lr=1e-3)
EXP5 = replace(EXP3, model=replace(EXP3.model, image_size=128, latent_size=5, ngf=128, ndf=32), epochs=20)
EXP6 = replace(EXP3, model=replace(EXP3.model, image_size=128, ndf=16), epochs=20)

RECIPES: Mapping[str, TrainConfig] = types.MappingProxyType(
    {
        "dcgan": DCGAN,
        "quick": QUICK,
        "fast-64": FAST_64,
        "stable-64": STABLE_64,
        "stable-128": STABLE_128,
        "stable-256": STABLE_256,
        "stable-512": STABLE_512,
        "exp1": EXP1,
        "exp2": EXP2,
        "exp3": EXP3,
        "exp4": EXP4,
        "exp5": EXP5,
        "exp6": EXP6,
    }
)


RECOMMENDED: Mapping[int, str] = types.MappingProxyType(
    {64: "fast-64", 128: "stable-128", 256: "stable-256", 512: "stable-512"}
)
"""The recipe to begin with, for images of up to so many pixels a side."""


def recommended(image_size: int) -> str:
    """The name of the recipe to begin with at this size; `fitted` brings its networks to it."""
    return next(name for most, name in RECOMMENDED.items() if image_size <= most)


def fitted(config: TrainConfig, image_size: int) -> TrainConfig:
    """A recipe for images of another size: with the smallest latent that can grow to it."""
    if config.model.image_size == image_size:
        return config
    sizes = latent_sizes(image_size)
    latent_size = config.model.latent_size if config.model.latent_size in sizes else sizes[0]
    return replace(config, model=replace(config.model, image_size=image_size, latent_size=latent_size))


def recipe(name: str) -> TrainConfig:
    """The recipe of this name; UserError lists the names there are."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]
