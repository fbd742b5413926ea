"""The domain network: a small chest X-ray classifier whose features measure images with no download.

Its features join three depths, since a ruler must see blur and noise, which a classifier learns to overlook, as well
as disease. Rows measured with it carry `NAME` and are not comparable with an Inception distance.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cxrgan.device import Device, choose_device
from cxrgan.errors import UserError
from cxrgan.files import write_bytes

NAME = "cxr-domain-v1"
CLASSES = ("NORMAL", "bacteria", "virus")
INPUT_SIZE = 128
WIDTHS = (48, 96, 192)  # channels at 32 x 32, 16 x 16 and 8 x 8
STEM_WIDTH = 32
NUM_FEATURES = sum(WIDTHS)


class DomainNetwork(nn.Module):
    """Residual classifier of grey radiographs; a forward pass gives features and logits.

    While it is trained each convolution is followed by BatchNorm; `fold` puts that into the convolutions, and so the
    network is shipped.
    """

    centre: Tensor
    scale: Tensor

    name = NAME
    resize = f"antialiased bilinear to {INPUT_SIZE}"
    main_tap = "features"
    sha256 = ""
    """Of the weights file: names the network, wherever the file lies; empty before it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = NormedConvolution(1, STEM_WIDTH, kernel_size=5, stride=2)
        narrow = (STEM_WIDTH, *WIDTHS[:-1])
        pairs = zip(narrow, WIDTHS, strict=True)
        self.stages = nn.ModuleList(
            [nn.Sequential(Residual(a, b, stride=2), Residual(b, b, stride=1)) for a, b in pairs]
        )
        self.head = nn.Linear(WIDTHS[-1], len(CLASSES))
        self.register_buffer("centre", torch.zeros(NUM_FEATURES))
        self.register_buffer("scale", torch.ones(NUM_FEATURES))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 1 or 3, H, W) uint8 of any size -> `features` (N, 336) and `logits` (N, 3), both float32."""
        pooled, logits = self.read(to_input(images.to(self.centre.device)))
        return {"features": (pooled - self.centre) * self.scale, "logits": logits}

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, 128, 128) float in [-1, 1] -> channel means of the three depths (N, 336), logits (N, 3); float32."""
        x = F.relu(self.stem(x))
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.float().mean((2, 3)))
        return torch.cat(means, 1), self.head(means[-1]).float()

    def fold(self) -> None:
        """Put every BatchNorm into the convolution before it; the network must be in eval mode."""
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


def to_input(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) uint8 -> (N, 1, 128, 128) float32 in [-1, 1], by one antialiased bilinear resize."""
    grey = images.float().mean(1, keepdim=True)
    if grey.shape[2:] != (INPUT_SIZE, INPUT_SIZE):
        grey = F.interpolate(grey, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
    return grey / 127.5 - 1


def load_domain(path: Path | None = None, *, device: Device = "cpu") -> DomainNetwork:
    """The shipped network, or one that `cxrgan train-domain` wrote to `path`; in eval mode, float32, on `device`."""
    asset = files("cxrgan").joinpath("assets", f"{NAME}.safetensors") if path is None else path
    network = DomainNetwork().eval().requires_grad_(False)
    network.fold()
    try:
        content = asset.read_bytes()
        network.load_state_dict(load(content))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot read the domain network {asset}: {error}") from error
    network.sha256 = hashlib.sha256(content).hexdigest()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(choose_device(device))


def save_domain(network: DomainNetwork, path: Path) -> str:
    """Write a folded network as float16, and return the SHA-256 of the file."""
    content = save({name: value.half().contiguous() for name, value in network.state_dict().items()})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()
