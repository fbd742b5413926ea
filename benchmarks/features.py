"""How much faster the Inception features come than from the same network as public code writes it, and how equal.

    python benchmarks/features.py [--images 192] [--blocks 5] [--weights PATH]

Both sides see the same phantom X-rays, grey and 64 x 64 pixels, on this machine, in this process, taking turns. The
plain side is a float32 module in the default memory format, BatchNorm apart, on three equal channels. Then the
Frechet distance from sharp phantoms to blurred ones, from both sides at every tap. Without --weights the weights are
random, with the BatchNorm statistics that the phantoms give them.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from safetensors.torch import save_file
from torch import Tensor, nn

from cxrgan.data.phantom import phantoms
from cxrgan.evaluation.metrics import frechet_distance
from cxrgan.evaluation.rulers.inception import FID_WEIGHTS, Inception, load_inception
from cxrgan.evaluation.rulers.inception_weights import read_weights

BATCH = 32
SIZE = 64
BLUR = 1.0  # standard deviation, in pixels
TAPS = ("64", "192", "768", "2048")

Images = NDArray[np.uint8]
Features = dict[str, NDArray[np.float32]]


class PlainConvolution(nn.Module):
    """Convolution, BatchNorm and ReLU, each for itself."""

    def __init__(self, width_in: int, width_out: int, kernel: int | tuple[int, int], stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel, stride, 0 if stride == 2 else "same", bias=False)
        self.bn = nn.BatchNorm2d(width_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class PlainMixed(nn.Module):
    """Chains of layers side by side, all from the same input."""

    def __init__(self, *chains: dict[str, nn.Module]) -> None:
        super().__init__()
        self.chains = [list(chain) for chain in chains]
        for name, layer in itertools.chain.from_iterable(chain.items() for chain in chains):
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.follow(chain, x) for chain in self.chains], 1)

    def follow(self, chain: list[str], x: Tensor) -> Tensor:
        for name in chain:
            x = self.get_submodule(name)(x)
        return x


class PlainLast(PlainMixed):
    """The two blocks whose branches fork at their ends."""

    def __init__(self, width: int, pool: nn.Module) -> None:
        convolution = PlainConvolution
        super().__init__(
            {"branch1x1": convolution(width, 320, 1)},
            {"branch3x3_1": convolution(width, 384, 1)},
            {"branch3x3dbl_1": convolution(width, 448, 1), "branch3x3dbl_2": convolution(448, 384, 3)},
            {"pool": pool, "branch_pool": convolution(width, 192, 1)},
        )
        for stem in ("branch3x3_2", "branch3x3dbl_3"):
            self.add_module(f"{stem}a", convolution(384, 384, (1, 3)))
            self.add_module(f"{stem}b", convolution(384, 384, (3, 1)))

    def forward(self, x: Tensor) -> Tensor:
        one, three, double, pool = (self.follow(chain, x) for chain in self.chains)
        forks = [
            (three, "branch3x3_2a"),
            (three, "branch3x3_2b"),
            (double, "branch3x3dbl_3a"),
            (double, "branch3x3dbl_3b"),
        ]
        return torch.cat([one, *(self.get_submodule(name)(x) for x, name in forks), pool], 1)


class PlainInception(nn.Module):
    """The network as its state dict names it."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = PlainConvolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = PlainConvolution(32, 32, 3)
        self.Conv2d_2b_3x3 = PlainConvolution(32, 64, 3)
        self.Conv2d_3b_1x1 = PlainConvolution(64, 80, 1)
        self.Conv2d_4a_3x3 = PlainConvolution(80, 192, 3)
        self.Conv2d_2a_3x3.conv.padding = self.Conv2d_4a_3x3.conv.padding = "valid"
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = plain_a(192, 32), plain_a(256, 64), plain_a(288, 64)
        self.Mixed_6a = plain_b()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(plain_c, (128, 160, 160, 192))
        self.Mixed_7a = plain_d()
        self.Mixed_7b, self.Mixed_7c = PlainLast(1280, average_pool()), PlainLast(2048, nn.MaxPool2d(3, 1, 1))
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) uint8 -> the four taps and the logits, (N, D) float32."""
        x = (plain_resize(images) - 128) / 128
        pool = nn.MaxPool2d(3, 2)
        x = tap64 = pool(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = tap192 = pool(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = tap768 = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        maps = zip(TAPS, (tap64, tap192, tap768, x), strict=True)
        taps = {name: F.adaptive_avg_pool2d(x, 1).flatten(1) for name, x in maps}
        return taps | {"logits_unbiased": taps["2048"] @ self.fc.weight.T}


def plain_a(width: int, pool: int) -> PlainMixed:
    convolution = PlainConvolution
    return PlainMixed(
        {"branch1x1": convolution(width, 64, 1)},
        {"branch5x5_1": convolution(width, 48, 1), "branch5x5_2": convolution(48, 64, 5)},
        {
            "branch3x3dbl_1": convolution(width, 64, 1),
            "branch3x3dbl_2": convolution(64, 96, 3),
            "branch3x3dbl_3": convolution(96, 96, 3),
        },
        {"pool": average_pool(), "branch_pool": convolution(width, pool, 1)},
    )


def plain_b() -> PlainMixed:
    return PlainMixed(
        {"branch3x3": PlainConvolution(288, 384, 3, 2)},
        {
            "branch3x3dbl_1": PlainConvolution(288, 64, 1),
            "branch3x3dbl_2": PlainConvolution(64, 96, 3),
            "branch3x3dbl_3": PlainConvolution(96, 96, 3, 2),
        },
        {"pool": nn.MaxPool2d(3, 2)},
    )


def plain_c(width: int) -> PlainMixed:
    convolution = PlainConvolution
    return PlainMixed(
        {"branch1x1": convolution(768, 192, 1)},
        {
            "branch7x7_1": convolution(768, width, 1),
            "branch7x7_2": convolution(width, width, (1, 7)),
            "branch7x7_3": convolution(width, 192, (7, 1)),
        },
        {
            "branch7x7dbl_1": convolution(768, width, 1),
            "branch7x7dbl_2": convolution(width, width, (7, 1)),
            "branch7x7dbl_3": convolution(width, width, (1, 7)),
            "branch7x7dbl_4": convolution(width, width, (7, 1)),
            "branch7x7dbl_5": convolution(width, 192, (1, 7)),
        },
        {"pool": average_pool(), "branch_pool": convolution(768, 192, 1)},
    )


def plain_d() -> PlainMixed:
    convolution = PlainConvolution
    return PlainMixed(
        {"branch3x3_1": convolution(768, 192, 1), "branch3x3_2": convolution(192, 320, 3, 2)},
        {
            "branch7x7x3_1": convolution(768, 192, 1),
            "branch7x7x3_2": convolution(192, 192, (1, 7)),
            "branch7x7x3_3": convolution(192, 192, (7, 1)),
            "branch7x7x3_4": convolution(192, 192, 3, 2),
        },
        {"pool": nn.MaxPool2d(3, 2)},
    )


def average_pool() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def plain_resize(images: Tensor) -> Tensor:
    """TensorFlow 1's bilinear, from the four corners: (N, C, H, W) uint8 -> (N, C, 299, 299) float32."""
    y, x = (torch.arange(299) * (side / 299) for side in images.shape[2:])
    top, left = y.long(), x.long()
    bottom, right = (top + 1).clamp(max=images.shape[2] - 1), (left + 1).clamp(max=images.shape[3] - 1)
    rows, columns = (y - top)[:, None], x - left
    images = images.float()
    above = images[:, :, top][..., left] * (1 - columns) + images[:, :, top][..., right] * columns
    below = images[:, :, bottom][..., left] * (1 - columns) + images[:, :, bottom][..., right] * columns
    return above * (1 - rows) + below * rows


