"""Logits -> loss: the binary cross-entropy game of Goodfellow et al. 2014, written with softplus for stability.

With p = sigmoid(logit): -log p = softplus(-logit) and -log(1 - p) = softplus(logit).
"""

from torch import Tensor
from torch.nn.functional import softplus

from cxrgan.training.recipes import GeneratorLoss


def discriminator_loss(*, real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of real against 1 plus fake against 0; logits (N,) -> scalar."""
    return softplus(-real.float()).mean() + softplus(fake.float()).mean()


def generator_loss(*, fake: Tensor, kind: GeneratorLoss) -> Tensor:
    """What the generator minimises; logits (N,) -> scalar.

    `non-saturating`: -log D(G(z)). `saturating`: log(1 - D(G(z))), the minimax game itself, whose gradient
    fades where D is sure.
    """
    if kind == "saturating":
        return -softplus(fake.float()).mean()
    return softplus(-fake.float()).mean()
