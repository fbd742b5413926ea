"""The augmentation: differentiable, decided by its generator, and nothing a radiograph cannot be."""

import pytest
import torch
from reference_step import altered
from torch.testing import assert_close

from cxrgan.training.augment import BRIGHTNESS, CONTRAST, SHIFT, augment, draw_alterations


def radiographs(num: int) -> torch.Tensor:
    """(num, 1, 32, 32): dark at the left, bright at the right, with a mark in one corner."""
    images = torch.linspace(-0.5, 0.5, 32).expand(num, 1, 32, 32).clone()
    images[:, :, 2:6, 2:6] = 0.9
    return images


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmented(images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
    return augment(images, draw_alterations(len(images), probability, random))


def test_probability_zero_changes_nothing() -> None:
    images = radiographs(8)
    assert_close(augmented(images, 0.0, seeded()), images, rtol=0, atol=1e-5)


def test_the_random_numbers_alone_decide() -> None:
    images = radiographs(8)
    assert torch.equal(augmented(images, 1.0, seeded(3)), augmented(images, 1.0, seeded(3)))
    assert not torch.equal(augmented(images, 1.0, seeded(3)), augmented(images, 1.0, seeded(4)))


def test_about_the_named_share_of_images_is_altered() -> None:
    images = radiographs(2000)
    altered = (augmented(images, 0.1, seeded()) - images).abs().amax((1, 2, 3)) > 1e-4
    assert abs(altered.float().mean().item() - (1 - 0.9**4)) < 0.04  # four draws of 0.1: two for the shift


def test_left_stays_left_and_dark_stays_dark() -> None:
    altered = augmented(radiographs(500), 1.0, seeded())
    middle = altered[:, 0, 12:]
    assert (middle[..., 20:].mean((1, 2)) > middle[..., :12].mean((1, 2))).all()


def test_brightness_and_contrast_stay_within_their_limits() -> None:
    flat = torch.full((500, 1, 16, 16), 0.25)
    change = augmented(flat, 1.0, seeded()) - flat
    assert change.abs().max() <= BRIGHTNESS + 1e-6
    assert change.abs().max() > 0.9 * BRIGHTNESS
    images = radiographs(500)[:, :, 8:]
    spread = augmented(images, 1.0, seeded()).std((1, 2, 3)) / images.std((1, 2, 3))
    assert spread.max() < (1 + CONTRAST) * 1.3  # mirroring changes it too
    assert spread.min() > (1 - CONTRAST) * 0.7


def test_a_shift_moves_a_mark_by_whole_pixels_and_no_further_than_an_eighth() -> None:
    images = torch.zeros(300, 1, 32, 32)
    images[:, :, 15:17, 15:17] = 1
    altered = augmented(images, 1.0, seeded())
    for dim in (2, 3):
        profile = altered.amax((1, 5 - dim)) > altered.mean((1, 2, 3))[:, None]  # (N, 32), true at the mark
        assert (profile.sum(1) == 2).all()
        moved = profile.float().argmax(1) - 15
        assert moved.abs().max() == 32 * SHIFT
        assert len(moved.unique()) == 2 * 32 * SHIFT + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_is_that_of_the_plain_augmentation(channels: int) -> None:
    images = torch.rand(40, channels, 32, 32, generator=seeded(1)) * 2 - 1
    assert_close(augmented(images, 1.0, seeded()), altered(images, seeded()), rtol=1e-5, atol=1e-6)


def test_an_image_is_altered_in_other_ways_by_chance_alone() -> None:
    """With probability 1/2 each alteration passes by half the images, whether or not another befell them."""
    images = radiographs(2000)
    change = (augmented(images, 0.5, seeded()) - images).abs().amax((1, 2, 3)) > 1e-4
    assert abs(change.float().mean().item() - (1 - 0.5**4)) < 0.03


def test_the_gradient_passes_through() -> None:
    images = radiographs(4).requires_grad_(True)
    augmented(images, 1.0, seeded()).sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()
