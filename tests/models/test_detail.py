"""Detail on a GPU: its padding is `F.pad`'s, with a gradient whose sums have an order."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from cxrgan.models.stable import edged


def test_a_repeated_edge_is_that_of_pad_with_its_gradient() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(3, 2, 8, 8, generator=random).requires_grad_(True)
    weights = torch.randn(3, 2, 10, 10, generator=random)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    assert torch.equal(edged(images), padded)
    gradients = [torch.autograd.grad((each * weights).sum(), images)[0] for each in (edged(images), padded)]
    assert_close(*gradients)
