"""What a GPU has to show: that it computes the same, how much faster than the tutorial, and the six experiments.

    sh benchmarks/gpu.sh [--out gpu.json] [--device cuda]

One JSON: `correct` (relative differences: the device's fp32 step from the CPU's, CUDA graphs from the step itself;
whether a resumed run has the same bytes), `ratios` (seconds a step, taking turns with the tutorial's step, whose
pictures are on the device already), `experiments` (seconds of each whole run, and of what is not training). Images are
phantoms.
`--quick` does it with small networks and few steps, to see that the script works.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import cxrgan
from benchmarks.train_step import PlainLoop
from cxrgan.data.dataset import Dataset
from cxrgan.device import Device, choose_device, choose_precision, full_float32
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import FAST_64, RECIPES
from cxrgan.training.step import Players, Step, new_players

EXPERIMENTS = ("exp1", "exp2", "exp3", "exp4", "exp5", "exp6")
NUM_IMAGES = 5216  # of the reports


def small(config: TrainConfig) -> TrainConfig:
    """The same with networks that a CPU trains at once."""
    return replace(config, model=replace(config.model, ngf=4, ndf=4), batch_size=8)


def batch(config: TrainConfig, number: int, device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (config.batch_size, config.model.image_size, config.model.image_size)
    random = torch.Generator().manual_seed(number)
    real = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    return real.to(device), torch.zeros(config.batch_size, dtype=torch.int64, device=device)


def some_steps(config: TrainConfig, place: Device, num: int, *, eager: bool = False) -> list[Tensor]:
    """The logged values of `num` steps and the tensors of the networks after them, on the CPU in float64."""
    device = torch.device(place)
    players = new_players(config, device)
    step = Step(config, players, device, 1000)
    if eager:
        step._play = step.play
    with full_float32():
        logged = torch.stack([step(number, *batch(config, number, device)) for number in range(1, num + 1)])
    return [value.detach().cpu().double() for value in (logged, *tensors(players))]


def tensors(players: Players) -> list[Tensor]:
    return [value for network in players.networks.values() for value in network.state_dict().values()]


def apart(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest relative difference of a tensor."""
    pairs = [(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True)]
    return max(float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in pairs)


def correctness(device: Device, quick: bool, folder: Path) -> dict[str, object]:
    config = replace(small(FAST_64) if quick else FAST_64, device=device, precision="fp32", penalty_images=8)
    data = cxrgan.prepare("phantom", folder / "few", num=100)
    in_use = replace(config, precision=choose_precision("auto", device), steps=40 if not quick else 4)
    whole, parted = folder / "whole", folder / "parted"
    cxrgan.train(data, whole, recipe=in_use)
    cxrgan.train(data, parted, recipe=replace(in_use, steps=(in_use.steps or 2) // 2))
    cxrgan.load_run(parted).resume(data=data, settings={"steps": in_use.steps})
    names = [file.relative_to(whole) for file in sorted(whole.rglob(f"step-{in_use.steps:06d}/*.safetensors"))]
    assert names
    return {
        "device_from_cpu": apart(some_steps(config, device, 1), some_steps(replace(config, device="cpu"), "cpu", 1)),
        "graphs_from_eager": apart(some_steps(in_use, device, 20), some_steps(in_use, device, 20, eager=True)),
        "resume_is_exact": all((whole / name).read_bytes() == (parted / name).read_bytes() for name in names),
    }


def ratio(size: int, device: Device, quick: bool) -> dict[str, float]:
    """Medians of seconds a step, ours and the tutorial's, taking turns."""
    config = RECIPES["exp3"]
    config = small(config) if quick else config
    config = replace(config, model=replace(config.model, image_size=size))
    config = replace(config, device=device, precision=choose_precision("auto", device))
    place, num_steps, num_blocks = torch.device(device), 2 if quick else 50, 2 if quick else 7
    plain = PlainLoop(config)
    for network in (plain.generator, plain.discriminator):
        network.to(place)
    step, number = Step(config, new_players(config, place), place, 10**6), 0
    real, labels = batch(config, 0, place)
    pictures = (real.float() / 127.5 - 1).unsqueeze(1).repeat(1, 3, 1, 1)

    def tutorial() -> None:
        for _ in range(num_steps):
            plain.step(pictures, torch.randn(config.batch_size, *config.model.latent_shape, device=place))

    def ours() -> None:
        nonlocal number
        logged = []
        for _ in range(num_steps):
            number += 1
            logged.append(step(number, real, labels))
        torch.stack(logged).tolist()

    tutorial()
    ours()
    pairs = [(seconds(tutorial) / num_steps, seconds(ours) / num_steps) for _ in range(num_blocks)]
    slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"tutorial": slow, "ours": fast, "ratio": statistics.median(a / b for a, b in pairs)}


def experiment(name: str, data: Dataset, device: Device, quick: bool, folder: Path) -> dict[str, float]:
    """A whole run: seconds, and the share of them that is not training (samples, plots, checkpoints)."""
    config = replace(RECIPES[name], device=device)
    if quick:
        config = replace(small(config), steps=2, num_samples=4)
    run = folder / name
    took = seconds(lambda: cxrgan.train(data, run, recipe=config))
    last = [row for row in cxrgan.load_run(run).rows() if "loss_d" in row][-1]
    return {
        "seconds": took,
        "not_training": 1 - last["seconds"] / took,
        "loss_d": last["loss_d"],
        "steps": last["step"],
    }


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args(arguments)
    device, quick = choose_device(options.device), options.quick
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    found: dict[str, object] = {"torch": torch.__version__, "device": device, "gpu": gpu, "quick": quick}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["correct"] = correctness(device, quick, folder)
        print(found["correct"], flush=True)
        found["ratios"] = {size: ratio(size, device, quick) for size in (64, 128)}
        print(found["ratios"], flush=True)
        num = 60 if quick else NUM_IMAGES * 5 // 4  # some are held out
        sets = {size: cxrgan.prepare("phantom", folder / str(size), size=size, num=num) for size in (64, 128)}
        runs: dict[str, dict[str, float]] = {}
        found["experiments"] = runs
        for each in EXPERIMENTS:
            runs[each] = experiment(each, sets[RECIPES[each].model.image_size], device, quick, folder)
            print(each, runs[each], flush=True)
            options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
