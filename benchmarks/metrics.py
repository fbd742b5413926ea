"""Seconds and memory of the metrics at the sizes that a paper needs.

    python benchmarks/metrics.py [--num 10000] [--dim 2048] [--large-num 50000] [--large-dim 64]

Random features stand for those of a network: neither time nor memory depends on what they show. The goals on 2 cores
are 3 s for the Frechet distance, 20 s for precision and recall, and 4 GB for 50,000 against 50,000 images. On a busy
machine set OMP_NUM_THREADS=1 and read the seconds of CPU: threads that wait for each other lose far more than that.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cxrgan.evaluation.metrics import (
    fit_gaussian,
    frechet_between,
    frechet_distance,
    inception_score,
    kernel_distance,
    manifold_metrics,
    precision_recall,
)

Features = NDArray[np.float32]


def make_features(num: int, dim: int, seed: int) -> Features:
    """(num, dim) float32 with the falling spectrum and the far mean that network features have."""
    random = np.random.default_rng(seed)
    scales = np.geomspace(1, 1e-3, dim, dtype=np.float32)
    return random.standard_normal((num, dim), dtype=np.float32) * scales + 0.5


def report(name: str, metric: Callable[[], object]) -> None:
    began, cpu_began = time.perf_counter(), time.process_time()
    metric()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    print(f"{name:48} {seconds:7.2f} s  {cpu_seconds:7.2f} s of CPU", flush=True)


def time_metrics(num: int, dim: int) -> None:
    real, fake = make_features(num, dim, seed=1), make_features(num, dim, seed=2)
    size = f"{num} x {dim}"
    report(f"Frechet distance, {size}", lambda: frechet_distance(real=real, fake=fake))
    report(f"Frechet distance, {dim // 4} x {dim}", lambda: frechet_distance(real=real[: dim // 4], fake=fake))
    gaussians = fit_gaussian(features=real), fit_gaussian(features=fake)
    report(f"Frechet distance from statistics, {dim}", lambda: frechet_between(real=gaussians[0], fake=gaussians[1]))
    report(f"kernel distance, 100 subsets of 1000, {size}", lambda: kernel_distance(real=real, fake=fake))
    report(f"Inception Score, {num} x 1008", lambda: inception_score(logits=make_features(num, 1008, seed=3)))
    report(f"precision and recall, {size}", lambda: precision_recall(real=real, fake=fake))
    report(f"all four manifold metrics, {size}", lambda: manifold_metrics(real=real, fake=fake))


def measure_memory(num: int, dim: int) -> None:
    tracemalloc.start()
    real, fake = make_features(num, dim, seed=1), make_features(num, dim, seed=2)
    report(f"all four manifold metrics, {num} x {dim}", lambda: manifold_metrics(real=real, fake=fake))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{'  the most memory in arrays, features included':48} {peak / 1e9:7.2f} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--large-num", type=int, default=50_000)
    parser.add_argument("--large-dim", type=int, default=64)
    arguments = parser.parse_args()
    time_metrics(arguments.num, arguments.dim)
    measure_memory(arguments.large_num, arguments.large_dim)


if __name__ == "__main__":
    main()