@torch.no_grad()
def randomise(network: PlainInception, images: Tensor | None = None) -> None:
    """He's weights and uneven BatchNorm, its statistics those that `images` (N, 3, H, W) give, else near 0 and 1."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.5)
            layer.momentum = 1.0  # of many batches the last one counts
    for name, statistic in network.named_buffers():
        if name.endswith("running_mean"):
            statistic.normal_(0, 0.1)
        elif name.endswith("running_var"):
            statistic.uniform_(0.5, 1.5)
    if images is not None:
        network.train()(images)
    network.eval()


def save_weights(network: PlainInception, path: Path) -> None:
    """The state dict as the standard file has it: without BatchNorm's counters."""
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(state, path)


def plain_network(path: Path) -> PlainInception:
    network = PlainInception().eval()
    network.load_state_dict(read_weights(FID_WEIGHTS, path, Inception().layout()).tensors, strict=False)
    return network


def rgb(images: Images) -> Tensor:
    """(N, H, W) -> (N, 3, H, W)."""
    return torch.from_numpy(images).unsqueeze(1).repeat(1, 3, 1, 1)


def blurred(images: Images) -> Images:
    """(N, H, W) uint8, each through a Gaussian."""
    return np.stack([np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(BLUR))) for image in images])


def extract(network: Callable[[Tensor], dict[str, Tensor]], images: Tensor) -> Features:
    """(N, C, H, W) uint8 -> tap -> (N, D), in batches."""
    with torch.inference_mode():
        parts = [network(batch) for batch in images.split(BATCH)]
    return {tap: torch.cat([part[tap] for part in parts]).numpy() for tap in TAPS}


