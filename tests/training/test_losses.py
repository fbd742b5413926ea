"""The losses against PyTorch's cross-entropy and closed forms."""

import math

import torch
from torch.nn.functional import binary_cross_entropy

from cxrgan.recipes.config import Loss
from cxrgan.training.losses import discriminator_loss, generator_loss, gradient_penalty

LOGITS = torch.tensor([-2.0, 0.0, 0.5, 3.0])


def test_the_discriminators_loss_is_binary_cross_entropy_on_both_sides() -> None:
    real, fake = LOGITS, LOGITS.flip(0) - 1
    expected = binary_cross_entropy(real.sigmoid(), torch.ones(4)) + binary_cross_entropy(
        fake.sigmoid(), torch.zeros(4)
    )
    torch.testing.assert_close(discriminator_loss(real=real, fake=fake, kind="saturating"), expected)


def test_an_undecided_discriminator_pays_two_log_two() -> None:
    loss = discriminator_loss(real=torch.zeros(3), fake=torch.zeros(3), kind="non-saturating")
    assert math.isclose(float(loss), 2 * math.log(2), rel_tol=1e-6)


def test_the_generators_two_losses_are_the_papers() -> None:
    fake = LOGITS.sigmoid()
    torch.testing.assert_close(generator_loss(fake=LOGITS, real=LOGITS, kind="non-saturating"), -fake.log().mean())
    torch.testing.assert_close(generator_loss(fake=LOGITS, real=LOGITS, kind="saturating"), (1 - fake).log().mean())


def test_a_sure_discriminator_leaves_the_saturating_generator_no_gradient() -> None:
    gradients = {}
    kinds: tuple[Loss, ...] = ("non-saturating", "saturating")
    for kind in kinds:
        logits = torch.full((4,), -20.0, requires_grad=True)
        generator_loss(fake=logits, real=logits, kind=kind).backward()
        assert logits.grad is not None
        gradients[kind] = float(logits.grad.abs().sum())
    assert gradients["saturating"] < 1e-8
    assert gradients["non-saturating"] > 0.99


def test_huge_logits_stay_finite() -> None:
    real, fake = torch.tensor([-1e4]), torch.tensor([1e4])
    assert torch.isfinite(discriminator_loss(real=real, fake=fake, kind="non-saturating"))
    assert torch.isfinite(discriminator_loss(real=real, fake=fake, kind="relativistic"))


def test_relativistic_pairing_looks_at_differences_of_pairs_only() -> None:
    real, fake = LOGITS, LOGITS.flip(0)
    loss = discriminator_loss(real=real, fake=fake, kind="relativistic")
    torch.testing.assert_close(loss, -(real - fake).sigmoid().log().mean())
    torch.testing.assert_close(discriminator_loss(real=real + 7, fake=fake + 7, kind="relativistic"), loss)
    torch.testing.assert_close(generator_loss(fake=real, real=fake, kind="relativistic"), loss)


def test_the_penalty_of_a_linear_discriminator_is_its_squared_weight() -> None:
    weight = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    images = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    penalty = gradient_penalty(lambda x: (x * weight).sum((1, 2, 3)), images)
    torch.testing.assert_close(penalty, weight.square().sum())


def test_the_penalty_of_a_quadratic_discriminator_pulls_its_scale_down() -> None:
    scale = torch.tensor(3.0, requires_grad=True)
    images = torch.randn(5, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    penalty = gradient_penalty(lambda x: scale * x.square().sum((1, 2, 3)) / 2, images)  # gradient: scale * x
    penalty.backward()
    mean_square = images.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty.detach(), 9 * mean_square)
    torch.testing.assert_close(scale.grad, 6 * mean_square)
