"""Inception-v3 (Szegedy et al. 2015), from a resized picture to features and a class layer, for one thing: speed.

BatchNorm is folded into the convolutions, and bfloat16 is used where it pays. The FID's network and ImageNet's
classifier have the same layers and names, and differ in how they pool, in their classes and in what they are shown.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.device import Device, choose_device, choose_precision
from cxrgan.evaluation.rulers.inception_weights import PublishedWeights, Weights, find_weights, read_weights

Pool = Callable[[Tensor], Tensor]
Network = TypeVar("Network", bound="InceptionV3")

SIZE = 299  # pixels a side at which the networks were trained
EPS = 1e-3  # BatchNorm's, of TensorFlow; PyTorch's default is 1e-5
FUSED = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
NORM = ("weight", "bias", "running_mean", "running_var")
CHUNK = 16  # images that pass at once: more would leave the processor's cache


class Convolution(nn.Module):
    """(N, C, H, W) -> (N, O, H', W'): a convolution with BatchNorm folded in, then ReLU."""

    def __init__(
        self, width_in: int, width_out: int, kernel: tuple[int, int] = (1, 1), *, stride: int = 1, valid: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in, *kernel), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(width_out), requires_grad=False)
        self.stride = [stride, stride]
        self.padding = [0, 0] if valid else [kernel[0] // 2, kernel[1] // 2]

    def fold(self, conv: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> None:
        """Take over a convolution's weights (O, C, h, w) and its BatchNorm's vectors (O,)."""
        scale = weight.double() / (var.double() + EPS).sqrt()
        self.weight.data = (conv * scale[:, None, None, None]).float().to(memory_format=torch.channels_last)
        self.bias.data = (bias - mean * scale).float()

    def quantise(self) -> None:
        """Go over to bf16, all but the bias: rounding that too would move the Frechet distance by some 0.3 %."""
        self.weight.data = diffuse(self.weight).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """With ReLU, on a CPU in one pass over the memory: the operation that torch.compile puts in as well."""
        if FUSED and x.device.type == "cpu":
            fused = torch.ops.mkldnn._convolution_pointwise
            y: Tensor = fused(x, weight, self.bias, self.padding, self.stride, [1, 1], 1, "relu", [], "")
            return y
        return F.conv2d(x, weight, self.bias, self.stride, self.padding).relu_()


class Stem(Convolution):
    """The first layer. A grey channel would meet the three channels' weights alike, so it meets their sum.

    Edges are small differences of large grey values, which rounding would bury: in bf16 this layer takes the product
    of numbers in two halves, (high + low) * (high + low) without low * low, as three channels for each.
    """

    grey: Tensor

    def __init__(self) -> None:
        super().__init__(3, 32, (3, 3), stride=2, valid=True)
        self.register_buffer("grey", torch.empty(32, 1, 3, 3))

    def fold(self, conv: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> None:
        super().fold(conv, weight, bias, mean, var)
        self.grey = self.weight.sum(1, keepdim=True)

    def quantise(self) -> None:
        for weight in (self.weight, self.grey):
            high, low = halves(weight)
            weight.data = torch.cat([high, low, high], 1).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.grey if x.shape[1] == 1 else self.weight
        if weight.dtype == torch.bfloat16:
            high, low = halves(x)
            x = torch.cat([high, high, low], 1)
        return self.convolve(x, weight)


class MixedA(nn.Module):
    """(N, width, 35, 35) -> (N, 224 + width_pool, 35, 35)."""

    def __init__(self, width: int, width_pool: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Convolution(width, 64)
        self.branch5x5_1 = Convolution(width, 48)
        self.branch5x5_2 = Convolution(48, 64, (5, 5))
        self.branch3x3dbl_1 = Convolution(width, 64)
        self.branch3x3dbl_2 = Convolution(64, 96, (3, 3))
        self.branch3x3dbl_3 = Convolution(96, 96, (3, 3))
        self.branch_pool = Convolution(width, width_pool)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(self.pool(x))], 1)


class MixedB(nn.Module):
    """(N, 288, 35, 35) -> (N, 768, 17, 17)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = Convolution(288, 384, (3, 3), stride=2, valid=True)
        self.branch3x3dbl_1 = Convolution(288, 64)
        self.branch3x3dbl_2 = Convolution(64, 96, (3, 3))
        self.branch3x3dbl_3 = Convolution(96, 96, (3, 3), stride=2, valid=True)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, max_pool(x)], 1)


