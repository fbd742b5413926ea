"""A length of time -> the steps that fit into it on this machine, found by timing the first ones."""

import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxrgan.console import duration
from cxrgan.data.dataset import Dataset
from cxrgan.device import full_float32
from cxrgan.errors import UserError
from cxrgan.fields import shown
from cxrgan.generation.latents import render, seed_labels, seed_latents
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.checkpoint import Progress, save_checkpoint
from cxrgan.training.distributed import ALONE, Processes
from cxrgan.training.feed import Feed, residency
from cxrgan.training.loop import Evaluator, epoch_steps
from cxrgan.training.step import Players, Step, new_players

WARM_UP = 2  # steps before the clock starts: memory is allocated, kernels are chosen
UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
LEAST_SECONDS = 10


@dataclass(frozen=True)
class Plan:
    """What fits into the time."""

    seconds: float
    """The time that was asked for."""
    steps: int
    step_seconds: float
    """Of one step, the share of everything else included: grids, probes, checkpoints, measurements."""
    disk: int
    """Bytes that the run folder will have."""

    def __str__(self) -> str:
        ends = time.strftime("%H:%M", time.localtime(time.time() + self.steps * self.step_seconds))
        return (
            f"{self.steps:,} steps of {self.step_seconds:.2f} s fit into {duration(self.seconds)}; "
            f"it will end at about {ends} and take {self.disk / 1e6:,.0f} MB of disk"
        )


def seconds_of(text: str) -> float:
    """`2h`, `90min`, `1h30m`, `45 s` -> seconds; UserError for what is no time, or less than 10 seconds."""
    number = r"\d+(?:\.\d+)?"
    parts = re.findall(rf"({number})\s*(h|min|m|s)\s*", text)
    if not parts or not re.fullmatch(rf"\s*(?:{number}\s*(?:h|min|m|s)\s*)+", text):
        raise UserError(f"the time is {shown(text)}, but must be something like 2h, 90min or 1h30m")
    seconds = sum(float(value) * UNITS[unit] for value, unit in parts)
    if not LEAST_SECONDS <= seconds < 1e9:
        raise UserError(f"the time is {shown(text)}, but must be at least {LEAST_SECONDS} seconds and below 30 years")
    return seconds


@dataclass(frozen=True)
class Timing:
    """What the first steps of a run took, and what it writes."""

    step: float
    """Seconds of a step alone."""
    each: float
    """Seconds of a step, the share of everything else included."""
    checkpoint: int
    """Bytes of a checkpoint."""


def plan(
    config: TrainConfig,
    dataset: Dataset,
    seconds: float,
    evaluator: Evaluator | None = None,
    processes: Processes = ALONE,
) -> Plan:
    """How many steps fit into a time, by `time_run`; arguments as there."""
    timing = time_run(config, dataset, evaluator, processes)
    steps = max(1, int(seconds / timing.each))
    return Plan(seconds, steps, timing.each, disk_of(config, len(dataset), steps, timing.checkpoint))


@full_float32()
def time_run(
    config: TrainConfig, dataset: Dataset, evaluator: Evaluator | None = None, processes: Processes = ALONE
) -> Timing:
    """Time the first steps, a grid, a checkpoint and a measurement of a run, and throw them away.

    `config` has its automatic choices settled, and the classes of `dataset` where it is conditional. Each of
    `processes` calls this; what the first one measures counts.
    """
    device = torch.device(config.device)
    players = new_players(config, device, processes)
    step = _timed_steps(config, players, dataset, device, processes)
    epoch = epoch_steps(config, len(dataset))
    grid = _timed(lambda: _draw(config, players, config.num_samples))
    each = step + grid / (config.sample_every or epoch)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "step-000001"
        saved = _timed(lambda: _save(config, players, place))
        checkpoint = sum(file.stat().st_size for file in place.iterdir())
    each += saved / (config.checkpoint_every or epoch)
    if evaluator and config.evaluate_every:
        measured = _timed(lambda: evaluator(_draw(config, players, config.num_evaluated)))
        each += measured / config.evaluate_every
    return Timing(step, processes.of_first(each), checkpoint)


def disk_of(config: TrainConfig, num_images: int, steps: int, checkpoint: int) -> int:
    """Bytes of the folder of a run of so many steps: checkpoints that are kept, grids of samples, the log."""
    grids = steps // (config.sample_every or epoch_steps(config, num_images)) + 1
    pictures = grids * config.num_samples * config.model.image_size**2 // 2  # a PNG of grey noise has half
    return (config.keep_checkpoints + 1) * checkpoint + pictures + 250 * steps  # 250 bytes a line of the log


def check_disk(plan: Plan, folder: Path) -> None:
    """UserError where the disk below `folder` has no room for the run."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < plan.disk:
        raise UserError(
            f"the run will take {plan.disk / 1e6:,.0f} MB, but {there} has {free / 1e6:,.0f} MB free; make room, name "
            "another place with --run, or give a larger --sample-every"
        )


def _timed_steps(
    config: TrainConfig, players: Players, dataset: Dataset, device: torch.device, processes: Processes
) -> float:
    """Seconds a step, over as many as lead through one gradient penalty."""
    step = Step(config, players, device, num_steps=10**9, processes=processes)
    feed = Feed(config, dataset, residency(dataset, config.device), processes)
    num_timed = max(4, config.penalty_every if config.gradient_penalty else 4)
    since = 0.0
    for number in range(1, WARM_UP + num_timed + 1):
        if number == WARM_UP + 1:
            since = time.monotonic()
        step(number, *feed(number)).tolist()  # waits for the device
    return (time.monotonic() - since) / num_timed


def _draw(config: TrainConfig, players: Players, num: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    seeds = range(num)
    classes = [1] * config.model.num_classes
    return render(players.sampler, seed_latents(config.model, seeds, seed_labels(classes, seeds))).numpy()


def _save(config: TrainConfig, players: Players, place: Path) -> None:
    save_checkpoint(
        place, networks=players.networks, optimizers=players.optimizers, config=config, progress=Progress(1, 0.0)
    )


def _timed(work: Callable[[], object]) -> float:
    since = time.monotonic()
    work()
    return time.monotonic() - since
