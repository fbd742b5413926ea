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
    grow_discriminator(large, small, grown(config), config)
    images = torch.rand(16, channels, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(large(images), small(F.avg_pool2d(images, 2)), atol=1e-5)


def _framed(num: int, channels: int, size: int) -> torch.Tensor:
    """Noise within a frame of zeros, so that no border matters."""
    random = torch.Generator().manual_seed(2)
    return F.pad(torch.rand(num, channels, size - 12, size - 12, generator=random) * 2 - 1, (6, 6, 6, 6))


@pytest.mark.parametrize(("channels", "gain"), [(1, 8.0), (3, 8.0), (1, 20.0)])
def test_a_grown_discriminator_sees_the_detail_of_the_reduced_image(channels: int, gain: float) -> None:
    config = replace(SMALL, channels=channels, ndf=8 * channels, detail=8.0)
    torch.manual_seed(0)
    now = replace(grown(config), detail=gain)
    small, large = stable.Discriminator(config), stable.Discriminator(now)
    grow_discriminator(large, small, now, config)
    images = _framed(16, channels, 64)
    with torch.no_grad():
        expected = small(F.avg_pool2d(images, 2))
        assert torch.allclose(large(images), expected, atol=1e-4 * float(expected.std()) + 1e-5)
        blind = small.judge(
            small.see(F.avg_pool2d(images, 2)) * torch.tensor([1.0] * channels + [0.0] * channels)[:, None, None]
        )
    assert not torch.allclose(blind, expected, rtol=0.01)


def test_a_discriminator_that_comes_to_see_detail_judges_as_before() -> None:
    torch.manual_seed(0)
    now = replace(SMALL, detail=8.0)
    before, after = stable.Discriminator(SMALL), stable.Discriminator(now)
    grow_discriminator(after, before, now, SMALL)
    images = torch.rand(16, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(after(images), before(images), atol=1e-6)


def test_detail_is_shown_larger_without_judging_otherwise() -> None:
    torch.manual_seed(0)
    was, now = replace(SMALL, detail=8.0), replace(SMALL, detail=16.0)
    before, after = stable.Discriminator(was), stable.Discriminator(now)
    grow_discriminator(after, before, now, was)
    images = torch.rand(16, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(after(images), before(images), atol=1e-5)


def test_detail_is_what_the_mean_of_four_neighbours_leaves() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    expected = torch.tensor(
        [[0, 0, 0, 0, 0], [0, 0, -0.25, 0, 0], [0, -0.25, 1, -0.25, 0], [0, 0, -0.25, 0, 0], [0, 0, 0, 0, 0]]
    )
    assert torch.equal(stable.fine_detail(image)[0, 0], expected)
    assert not stable.fine_detail(torch.ones(1, 2, 4, 4)).any()


def test_all_of_a_grown_network_can_learn() -> None:
    small, large = _trained(SMALL), stable.Generator(grown(SMALL))
    grow_generator(large, small, SMALL, _latents(64))
    judge, large_judge = stable.Discriminator(SMALL), stable.Discriminator(grown(SMALL))
    grow_discriminator(large_judge, judge, grown(SMALL), SMALL)
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
    check_can_become(SMALL, replace(grown(SMALL), detail=8.0))
    with pytest.raises(UserError, match="goes on seeing it; give --detail 8"):
        check_can_become(replace(grown(SMALL), detail=8.0), grown(grown(SMALL)))
    with pytest.raises(UserError, match="64 pixels"):
        check_can_become(SMALL, replace(SMALL, image_size=128, ngf=4, ndf=4))
    narrow = replace(SMALL, channels=3, ngf=8, ndf=8)
    with pytest.raises(UserError, match="too narrow to grow"):
        check_can_become(narrow, grown(narrow))
    dcgan = replace(SMALL, networks="dcgan")
    check_can_become(dcgan, dcgan)
    with pytest.raises(UserError, match="only the networks of the stable recipes"):
        check_can_become(dcgan, grown(dcgan))
