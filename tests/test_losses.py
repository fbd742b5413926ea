"""The losses against PyTorch's cross-entropy and closed forms."""

import math

import torch
from torch.nn.functional import binary_cross_entropy

from cxrgan.training.losses import discriminator_loss, generator_loss

LOGITS = torch.tensor([-2.0, 0.0, 0.5, 3.0])


def test_the_discriminators_loss_is_binary_cross_entropy_on_both_sides() -> None:
    real, fake = LOGITS, LOGITS.flip(0) - 1
    expected = binary_cross_entropy(real.sigmoid(), torch.ones(4)) + binary_cross_entropy(
        fake.sigmoid(), torch.zeros(4)
    )
    torch.testing.assert_close(discriminator_loss(real=real, fake=fake), expected)


def test_an_undecided_discriminator_pays_two_log_two() -> None:
    loss = discriminator_loss(real=torch.zeros(3), fake=torch.zeros(3))
    assert math.isclose(float(loss), 2 * math.log(2), rel_tol=1e-6)


def test_the_generators_two_losses_are_the_papers() -> None:
    fake = LOGITS.sigmoid()
    torch.testing.assert_close(generator_loss(fake=LOGITS, kind="non-saturating"), -fake.log().mean())
    torch.testing.assert_close(generator_loss(fake=LOGITS, kind="saturating"), (1 - fake).log().mean())


def test_a_sure_discriminator_leaves_the_saturating_generator_no_gradient() -> None:
    gradients = {}
    for kind in ("non-saturating", "saturating"):
        logits = torch.full((4,), -20.0, requires_grad=True)
        generator_loss(fake=logits, kind=kind).backward()
        assert logits.grad is not None
        gradients[kind] = float(logits.grad.abs().sum())
    assert gradients["saturating"] < 1e-8
    assert gradients["non-saturating"] > 0.99


def test_huge_logits_stay_finite() -> None:
    assert torch.isfinite(discriminator_loss(real=torch.tensor([-1e4]), fake=torch.tensor([1e4])))
