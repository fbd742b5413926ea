"""How the cost of a training step grows with the image size, the batch, the width of the networks and the data.

    python benchmarks/cost.py [--steps 3] [--json FILE]

FLOPs are counted (`training.flops`) and exact; times are medians of a few steps on this machine, each setting in a
process of its own, whose peak memory is told with that of the libraries. The machine's own limit is the best rate of a
matrix product. Nothing but numbers is made.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from cxrgan.data.dataset import Dataset
from cxrgan.device import choose_device, choose_precision, peak_memory
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import DCGAN, FAST_64, STABLE_64, STABLE_128, STABLE_256, STABLE_512
from cxrgan.training.feed import Feed, Residency
from cxrgan.training.flops import step_flops
from cxrgan.training.step import Step, new_players

BATCH = 32
SIDE = 2048  # of the matrices whose product is the limit
NUM_FED = 200  # batches

SIZES = {f"{config.model.image_size}": config for config in (STABLE_64, STABLE_128, STABLE_256, STABLE_512)}
AXES: dict[str, dict[str, TrainConfig]] = {
    "image size, stable-M in batches of 32": {name: replace(each, batch_size=BATCH) for name, each in SIZES.items()},
    "batch, fast-64": {f"{size}": replace(FAST_64, batch_size=size) for size in (16, 32, 64, 128)},
    "ngf = ndf, fast-64 in batches of 32": {
        f"{width}": replace(FAST_64, batch_size=BATCH, model=replace(FAST_64.model, ngf=width, ndf=width))
        for width in (16, 32, 64, 128)
    },
    "the tutorial's DCGAN, batches of 64": {"64": DCGAN},
}


@dataclass(frozen=True)
class Cost:
    """Of a step of one setting."""

    num_weights: int
    flops: float
    seconds: float
    memory: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="that are timed of each setting, besides a penalty's")
    parser.add_argument("--json", type=Path, help="write all numbers here too")
    options = parser.parse_args()
    device = choose_device("auto")
    precision = choose_precision("auto", device)
    rates = product_rates(precision, device)
    print(f"{device}, {torch.get_num_threads()} threads, steps in {precision}", flush=True)
    for name, rate in rates.items():
        print(f"a {SIDE} x {SIDE} matrix product in {name}: {rate / 1e9:,.0f} GFLOP/s")
    found: dict[str, dict[str, Cost]] = {}
    for axis, settings in AXES.items():
        print(f"\n| {axis} | weights | GFLOP a step | seconds a step | GFLOP/s | of the limit | peak memory |")
        print("| --- " * 7 + "|", flush=True)
        for name, config in settings.items():
            cost = alone(config, options.steps)
            found.setdefault(axis, {})[name] = cost
            rate = cost.flops / cost.seconds
            print(
                f"| {name} | {cost.num_weights / 1e6:.2f} M | {cost.flops / 1e9:,.0f} | {cost.seconds:.2f} | "
                f"{rate / 1e9:,.0f} | {rate / rates[precision]:.0%} | {cost.memory / 1e9:.2f} GB |",
                flush=True,
            )
    print("\n| images of 64 pixels | held, ms a batch of 64 | read, ms a batch of 64 |\n| --- | --- | --- |")
    fed = {num: feed_seconds(num) for num in (1_000, 10_000, 100_000)}
    for num, (held, read) in fed.items():
        print(f"| {num:,} | {1000 * held:.2f} | {1000 * read:.2f} |", flush=True)
    paper = on_paper()
    print("\n| on paper, batches of 32 | weights | GFLOP a step |\n| --- | --- | --- |")
    for name, (weights, flops) in paper.items():
        print(f"| {name} | {weights / 1e6:.2f} M | {flops / 1e9:,.0f} |")
    if options.json:
        costs = {axis: {name: vars(cost) for name, cost in each.items()} for axis, each in found.items()}
        values: dict[str, object] = {"device": device, "precision": precision, "threads": torch.get_num_threads()}
        values |= {"product_rates": rates, "steps": costs, "feed_seconds": fed, "on_paper": paper}
        options.json.write_text(json.dumps(values, indent=2) + "\n")


def product_rates(precision: str, device: str) -> dict[str, float]:
    """Those in fp32 and in the precision of the steps; a CPU without units for bf16 would need minutes for it."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {name: product_rate(types[name], device) for name in dict.fromkeys(("fp32", precision))}


def product_rate(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of the best of ten products of large matrices: what a step could reach at most."""
    one, other = (torch.randn(SIDE, SIDE).to(device, dtype) for _ in range(2))
    return 2 * SIDE**3 / min(timed(lambda: (one @ other)[0, 0].item()) for _ in range(10))


def alone(config: TrainConfig, num_steps: int) -> Cost:
    """`cost_of` in a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(cost_of, config, num_steps).result()


def cost_of(config: TrainConfig, num_steps: int) -> Cost:
    """A step after a first one: the median of `num_steps`, and of penalties as many as there are in a run."""
    device = choose_device("auto")
    config = replace(config, device=device, precision=choose_precision("auto", device))
    step = Step(config, new_players(config, torch.device(device)), torch.device(device), num_steps=10**6)
    shape = (config.batch_size, config.model.image_size, config.model.image_size)
    real = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)
    labels = torch.zeros(config.batch_size, dtype=torch.int64)

    def seconds(number: int) -> float:
        return timed(lambda: step(number, real, labels).tolist())

    seconds(1)
    plain = statistics.median(seconds(1) for _ in range(num_steps))
    each = plain
    if config.gradient_penalty:
        every = config.penalty_every
        each = ((every - 1) * plain + statistics.median(seconds(every) for _ in range(2))) / every
    return Cost(config.model.num_weights, step_flops(config), each, peak_memory(device))


def feed_seconds(num: int) -> tuple[float, float]:
    """Seconds that a step waits for its images out of `num`, held in memory and read from the disk's cache."""
    device = choose_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, np.random.default_rng(0).integers(0, 255, (num, 64, 64), dtype=np.uint8))
        images = np.asarray(np.load(file, mmap_mode="r"))
        dataset = Dataset(file.parent, images, np.zeros(num, dtype=np.int64), (), "random", "train", "", "")
        feeds = [Feed(replace(DCGAN, device=device), dataset, Residency(device, 1, free)) for free in (4, 0)]
        held, read = (
            statistics.median(timed(lambda step=step, feed=feed: feed(step)) for step in range(1, NUM_FED))  # type: ignore[misc]
            for feed in feeds
        )
    return held, read


def on_paper() -> dict[str, tuple[int, float]]:
    """Weights and FLOPs of networks that cxrgan does not train, or that are for larger machines."""
    wide = replace(STABLE_256, model=replace(STABLE_256.model, ngf=64, ndf=64))
    with patch("cxrgan.models.config.check_image_size"):  # 1024 pixels: counted, never built
        large = replace(STABLE_512, model=replace(STABLE_512.model, image_size=1024, ngf=4, ndf=4))
        settings = {"256 pixels, ngf = ndf = 16": STABLE_256, "256 pixels, ngf = ndf = 64": wide}
        settings["1024 pixels, ngf = ndf = 4"] = large
        return {name: (each.model.num_weights, step_flops(each)) for name, each in settings.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    since = time.perf_counter()
    work()
    return time.perf_counter() - since


if __name__ == "__main__":
    main()
