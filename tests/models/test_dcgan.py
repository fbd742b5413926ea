"""Sizes, parameter counts and weights of the DCGAN, and the reports' six configurations."""

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cxrgan.errors import UserError
from cxrgan.images import IMAGE_SIZES
from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.models.config import ModelConfig, image_sizes, latent_sizes
from cxrgan.models.dcgan import Discriminator, Generator, initialise
from cxrgan.recipes.named import RECIPES


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def expected_parameters(config: ModelConfig) -> tuple[int, int]:
    """Closed form: 16 weights a pair of channels, two a BatchNorm channel, none in the first and last layer."""
    g = [config.ngf * 2**k for k in reversed(range(config.num_doublings))]
    first = 16 * config.latent_channels * g[0] + 2 * g[0]
    generator = first + sum(16 * a * b + 2 * b for a, b in pairwise(g)) + 16 * g[-1] * config.channels
    side, halvings = config.image_size, 0
    while side % 2 == 0 and side > 4:
        side, halvings = side // 2, halvings + 1
    d = [config.ndf * 2**k for k in range(halvings)]
    middle = sum(16 * a * b + 2 * b for a, b in pairwise(d))
    return generator, 16 * config.channels * d[0] + middle + side * side * d[-1]


@pytest.mark.parametrize(
    ("name", "num_g", "num_d"),
    [
        ("exp1", 3_576_704, 2_765_568),  # the tutorial's own counts
        ("exp2", 4_395_904, 2_765_568),
        ("exp3", 3_576_704, 2_765_568),
        ("exp4", 3_576_704, 2_765_568),
        ("exp5", 12_658_432, 2_796_928),
        ("exp6", 12_786_560, 702_144),
    ],
)
def test_the_reports_experiments_have_their_shapes_and_parameter_counts(name: str, num_g: int, num_d: int) -> None:
    config = RECIPES[name].model
    generator, discriminator = Generator(config), Discriminator(config)
    assert (num_parameters(generator), num_parameters(discriminator)) == (num_g, num_d)
    assert (num_g, num_d) == expected_parameters(config)
    images = generator(torch.randn(2, *config.latent_shape))
    assert images.shape == (2, 3, config.image_size, config.image_size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (2, 1)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), channels=st.sampled_from([1, 3]))
def test_every_possible_size_builds(data: st.DataObject, channels: int) -> None:
    size = data.draw(st.sampled_from([size for size in IMAGE_SIZES if size <= 128]))
    latent_size = data.draw(st.sampled_from(latent_sizes(size)))
    config = ModelConfig(size, channels, latent_channels=3, latent_size=latent_size, ngf=2, ndf=2)
    images = Generator(config)(torch.randn(2, *config.latent_shape))
    assert images.shape == (2, channels, size, size)
    assert Discriminator(config)(images).shape == (2, 1)
    assert (num_parameters(Generator(config)), num_parameters(Discriminator(config))) == expected_parameters(config)


@pytest.mark.parametrize("networks", ["dcgan", "stable"])
@pytest.mark.parametrize("latent_size", [1, 5])
def test_images_have_up_to_512_pixels(networks: Literal["dcgan", "stable"], latent_size: int) -> None:
    config = ModelConfig(512, latent_channels=3, latent_size=latent_size, ngf=1, ndf=1, networks=networks)
    images = build_generator(config)(torch.randn(8, *config.latent_shape))
    assert images.shape == (8, 1, 512, 512)
    assert build_discriminator(config)(images).shape == (8, 1)
    for size in (514, 1024):
        with pytest.raises(UserError, match=f"image size is {size}, but must be an even number from 32 to 512"):
            ModelConfig(size)


@given(size=st.integers(-10, 600), latent_size=st.integers(-3, 200))
def test_a_config_exists_exactly_where_the_formula_holds(size: int, latent_size: int) -> None:
    base, possible = latent_size + 3, False
    if 32 <= size <= 512 and latent_size >= 1:
        possible = any(base * 2**k == size for k in range(1, 10))
    if possible:
        config = ModelConfig(size, latent_size=latent_size)
        assert (latent_size + 3) * 2**config.num_doublings == size
    else:
        with pytest.raises(UserError):
            ModelConfig(size, latent_size=latent_size)


def test_an_impossible_combination_lists_the_possible_ones() -> None:
    with pytest.raises(UserError, match=r"can be 1, 5, 13, 29, 61, .* image sizes 40, 80, 160, 320"):
        ModelConfig(image_size=128, latent_size=2)
    assert image_sizes(2) == [40, 80, 160, 320]


@pytest.mark.parametrize(
    ("field", "value"), [("channels", 2), ("ngf", 0), ("ndf", -1), ("latent_channels", 0), ("leaky_relu_slope", 1.0)]
)
def test_a_bad_value_is_named(field: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"{field} is {value}"):
        ModelConfig(**{field: value})  # type: ignore[arg-type]


def test_the_first_weights_are_the_papers() -> None:
    network = Generator(ModelConfig(ngf=32))
    initialise(network, torch.Generator().manual_seed(0))
    weights = network.state_dict()
    assert abs(weights["3.weight"].std() - 0.02) < 0.001
    assert abs(weights["4.weight"].mean() - 1) < 0.01
    assert weights["4.bias"].abs().sum() == 0


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_sum_that_bounds_the_networks_is_that_of_their_weights(name: str, num_classes: int) -> None:
    config = replace(RECIPES[name].model, num_classes=num_classes)
    with torch.device("meta"):
        networks = [build_generator(config), build_discriminator(config)]
    weights = sum(value.numel() for network in networks for value in network.parameters() if value.ndim > 1)
    assert config.num_weights == pytest.approx(weights, rel=1e-4)  # stable's last layer has an input more


@pytest.mark.parametrize("field", ["ngf", "ndf", "latent_channels", "num_classes"])
def test_networks_that_no_machine_holds_are_refused(field: str) -> None:
    with pytest.raises(UserError, match=r"have more than 1,073,741,824 weights, too many for any ordinary machine"):
        replace(RECIPES["exp3"].model, **{field: 10**12})  # type: ignore[arg-type]
