"""The matrix-product convolutions against PyTorch's own."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cxrgan.models import convolution, winograd
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


def random_like(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(0)).requires_grad_()


@settings(max_examples=15, deadline=None)
@given(**SHAPES, w=st.integers(1, 4))
def test_halving_is_conv2d(n: int, c: int, o: int, h: int, w: int) -> None:
    x, weight = random_like(n, c, 2 * h, 2 * w), random_like(o, c, 4, 4)
    check_same(halve(x, weight), F.conv2d(x, weight, stride=2, padding=1), (x, weight))


@settings(max_examples=15, deadline=None)
@given(**SHAPES, w=st.integers(1, 4))
def test_doubling_is_conv_transpose2d(n: int, c: int, o: int, h: int, w: int) -> None:
    x, weight = random_like(n, c, h, w), random_like(c, o, 4, 4)
    check_same(double(x, weight), F.conv_transpose2d(x, weight, stride=2, padding=1), (x, weight))


@pytest.mark.parametrize("rows", [1, 4, winograd.ROWS])
@settings(max_examples=15, deadline=None)
@given(**SHAPES, w=st.integers(1, 4))
def test_nine_products_are_the_sixteen_of_both(rows: int, n: int, c: int, o: int, h: int, w: int) -> None:
    x, y, weight = random_like(n, c, 4 * h, 4 * w), random_like(n, o, 2 * h, 2 * w), random_like(o, c, 4, 4)
    with patch.object(winograd, "ROWS", rows):  # batches in one piece and in several
        check_same(winograd.halve(x, weight), F.conv2d(x, weight, stride=2, padding=1), (x, weight))
        check_same(winograd.double(y, weight), F.conv_transpose2d(y, weight, stride=2, padding=1), (y, weight))


def test_activations_may_work_in_place_on_what_nine_products_give() -> None:
    x, y, weight = random_like(2, 3, 8, 8), random_like(2, 5, 4, 4), random_like(5, 3, 4, 4)
    for ours, theirs, inputs in (
        (winograd.halve(x, weight), F.conv2d(x, weight, stride=2, padding=1), (x, weight)),
        (winograd.double(y, weight), F.conv_transpose2d(y, weight, stride=2, padding=1), (y, weight)),
    ):
        check_same(F.leaky_relu_(ours, 0.2), F.leaky_relu(theirs, 0.2), inputs)


def test_in_float32_nine_products_are_as_exact_as_sixteen() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(8, 256, 16, 16), torch.randn(128, 256, 4, 4)
    exact = F.conv2d(x.double(), weight.double(), stride=2, padding=1)
    plain, ours = F.conv2d(x, weight, stride=2, padding=1), winograd.halve(x, weight)
    assert (ours - exact).norm() < 2 * (plain - exact).norm()


@pytest.mark.parametrize("layer", [Halve, Double])
def test_only_training_in_fp32_takes_nine_products(
    layer: type[Halve] | type[Double], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, x = layer(64, 64), torch.randn(2, 64, 8, 8)
    plain = layer(64, 64)
    plain.load_state_dict(network.state_dict())
    monkeypatch.setattr(convolution, "MIN_CHANNELS_WINOGRAD", 64)
    with torch.no_grad():
        kept = network(x)
    learnt = network(x)
    monkeypatch.setattr(convolution, "MIN_CHANNELS_WINOGRAD", 65)
    torch.testing.assert_close(kept, plain(x), rtol=0, atol=0)
    assert not torch.equal(learnt, kept)
    torch.testing.assert_close(learnt, kept)
    odd = network(torch.randn(2, 64, 6, 6))
    assert odd.shape[2] in (3, 12)


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