class MixedC(nn.Module):
    """(N, 768, 17, 17) -> (N, 768, 17, 17), the long branches `width` wide inside."""

    def __init__(self, width: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Convolution(768, 192)
        self.branch7x7_1 = Convolution(768, width)
        self.branch7x7_2 = Convolution(width, width, (1, 7))
        self.branch7x7_3 = Convolution(width, 192, (7, 1))
        self.branch7x7dbl_1 = Convolution(768, width)
        self.branch7x7dbl_2 = Convolution(width, width, (7, 1))
        self.branch7x7dbl_3 = Convolution(width, width, (1, 7))
        self.branch7x7dbl_4 = Convolution(width, width, (7, 1))
        self.branch7x7dbl_5 = Convolution(width, 192, (1, 7))
        self.branch_pool = Convolution(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(self.pool(x))], 1)


class MixedD(nn.Module):
    """(N, 768, 17, 17) -> (N, 1280, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(768, 192)
        self.branch3x3_2 = Convolution(192, 320, (3, 3), stride=2, valid=True)
        self.branch7x7x3_1 = Convolution(768, 192)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, (3, 3), stride=2, valid=True)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, max_pool(x)], 1)


class MixedE(nn.Module):
    """(N, width, 8, 8) -> (N, 2048, 8, 8)."""

    def __init__(self, width: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Convolution(width, 320)
        self.branch3x3_1 = Convolution(width, 384)
        self.branch3x3_2a = Convolution(384, 384, (1, 3))
        self.branch3x3_2b = Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1 = Convolution(width, 448)
        self.branch3x3dbl_2 = Convolution(448, 384, (3, 3))
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1))
        self.branch_pool = Convolution(width, 192)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self.pool(x)),
        ]
        return torch.cat(branches, 1)


class InceptionV3(nn.Module):
    """(N, 3 or 1, H, W) uint8 -> what `taps` gives; a grey channel counts as three equal ones."""

    name: str
    """What a metric's row calls the network: it tells the weights apart."""
    sha256: str
    """Of what decides its numbers: the weights and the precision."""

    def __init__(self, *, pool: Pool, last_pool: Pool, num_classes: int) -> None:
        """`pool` is that of the blocks that keep the size, but for the last one's."""
        super().__init__()
        self.Conv2d_1a_3x3 = Stem()
        self.Conv2d_2a_3x3 = Convolution(32, 32, (3, 3), valid=True)
        self.Conv2d_2b_3x3 = Convolution(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Convolution(64, 80)
        self.Conv2d_4a_3x3 = Convolution(80, 192, (3, 3), valid=True)
        self.Mixed_5b, self.Mixed_5c = MixedA(192, 32, pool), MixedA(256, 64, pool)
        self.Mixed_5d = MixedA(288, 64, pool)
        self.Mixed_6a = MixedB()
        self.Mixed_6b, self.Mixed_6c = MixedC(128, pool), MixedC(160, pool)
        self.Mixed_6d, self.Mixed_6e = MixedC(160, pool), MixedC(192, pool)
        self.Mixed_7a = MixedD()
        self.Mixed_7b, self.Mixed_7c = MixedE(1280, pool), MixedE(2048, last_pool)
        self.fc_weight = nn.Parameter(torch.empty(num_classes, 2048), requires_grad=False)
        self.fc_bias = nn.Parameter(torch.empty(num_classes), requires_grad=False)

    def layout(self) -> dict[str, torch.Size]:
        """The names and shapes of the tensors in a file of weights."""
        shapes = {"fc.weight": self.fc_weight.shape, "fc.bias": self.fc_bias.shape}
        for name, layer in self._convolutions():
            shapes[f"{name}.conv.weight"] = layer.weight.shape
            shapes |= {f"{name}.bn.{part}": layer.bias.shape for part in NORM}
        return shapes

    def take(self, weights: Weights, *, exact: bool) -> None:
        """Compute with these weights from now on, in fp32 if `exact`, else in bf16."""
        for name, layer in self._convolutions():
            layer.fold(weights.tensors[f"{name}.conv.weight"], *(weights.tensors[f"{name}.bn.{part}"] for part in NORM))
            if not exact:
                layer.quantise()
        self.fc_weight.data, self.fc_bias.data = weights.tensors["fc.weight"], weights.tensors["fc.bias"]
        self.name = weights.name
        self.sha256 = hashlib.sha256(f"{weights.sha256} {'fp32' if exact else 'bf16'}".encode()).hexdigest()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3 or 1, H, W) uint8 -> tap -> (N, D) float32."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not images.numel():
            raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, but must be uint8 (N, 3 or 1, H, W)")
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 would round as bf16 does
            chunks = [self.taps(chunk.to(self.fc_weight.device)) for chunk in images.split(CHUNK)]
        return {tap: torch.cat([chunk[tap] for chunk in chunks]) for tap in chunks[0]}

    def taps(self, images: Tensor) -> dict[str, Tensor]:
        """What `forward` gives, of a few images."""
        raise NotImplementedError

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3 or 1, 299, 299) float32 in [-1, 1] -> `64`, `192`, `768` and `2048`, averaged over their positions."""
        taps = {}
        x = max_pool(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))  # (N, 64, 73, 73)
        taps["64"] = mean(x)
        x = max_pool(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))  # (N, 192, 35, 35)
        taps["192"] = mean(x)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))  # (N, 768, 17, 17)
        taps["768"] = mean(x)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))  # (N, 2048, 8, 8)
        taps["2048"] = mean(x)
        return taps

    def _convolutions(self) -> list[tuple[str, Convolution]]:
        return [(name, layer) for name, layer in self.named_modules() if isinstance(layer, Convolution)]


def load(
    network: Network, published: PublishedWeights, path: Path | None, *, exact: bool = False, device: Device = "auto"
) -> Network:
    """`network` with the weights of `path`, else of the cache, else of a download.

    On a CPU that multiplies in bf16 it does so, unless `exact`; elsewhere it computes in fp32. `WeightsUnavailable`
    where there are no weights to be had, and another UserError where `path` does not hold them.
    """
    place = choose_device(device)
    weights = read_weights(published, find_weights(published, path), network.layout())
    network.take(weights, exact=exact or not (FUSED and place == "cpu" and choose_precision("auto", place) == "bf16"))
    return network.to(place)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """float32 -> high and low, bf16, whose sum it is to 16 bits."""
    high = x.bfloat16()
    return high, (x - high).bfloat16()


def diffuse(weight: Tensor) -> Tensor:
    """Weights (O, C, h, w) float32 -> bf16, each carrying on the rounding error of those before it.

    Neighbouring pixels and channels are alike, and so the errors cancel where independent ones would add up.
    """
    flat = weight.double().flatten(1)
    rounded = torch.empty_like(flat, dtype=torch.bfloat16)
    error = torch.zeros_like(flat[:, 0])
    for column in range(flat.shape[1]):
        wanted = flat[:, column] + error
        rounded[:, column] = wanted
        error = wanted - rounded[:, column]
    return rounded.view_as(weight)


def max_pool(x: Tensor) -> Tensor:
    """Maximum over 3 x 3 at every second position."""
    return F.max_pool2d(x, 3, 2)


def mean(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C) float32."""
    return x.mean((2, 3), dtype=torch.float32)
