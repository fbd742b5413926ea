"""The matrix-product convolutions against PyTorch's own."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cxrgan.models import convolution
from cxrgan.models.convolution import Double, Halve, double, halve

SHAPES = {"n": st.integers(1, 3), "c": st.integers(1, 4), "o": st.integers(1, 4), "h": st.integers(1, 4)}


def check_same(ours: Tensor, theirs: Tensor, inputs: tuple[Tensor, Tensor]) -> None:
    """Values, gradients, and the gradients of the gradient, which gradient penalties need."""
    torch.testing.assert_close(ours, theirs)
    both = []
    for output in (ours, theirs):
        gradients = torch.autograd.grad((output**3).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((g**2).sum() for g in gradients), inputs)  # type: ignore[arg-type]
        both.append([*gradients, *second])
    for mine, reference in zip(*both, strict=True):
        torch.testing.assert_close(mine, reference)


@settings(max_examples=15, deadline=None)
@given(**SHAPES, w=st.integers(1, 4))
def test_halving_is_conv2d(n: int, c: int, o: int, h: int, w: int) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, c, 2 * h, 2 * w, dtype=torch.double, generator=random).requires_grad_()
    weight = torch.randn(o, c, 4, 4, dtype=torch.double, generator=random).requires_grad_()
    check_same(halve(x, weight), F.conv2d(x, weight, stride=2, padding=1), (x, weight))


@settings(max_examples=15, deadline=None)
@given(**SHAPES, w=st.integers(1, 4))
def test_doubling_is_conv_transpose2d(n: int, c: int, o: int, h: int, w: int) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, c, h, w, dtype=torch.double, generator=random).requires_grad_()
    weight = torch.randn(c, o, 4, 4, dtype=torch.double, generator=random).requires_grad_()
    check_same(double(x, weight), F.conv_transpose2d(x, weight, stride=2, padding=1), (x, weight))


@pytest.mark.parametrize("layer", [Halve, Double])
def test_wide_layers_multiply_in_bf16_on_the_cpu_and_agree_with_fp32(
    layer: type[Halve] | type[Double], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def watched(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        function: Callable[[Tensor, Tensor], Tensor] = getattr(convolution, name)

        def call(x: Tensor, weight: Tensor) -> Tensor:
            calls.append(name)
            return function(x, weight)

        return call

    for name in ("halve", "double"):
        monkeypatch.setattr(convolution, name, watched(name))
    torch.manual_seed(0)
    network, x = layer(256, 256), torch.randn(2, 256, 4, 4)
    exact = network(x)
    assert calls == []
    with torch.autocast("cpu", torch.bfloat16):
        fast = network(x)
    assert len(calls) == 1
    assert (fast.float() - exact).abs().max() < 0.02 * exact.abs().max()
