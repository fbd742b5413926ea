"""A small classifier of radiographs, trained for a fixed number of steps: what `utility` asks of images."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.data.dataset import batch_indices
from cxrgan.device import Device, Precision, choose_device, choose_precision, keep_freed_memory
from cxrgan.images import to_float
from cxrgan.training.augment import augment, draw_alterations

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS = (16, 32, 64, 128)  # channels of the stem and of the three stages, each at half the size of the one before
PREDICT_BATCH = 128


@dataclass(frozen=True)
class ClassifierConfig:
    """All settings of a classifier's training; nothing is chosen by looking at how well it does."""

    num_steps: int = 600
    """Steps of the optimiser, whatever the number of images."""
    batch_size: int = 64
    """Images per step."""
    lr: float = 2e-3
    """Peak learning rate of AdamW: it rises during the first twentieth of training, then falls to zero on a cosine."""
    weight_decay: float = 0.05
    """AdamW's weight decay."""
    device: Device = "auto"
    """`auto` uses a GPU if there is one."""
    precision: Precision = "auto"
    """`auto` uses bf16 autocast if the hardware multiplies in bf16, otherwise fp32."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with their classes."""

    images: "NDArray[np.uint8]"
    """(N, M, M) uint8."""
    labels: "NDArray[np.int64]"
    """(N,), each an index into the classes."""

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(np.concatenate([self.images, other.images]), np.concatenate([self.labels, other.labels]))

    def repeated(self, num: int) -> "Examples":
        """`num` images: these in turn, as often as it takes."""
        rows = np.arange(num) % len(self)
        return Examples(self.images[rows], self.labels[rows])


class Classifier(nn.Module):
    """(N, 1, M, M) float in [-1, 1] -> logits (N, num_classes) float32. Beyond 64 pixels, the stem halves once more."""

    def __init__(self, image_size: int, num_classes: int) -> None:
        super().__init__()
        stem = _block(1, WIDTHS[0], kernel_size=5, stride=2)
        while image_size > 64:
            stem += _block(WIDTHS[0], WIDTHS[0], stride=2)
            image_size //= 2
        stages = [_block(a, b, stride=2) + _block(b, b) for a, b in itertools.pairwise(WIDTHS)]
        self.body = nn.Sequential(*stem, *itertools.chain(*stages))
        self.head = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).mean((2, 3)))
        return logits.float()


def _block(width_in: int, width_out: int, kernel_size: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(width_in, width_out, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width_out), nn.ReLU()]


def fit(data: Examples, num_classes: int, config: ClassifierConfig, seed: int) -> Classifier:
    """A classifier trained on `data`, in evaluation mode; all classes weigh the same.

    `seed` decides its first weights, the order of the images and their augmentation (`training.augment`).
    """
    device = torch.device(choose_device(config.device))
    keep_freed_memory()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = Classifier(data.images.shape[1], num_classes)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, config.num_steps + 1, pct_start=0.05, cycle_momentum=False
    )
    labels = torch.tensor(data.labels)
    weights = (len(data) / num_classes / labels.bincount(minlength=num_classes).clamp_min(1)).to(device)
    bf16 = choose_precision(config.precision, choose_device(config.device)) == "bf16"
    random = torch.Generator().manual_seed(seed)
    for step in range(config.num_steps):
        order = batch_indices(step, num_images=len(data), batch_size=config.batch_size, seed=seed)
        images = torch.from_numpy(data.images[order]).unsqueeze(1)  # a copy: the dataset may be a file, to be read only
        x = augment(to_float(images.to(device)), draw_alterations(len(order), 1.0, random).to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        optimizer.zero_grad()
        F.cross_entropy(logits, labels[order].to(device), weights).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def class_shares(network: Classifier, images: "NDArray[np.uint8]") -> "NDArray[np.float64]":
    """(N, M, M) uint8 -> the probability of each class, (N, num_classes), computed in float32."""
    device = network.head.weight.device
    parts = torch.from_numpy(images).unsqueeze(1).split(PREDICT_BATCH)
    logits = torch.cat([network(to_float(part.to(device))) for part in parts])
    shares: NDArray[np.float64] = logits.double().softmax(1).cpu().numpy()
    return shares
