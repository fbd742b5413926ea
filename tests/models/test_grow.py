"""Grown networks begin as the ones they grow from."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cxrgan.errors import UserError
from cxrgan.models import stable
from cxrgan.models.config import ModelConfig
from cxrgan.models.grow import check_can_become, grow_discriminator, grow_generator, grown

SMALL = ModelConfig(image_size=32, latent_channels=8, ngf=16, ndf=16, networks="stable", num_classes=2)


def _latents(num: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    one_hot = F.one_hot(torch.arange(num) % 2, 2).float()[:, :, None, None]
    return torch.cat([torch.randn(num, 8, 1, 1, generator=random), one_hot], 1)


def _trained(config: ModelConfig) -> stable.Generator:
    """A generator whose BatchNorm knows its data and whose styles matter."""
    torch.manual_seed(0)
    generator = stable.Generator(config)
    with torch.no_grad():
        for _ in range(150):  # until the running statistics have forgotten where they began
            generator(_latents(64))
    return generator


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grown_generator_makes_the_small_ones_images_twice_as_large(channels: int) -> None:
    config = replace(SMALL, channels=channels)
    small, large = _trained(config), stable.Generator(grown(config))
    grow_generator(large, small, config, _latents(64))
    some = _latents(16)
    small.eval(), large.eval()
    with torch.no_grad():
        expected = F.interpolate(small.drawn(some, small.styles(some)), scale_factor=2, mode="bilinear")
        got = large.drawn(some, large.styles(some))
        images = large(some)
    inside = (..., slice(1, -1), slice(1, -1))  # at the border the convolution sees zeros outside
    assert torch.allclose(got[inside], expected[inside], atol=1e-5)
    assert torch.allclose(images[inside], expected.tanh()[inside], atol=1e-5)
    assert expected.std() > 0.01


def test_in_training_a_grown_generator_draws_almost_the_same() -> None:
    small, large = _trained(SMALL), stable.Generator(grown(SMALL))
    grow_generator(large, small, SMALL, _latents(64))
    some = _latents(64)
    with torch.no_grad():
        expected = F.interpolate(small(some).atanh(), scale_factor=2, mode="bilinear").tanh()
        difference = (large(some) - expected)[..., 1:-1, 1:-1].std()
    assert difference < 0.05 * expected.std()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grown_discriminator_judges_images_reduced_to_a_half(channels: int) -> None:
    config = replace(SMALL, channels=channels)
    torch.manual_seed(0)
    small, large = stable.Discriminator(config), stable.Discriminator(grown(config))
    grow_discriminator(large, small, config)
    images = torch.rand(16, channels, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(large(images), small(F.avg_pool2d(images, 2)), atol=1e-5)


def test_all_of_a_grown_network_can_learn() -> None:
    small, large = _trained(SMALL), stable.Generator(grown(SMALL))
    grow_generator(large, small, SMALL, _latents(64))
    judge, large_judge = stable.Discriminator(SMALL), stable.Discriminator(grown(SMALL))
    grow_discriminator(large_judge, judge, SMALL)
    optimizer = torch.optim.SGD([*large.parameters(), *large_judge.parameters()], lr=1e-2)
    for _ in range(2):  # what is zero at first is not after a step
        optimizer.zero_grad()
        large_judge(large(_latents(16))).sum().backward()
        optimizer.step()
    for parameter in [*large.parameters(), *large_judge.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.flatten(1).any(1).all() if parameter.ndim > 1 else parameter.grad.any()


def test_other_networks_are_refused_with_what_would_fit() -> None:
    check_can_become(SMALL, SMALL)
    check_can_become(SMALL, replace(SMALL, image_size=64, ngf=8, ndf=8))
    with pytest.raises(UserError, match="--ngf 8 --ndf 8"):
        check_can_become(SMALL, replace(SMALL, image_size=64))
    with pytest.raises(UserError, match="64 pixels"):
        check_can_become(SMALL, replace(SMALL, image_size=128, ngf=4, ndf=4))
    narrow = replace(SMALL, channels=3, ngf=8, ndf=8)
    with pytest.raises(UserError, match="too narrow to grow"):
        check_can_become(narrow, grown(narrow))
    dcgan = replace(SMALL, networks="dcgan")
    check_can_become(dcgan, dcgan)
    with pytest.raises(UserError, match="only the networks of the stable recipes"):
        check_can_become(dcgan, grown(dcgan))
