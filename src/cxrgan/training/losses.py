"""Logits -> loss: the game as cross-entropy or as relativistic pairing, and the gradient penalties.

With p = sigmoid(logit): -log p = softplus(-logit) and -log(1 - p) = softplus(logit).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from cxrgan.recipes.config import Loss


def discriminator_loss(*, real: Tensor, fake: Tensor, kind: Loss) -> Tensor:
    """What the discriminator minimises; logits (N,) -> scalar.

    `relativistic`: -log sigmoid(D(x) - D(G(z))), a real image against a fake one at a time (Jolicoeur-Martineau
    2018; Huang et al. 2024, R3GAN). Otherwise the cross-entropy of real against 1 plus fake against 0 (Goodfellow
    et al. 2014).
    """
    if kind == "relativistic":
        return softplus(fake.float() - real.float()).mean()
    return softplus(-real.float()).mean() + softplus(fake.float()).mean()


def generator_loss(*, fake: Tensor, real: Tensor, kind: Loss) -> Tensor:
    """What the generator minimises; logits (N,) -> scalar. `real` counts in `relativistic` only.

    `non-saturating`: -log D(G(z)). `saturating`: log(1 - D(G(z))), the minimax game itself, whose gradient
    fades where D is sure. `relativistic`: -log sigmoid(D(G(z)) - D(x)).
    """
    match kind:
        case "saturating":
            return -softplus(fake.float()).mean()
        case "non-saturating":
            return softplus(-fake.float()).mean()
        case "relativistic":
            return softplus(real.float() - fake.float()).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Mean over images of the squared norm of D's gradient by the image, summed over pixels -> scalar.

    On real images it is R1 (Mescheder et al. 2018), on generated ones R2. `discriminator` takes (N, C, M, M) to
    logits (N,), each of its own image alone.
    """
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()
