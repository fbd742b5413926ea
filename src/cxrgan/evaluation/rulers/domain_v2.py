"""cxr-domain-v2, the second domain network: nothing is chosen with it, so that it can report what the first chose.

It is built otherwise than cxr-domain-v1, so that what pleases the one need not please the other: patches and 7 x 7
neighbourhoods instead of 3 x 3 convolutions, LayerNorm instead of BatchNorm, and how much each channel varies over an
image beside its mean.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.evaluation.rulers.domain_network import CLASSES, DomainNetwork

WIDTHS = (32, 64, 192)  # channels at 32 x 32, 16 x 16 and 8 x 8
DEPTHS = (2, 2, 4)  # blocks
PATCH = 4  # pixels a side
EXPANSION = 4
DETAIL_GAIN = 8.0  # in real images of 128 pixels, detail then deviates by 0.33 and the image by 0.47


class DomainV2(DomainNetwork):
    """A small ConvNeXt (Liu et al. 2022).

    Its features are channel means and deviations over the image at the two shallow depths, and means at the deep one.
    """

    name = "cxr-domain-v2"
    num_shallow = 2 * sum(WIDTHS[:-1])
    num_features = num_shallow + WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        first, middle, deep = WIDTHS
        # No norm behind the patches: it would hide how strong their contrast is.
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(2, first, PATCH, PATCH), *blocks(first, DEPTHS[0])),
                nn.Sequential(ChannelNorm(first), nn.Conv2d(first, middle, 2, 2), *blocks(middle, DEPTHS[1])),
                nn.Sequential(ChannelNorm(middle), nn.Conv2d(middle, deep, 2, 2), *blocks(deep, DEPTHS[2])),
            ]
        )
        self.head = nn.Sequential(nn.LayerNorm(deep), nn.Linear(deep, len(CLASSES)))

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = with_detail(x)
        pooled = []
        for stage in self.stages:
            x = stage(x)
            variance, mean = torch.var_mean(x.float(), (2, 3), correction=0)
            pooled += [mean, (variance + 1e-6).sqrt()]
        pooled.pop()  # the deviations of the deep end
        return torch.cat(pooled, 1), self.head(pooled[-1]).float()


def with_detail(x: Tensor) -> Tensor:
    """(N, 1, H, W) -> (N, 2, H, W): beside the image, amplified, how it differs from the mean of 3 x 3 pixels.

    Blur and noise are in that difference; as weak as it is in the image, LayerNorm lets the network overlook it.
    """
    detail = x - F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return torch.cat([x, DETAIL_GAIN * detail], 1)


class Block(nn.Module):
    """(N, C, H, W) -> the same shape: x + what a channel-wise 7 x 7 convolution and two layers make of x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, EXPANSION * width), nn.GELU(), nn.Linear(EXPANSION * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(self.norm(self.around(x).permute(0, 2, 3, 1)))
        return x + y.permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each place of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def blocks(width: int, num: int) -> list[Block]:
    return [Block(width) for _ in range(num)]