def images_a_second(network: Callable[[Tensor], dict[str, Tensor]], images: Tensor) -> float:
    start = time.perf_counter()
    extract(network, images)
    return len(images) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    drawn = np.stack([image for image, _ in phantoms(2 * arguments.images, SIZE, seed=0)])
    real, fake = drawn[::2], blurred(drawn[1::2])
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.weights or Path(folder, "random.safetensors")
        if arguments.weights is None:
            network = PlainInception()
            randomise(network, rgb(np.concatenate([real[:BATCH], fake[:BATCH]])))
            save_weights(network, path)
        plain = plain_network(path)
        fast, exact = load_inception(path, device="cpu"), load_inception(path, exact=True, device="cpu")
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads; images a second, medians of {arguments.blocks}")
    compare_speed(plain, {"ours": fast, "ours, exact": exact}, real[: 2 * BATCH], arguments.blocks)
    compare_distances(plain, {"ours": fast, "ours, exact": exact}, real, fake)


def compare_speed(plain: PlainInception, ours: dict[str, Inception], images: Images, blocks: int) -> None:
    sides = {"plain": (plain, rgb(images))} | {
        name: (network, torch.from_numpy(images).unsqueeze(1)) for name, network in ours.items()
    }
    for network, batch in sides.values():
        extract(network, batch[:BATCH])  # kernels, caches
    rounds = [{name: images_a_second(*side) for name, side in sides.items()} for _ in range(blocks)]
    for name in sides:
        speed = statistics.median(speeds[name] for speeds in rounds)
        ratio = statistics.median(speeds[name] / speeds["plain"] for speeds in rounds)
        print(f"  {name:12} {speed:6.1f} images/s, {ratio:5.2f} times plain", flush=True)


def compare_distances(plain: PlainInception, ours: dict[str, Inception], real: Images, fake: Images) -> None:
    print(f"Frechet distance, {len(real)} phantoms against {len(fake)} others blurred")
    reference, features = (extract(plain, rgb(images)) for images in (real, fake))
    expected = {tap: frechet_distance(real=reference[tap], fake=features[tap]) for tap in TAPS}
    for name, network in ours.items():
        reference, features = (extract(network, torch.from_numpy(images).unsqueeze(1)) for images in (real, fake))
        for tap in TAPS:
            distance = frechet_distance(real=reference[tap], fake=features[tap])
            change = distance / expected[tap] - 1
            print(
                f"  {name:12} tap {tap:>4}: {distance:.6g} for {expected[tap]:.6g}, changed by {change:+.4%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
