"""cxr-domain-v1, the domain network that runs are chosen with: residual, with 3 x 3 convolutions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxrgan.evaluation.rulers.domain_network import CLASSES, DomainNetwork

WIDTHS = (48, 96, 192)  # channels at 32 x 32, 16 x 16 and 8 x 8
STEM_WIDTH = 32


class DomainV1(DomainNetwork):
    """Its features are channel means at three depths.

    While it is trained each convolution is followed by BatchNorm; `fold` puts that into the convolutions, and so the
    network is shipped.
    """

    name = "cxr-domain-v1"
    num_features = sum(WIDTHS)
    num_shallow = sum(WIDTHS[:-1])

    def __init__(self) -> None:
        super().__init__()
        self.stem = NormedConvolution(1, STEM_WIDTH, kernel_size=5, stride=2)
        narrow = (STEM_WIDTH, *WIDTHS[:-1])
        pairs = zip(narrow, WIDTHS, strict=True)
        self.stages = nn.ModuleList(
            [nn.Sequential(Residual(a, b, stride=2), Residual(b, b, stride=1)) for a, b in pairs]
        )
        self.head = nn.Linear(WIDTHS[-1], len(CLASSES))

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.stem(x))
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.float().mean((2, 3)))
        return torch.cat(means, 1), self.head(means[-1]).float()

    def fold(self) -> None:
        for module in self.modules():
            if isinstance(module, NormedConvolution):
                module.fold()


class Residual(nn.Module):
    """(N, C, H, W) -> (N, O, H / stride, W / stride): x + two 3 x 3 convolutions of x."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first = NormedConvolution(width_in, width_out, kernel_size=3, stride=stride)
        self.second = NormedConvolution(width_out, width_out, kernel_size=3)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:  # averaging first, so that no pixel is skipped
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), NormedConvolution(width_in, width_out, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.second(F.relu(self.first(x))))


class NormedConvolution(nn.Module):
    """Convolution that keeps the size up to its stride, with BatchNorm until it is folded."""

    def __init__(self, width_in: int, width_out: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel_size, stride, padding=kernel_size // 2)
        self.norm: nn.Module = nn.BatchNorm2d(width_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()
