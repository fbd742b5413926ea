"""How much faster a training step is than the same step as the common tutorial writes it, and how far from the limit.

    python -m benchmarks.train_step [--sizes 64 128] [--blocks 5] [--precision fp32]
    ONEDNN_MAX_CPU_ISA=AVX512_CORE python -m benchmarks.train_step     # as on a CPU without bf16 units

Both sides train the same networks (3 channels, ngf = ndf = 64, batch 64) on the same pictures, on this machine, each
in a process of its own, taking turns. The tutorial's side is float32 in the default memory format, reads JPEGs through
Pillow with a DataLoader of two workers, and fetches its losses every step; ours is the loop of `cxrgan train`. Each
side's share is of the best rate of a large matrix product in its own precision, both counted by the FLOPs that our step
would need with plain convolutions. Beside the ratio stands that of a step at that rate. Then the stable recipes' steps
against exp3's.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.cost import product_rates
from cxrgan.data.dataset import batch_indices
from cxrgan.data.phantom import CLASSES, phantom
from cxrgan.device import Precision, choose_precision
from cxrgan.models.config import ModelConfig
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import DCGAN, EXP3, FAST_64, STABLE_128
from cxrgan.training.flops import step_flops
from cxrgan.training.step import Step, new_players

_block: Callable[[], None]  # of this process

NUM_IMAGES = 512
PICTURE_SIZE = 224
STEPS_IN_A_BLOCK = 3
STABLE = {
    "exp3": EXP3,
    "fast-64": FAST_64,
    "stable-128 without detail": replace(STABLE_128, model=replace(STABLE_128.model, detail=0.0)),
    "stable-128": STABLE_128,
}


class PlainLoop:
    """The tutorial's networks and step: binary cross-entropy on probabilities, three passes, two of them backward."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.generator, self.discriminator = plain_generator(config.model), plain_discriminator(config.model)
        betas = (config.beta1, config.beta2)
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), lr=config.lr, betas=betas)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), lr=config.lr, betas=betas)
        self.criterion = nn.BCELoss()

    def step(self, real: Tensor, noise: Tensor) -> tuple[float, float, float, float]:
        """Real images (B, C, M, M) in [-1, 1] and latents -> the two losses, D(x) and D(G(z))."""
        label = torch.full((len(real),), 1.0, device=real.device)
        self.discriminator.zero_grad()
        output = self.discriminator(real).view(-1)
        loss_real = self.criterion(output, label)
        loss_real.backward()
        d_real = output.mean().item()

        fake = self.generator(noise)
        label.fill_(0.0)
        output = self.discriminator(fake.detach()).view(-1)
        loss_fake = self.criterion(output, label)
        loss_fake.backward()
        d_fake = output.mean().item()
        self.optimizer_d.step()

        self.generator.zero_grad()
        label.fill_(1.0)
        loss_g = self.criterion(self.discriminator(fake).view(-1), label)
        loss_g.backward()
        self.optimizer_g.step()
        return (loss_real + loss_fake).item(), loss_g.item(), d_real, d_fake


def plain_generator(config: ModelConfig) -> nn.Sequential:
    widths = [config.ngf * 2**k for k in reversed(range(config.num_doublings))]
    layers: list[nn.Module] = [nn.ConvTranspose2d(config.latent_channels, widths[0], 4, 1, 0, bias=False)]
    for wide, narrow in pairwise([*widths, config.channels]):
        layers += [nn.BatchNorm2d(wide), nn.ReLU(True), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh())


def plain_discriminator(config: ModelConfig) -> nn.Sequential:
    widths = [config.ndf * 2**k for k in range(config.image_size.bit_length() - 3)]
    layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for narrow, wide in pairwise(widths):
        layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid())


class Pictures(torch.utils.data.Dataset[Tensor]):
    """JPEG files -> (3, M, M) float in [-1, 1], decoded and resized each time, as the tutorial's ImageFolder does."""

    def __init__(self, folder: Path, size: int) -> None:
        self.files, self.size = sorted(folder.glob("*.jpeg")), size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.files[index]) as image:
            small = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)


def plain_side(config: TrainConfig, folder: Path) -> Callable[[], None]:
    loop = PlainLoop(config)
    loader = torch.utils.data.DataLoader(
        Pictures(folder, config.model.image_size),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )

    def endless() -> Iterator[Tensor]:
        while True:
            yield from loader

    batches = endless()

    def block() -> None:
        for _ in range(STEPS_IN_A_BLOCK):
            loop.step(next(batches), torch.randn(config.batch_size, *config.model.latent_shape))

    return block


