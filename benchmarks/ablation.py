"""What each part of the stable recipe is worth: the recipe with one part changed, all for the same time.

    python benchmarks/ablation.py --data data/cxr64 --out ablation [--seconds 250] [--seeds 0 1] [--only NAME]

Every variant trains in a process of its own for as many steps as fit into the time, which its first steps tell, and is
then measured with 2000 images against all training images. Results go to OUT/results.jsonl, a line a run; runs that are
there are not repeated, and two of these commands with different --seeds may share OUT. Then the table is printed.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cxrgan.data.dataset import batch_indices, load_dataset
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import FAST_64
from cxrgan.training.loop import settled, start, train
from cxrgan.training.step import Step, new_players

NUM_EVALUATED = 2000
TIMED_STEPS = 12

VARIANTS: dict[str, TrainConfig] = {
    "fast-64": FAST_64,
    "no augmentation": replace(FAST_64, augment=0.0),
    "no gradient penalty": replace(FAST_64, gradient_penalty=0.0),
    "penalty times 4": replace(FAST_64, gradient_penalty=4 * FAST_64.gradient_penalty),
    "cross-entropy": replace(FAST_64, loss="non-saturating"),
    "DCGAN's networks": replace(FAST_64, model=replace(FAST_64.model, networks="dcgan")),
    "DCGAN's Adam (0.5, 0.999)": replace(FAST_64, beta1=0.5, beta2=0.999),
    "lr 2e-4": replace(FAST_64, lr=2e-4),
    "lr 1e-3": replace(FAST_64, lr=1e-3),
    "batch 32": replace(FAST_64, batch_size=32),
    "no average": replace(FAST_64, ema_halflife=0),
    "by class": replace(FAST_64, conditional=True),
}


def seconds_a_step(config: TrainConfig, data: Path) -> float:
    """Median of the first steps, the first two left out."""
    dataset = load_dataset(data)
    step = Step(config, new_players(config, torch.device("cpu")), torch.device("cpu"), 1000)
    labels = torch.zeros(config.batch_size, dtype=torch.int64)
    times = []
    for number in range(1, TIMED_STEPS + 1):
        indices = batch_indices(number, num_images=len(dataset.images), batch_size=config.batch_size, seed=0)
        began = time.perf_counter()
        step(number, torch.from_numpy(dataset.images[indices]), labels)
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def run(name: str, seed: int, data: Path, seconds: float, threads: int, results: Path) -> None:
    """Train and measure one variant, and add its line to the results."""
    from cxrgan.evaluation.during import make_evaluator
    from cxrgan.evaluation.rulers.domain import load_domain

    torch.set_num_threads(threads)
    config = settled(replace(VARIANTS[name], seed=seed, device="cpu"))
    steps = max(1, round(seconds / seconds_a_step(config, data)))
    config = replace(config, steps=steps, evaluate_every=steps, num_evaluated=NUM_EVALUATED)
    dataset = load_dataset(data)
    evaluator = make_evaluator(dataset.images, [load_domain()])
    with tempfile.TemporaryDirectory() as place:
        folder = start(config, dataset, Path(place, "run"), recipe=name, data=str(data))
        train(folder, folder.read_info().config, dataset, evaluator=evaluator)
        (row,) = (row for row in folder.rows() if "frechet_distance" in row)
    line = {"variant": name, "seed": seed, "threads": threads, **row}
    with results.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def table(lines: list[dict[str, Any]]) -> str:
    """Means over the seeds, Markdown."""
    head = "| variant | seeds | steps | seconds | Frechet distance | over the floor | precision | recall |"
    rows = [head, "|" + " --- |" * 8]
    for name in VARIANTS:
        of_name = [line for line in lines if line["variant"] == name]
        if not of_name:
            continue

        def mean(key: str, of_name: list[dict[str, Any]] = of_name) -> float:
            return float(statistics.mean(line[key] for line in of_name))

        distances = ", ".join(f"{line['frechet_distance']:.0f}" for line in of_name)
        ratio = mean("frechet_distance") / mean("frechet_floor")
        rows.append(
            f"| {name} | {len(of_name)} | {mean('step'):.0f} | {mean('seconds'):.0f} | {distances} | {ratio:.0f} | "
            f"{mean('precision'):.2f} | {mean('recall'):.3f} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=250)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=VARIANTS, nargs="+", default=list(VARIANTS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.jsonl"
    results.touch()

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in results.read_text().splitlines()]

    for seed in arguments.seeds:
        for name in arguments.only:
            if not any(line["variant"] == name and line["seed"] == seed for line in lines()):
                arguments_of_run = (name, seed, arguments.data, arguments.seconds, arguments.threads, results)
                process = multiprocessing.get_context("spawn").Process(target=run, args=arguments_of_run)
                process.start()
                process.join()
    print(table(lines()))


if __name__ == "__main__":
    main()
