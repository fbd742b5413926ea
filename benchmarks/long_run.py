"""What a long run costs: a grid (log, plots, doctor) and a report by the length of the log, and memory by steps.

    python benchmarks/long_run.py [--lines 1000 100000 1000000] [--steps 10000]

The logs are made up; the steps are those of a tiny network with everything that `cxrgan train` writes and a grid every
100. Each measurement is a process of its own, and its seconds are those of the CPU.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.console import ProgressBar
from cxrgan.data.dataset import load_dataset
from cxrgan.data.prepare import prepare
from cxrgan.models.config import ModelConfig
from cxrgan.recipes.named import DCGAN
from cxrgan.reports.figures import PLOTTED, plot_losses, plot_metrics
from cxrgan.reports.page import write_report
from cxrgan.runs.folder import RunFolder, RunInfo
from cxrgan.runs.log import History, LogReader, Row, append_rows, cut_after
from cxrgan.training.doctor.diagnose import diagnose, diagnose_run, write_diagnosis
from cxrgan.training.doctor.readings import Readings
from cxrgan.training.loop import Observer, start, train
from cxrgan.training.observers import Doctor, LiveLine, Plots
from cxrgan.training.step import LOGGED

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = 100  # steps between two grids
TINY = replace(DCGAN, model=ModelConfig(image_size=32, latent_channels=8, ngf=4, ndf=4), batch_size=8, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="*", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=10_000)
    arguments = parser.parse_args()
    for lines in arguments.lines:
        for measurement in (grid, resume, report, doctor):
            print(f"{lines:>9,} lines, {measurement.__name__}: {_alone(measurement, lines)}", flush=True)
    if arguments.steps:
        print(f"memory by steps: {_alone(memory, arguments.steps)}")


def _alone(measurement: Callable[[int], str], number: int) -> str:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measurement, number).result()


def grid(lines: int) -> str:
    """Seconds of the grid that follows a log of so many lines, the median of five."""
    with tempfile.TemporaryDirectory() as name:
        folder = _run(Path(name), lines)
        readings, history = Readings(), History(PLOTTED)
        log = LogReader(folder.metrics_file, readings.add, history.add)
        log.read_on()
        seconds = []
        for number in range(5):
            append_rows(folder.metrics_file, _rows(lines + number * GRID, GRID))
            began = time.process_time()
            log.read_on()
            read = time.process_time()
            write_diagnosis(folder.diagnosis_file, diagnose(readings))
            diagnosed = time.process_time()
            plot_losses(history, folder.path / "losses.png", relativistic=False)
            plot_metrics(history, folder.path / "metrics.png")
            seconds.append((read - began, diagnosed - read, time.process_time() - diagnosed))
    names = ("log", "doctor", "plots")
    medians = [statistics.median(column) for column in zip(*seconds, strict=True)]
    each = ", ".join(f"{name} {value:.4f}" for name, value in zip(names, medians, strict=True))
    return f"{sum(medians):.2f} s ({each})"


def resume(lines: int) -> str:
    """Seconds in which a resumed run goes through its log."""

    def go_on(folder: RunFolder) -> None:
        cut_after(folder.metrics_file, lines)

    return _measured(lines, go_on)


def report(lines: int) -> str:
    """Seconds and memory of `cxrgan report`."""
    return _measured(lines, lambda folder: write_report(folder.path, folder.path / "report.html", without_real=True))


def doctor(lines: int) -> str:
    """Seconds and memory of `cxrgan doctor`."""
    return _measured(lines, diagnose_run)


def _measured(lines: int, work: Callable[[RunFolder], object]) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = _run(Path(name), lines)
        before, began = _peak(), time.process_time()
        work(folder)
        return f"{time.process_time() - began:.2f} s, {_peak() - before:.0f} MB more"


def memory(steps: int) -> str:
    """Resident memory while a run trains, at ten places."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        prepare("phantom", data, size=32, num=100)
        config = replace(TINY, steps=steps, sample_every=GRID, checkpoint_every=10 * GRID, num_samples=16)
        dataset = load_dataset(data)
        folder = start(config, dataset, Path(name) / "run", recipe="tiny", data=str(data))
        readings, history, watch = Readings(), History(PLOTTED), Memory(steps // 10)
        log = LogReader(folder.metrics_file, readings.add, history.add)
        with ProgressBar("tiny", steps) as bar:
            line = LiveLine(bar, relativistic=False)
            plots = Plots(folder, log, history, relativistic=False)
            observers: list[Observer] = [line, Doctor(folder, log, readings, line), plots, watch]
            train(folder, folder.read_info().config, dataset, observers)
    return ", ".join(f"{step} {size:.0f} MB" for step, size in watch.sizes.items())


class Memory:
    """Notes the resident memory every so many steps."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.sizes: dict[int, float] = {}

    def on_rows(self, rows: Sequence[Row]) -> None:
        if rows[-1]["step"] % self._every == 0:
            self.sizes[rows[-1]["step"]] = _resident()

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        """Nothing to note."""


def _run(path: Path, lines: int) -> RunFolder:
    folder = RunFolder(path / "run")
    folder.create(RunInfo("dcgan", replace(TINY, steps=lines), "data", "", 100, {}))
    for first in range(0, lines, 10_000):
        append_rows(folder.metrics_file, _rows(first, min(10_000, lines - first)))
    return folder


def _rows(first: int, num: int) -> Iterator[Row]:
    """Lines of the steps after `first`, with a probe at each grid and a measurement at each tenth."""
    random = np.random.default_rng(first)
    values: NDArray[np.float64] = random.uniform(0.2, 2, (num, len(LOGGED)))
    for step, row in enumerate(values.tolist(), start=first + 1):
        where = {"step": step, "images_seen": 64 * step, "seconds": step / 2}
        yield where | dict(zip(LOGGED, row, strict=True))
        if step % GRID == 0:
            yield where | {
                "diversity": 0.9,
                "repeats": 0.0,
                "grain": 1.0,
                "d_train": 1,
                "d_held_out": 1,
                "d_samples": 0,
            }
        if step % (10 * GRID) == 0:
            ruler = {"features": "domain", "n_real": 5190, "n_fake": 1000}
            yield where | {"frechet_distance": 20.0, "frechet_floor": 1.8, "precision": 0.7, "recall": 0.5} | ruler


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