def our_side(config: TrainConfig, folder: Path, num_steps: int = STEPS_IN_A_BLOCK) -> Callable[[], None]:
    size = config.model.image_size
    pictures = [Image.open(file).convert("L").resize((size, size)) for file in sorted(folder.glob("*.jpeg"))]
    device = torch.device(config.device)
    images = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).to(device)
    step = Step(config, new_players(config, device), device, 1000)
    labels = torch.zeros(config.batch_size, dtype=torch.int64)
    number = 0

    def block() -> None:
        nonlocal number
        logged = []
        for _ in range(num_steps):
            indices = batch_indices(number, num_images=len(images), batch_size=config.batch_size, seed=0)
            number += 1
            logged.append(step(number, images[torch.from_numpy(indices).to(device)], labels))
        torch.stack(logged).tolist()

    return block


def seconds_of(block: Callable[[], None]) -> float:
    began = time.perf_counter()
    block()
    return time.perf_counter() - began


@contextlib.contextmanager
def alone(make: Callable[..., Callable[[], None]], *arguments: object) -> Iterator[Callable[[], None]]:
    """The block that `make` makes, in a process of its own: how ours treats memory would speed up the other too."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(_make, make, *arguments).result()
        yield lambda: pool.submit(_run).result()


def _make(make: Callable[..., Callable[[], None]], *arguments: object) -> None:
    global _block
    _block = make(*arguments)


def _run() -> None:
    _block()


def taking_turns(blocks: Sequence[Callable[[], None]], num: int) -> list[list[float]]:
    """Seconds of each block in each of `num` rounds, after one that is not counted: workers, caches, kernels."""
    for block in blocks:
        block()
    return [[seconds_of(block) for block in blocks] for _ in range(num)]


def ratio(rounds: Sequence[Sequence[float]], one: int, other: int) -> float:
    """Of two blocks' seconds: the median over the rounds."""
    return statistics.median(seconds[one] / seconds[other] for seconds in rounds)


def against_the_tutorial(size: int, precision: Precision, folder: Path, num: int, rates: Mapping[str, float]) -> str:
    config = replace(DCGAN, model=ModelConfig(image_size=size, channels=3), device="cpu", precision=precision)
    with alone(plain_side, config, folder) as theirs, alone(our_side, config, folder) as ours_alone:
        rounds = taking_turns([theirs, ours_alone], num)
    plain, ours = (statistics.median(column) / STEPS_IN_A_BLOCK for column in zip(*rounds, strict=True))
    flops = step_flops(config)
    shares = flops / plain / rates["fp32"], flops / ours / rates[precision]
    return (
        f"{size} px, {flops / 1e9:,.0f} GFLOP: plain {plain:.3f} s a step ({shares[0]:.0%} of the fp32 product's "
        f"rate), ours {ours:.3f} s ({shares[1]:.0%} of the {precision} product's), "
        f"ratio {ratio(rounds, 0, 1):.2f}, at that rate {plain * rates[precision] / flops:.1f}"
    )


def stable_against_exp3(precision: Precision, folder: Path, num: int) -> list[str]:
    """Over a whole period of the gradient penalty."""
    configs = [replace(each, device="cpu", precision=precision) for each in STABLE.values()]
    period = FAST_64.penalty_every
    rounds = taking_turns([our_side(config, folder, period) for config in configs], num)
    return [
        f"{name}: {statistics.median(seconds[index] for seconds in rounds) / period:.3f} s a step, "
        f"{ratio(rounds, index, 0):.2f} of exp3's, with {step_flops(config) / step_flops(EXP3):.2f} of its FLOPs"
        for index, (name, config) in enumerate(zip(STABLE, configs, strict=True))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    arguments = parser.parse_args()
    precision = choose_precision(arguments.precision, "cpu")
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "not capped")
    rates = product_rates(precision, "cpu")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, instructions {isa}")
    print(", ".join(f"a large {name} product {rate / 1e12:.2f} TFLOP/s" for name, rate in rates.items()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(NUM_IMAGES):
            picture = Image.fromarray(phantom(0, index, PICTURE_SIZE, CLASSES[index % 2]))
            picture.convert("RGB").save(folder / f"{index:04d}.jpeg", quality=90)
        for size in arguments.sizes:
            print(against_the_tutorial(size, precision, folder, arguments.blocks, rates), flush=True)
        print("\n".join(stable_against_exp3(precision, folder, arguments.blocks)))


if __name__ == "__main__":
    main()
