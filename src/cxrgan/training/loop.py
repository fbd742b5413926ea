"""The training loop, from a configuration and a dataset to a run folder; read `train` from top to bottom."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from cxrgan.console import note, warn
from cxrgan.data.dataset import Dataset, load_held_out
from cxrgan.device import can_compile, choose_device, choose_precision, full_float32
from cxrgan.errors import RunError, UserError
from cxrgan.generation.latents import render, seed_labels, seed_latents
from cxrgan.images import SYNTHETIC, grid, save_png
from cxrgan.lines import pasted
from cxrgan.models.stable import BatchSpread
from cxrgan.recipes.config import TrainConfig, check_same
from cxrgan.runs.checkpoint import Progress, load_checkpoint, save_checkpoint
from cxrgan.runs.folder import RunFolder, RunInfo
from cxrgan.runs.log import Best, Row, append_rows, cut_after
from cxrgan.training.adapt import ADAPT_EVERY, adapted, overfitting
from cxrgan.training.distributed import ALONE, PeerLost, Processes, check_together
from cxrgan.training.feed import Feed, residency
from cxrgan.training.inherit import ancestor_of, inherit
from cxrgan.training.probe import Opinion, opinion, sample_health
from cxrgan.training.step import LOGGED, LOSSES, Players, Step, new_players

if TYPE_CHECKING:
    from numpy.typing import NDArray


NUM_JUDGED = 256  # images of each kind that D judges: a whole number of its batches

Evaluator = Callable[["NDArray[np.uint8]"], Row]
"""Generated images (N, M, M) uint8 -> measurements, `runs.log.BEST_BY` among them."""


LEAST_MEASURED = 6  # training images: density and coverage look at an image's five neighbours


class Observer(Protocol):
    """Something that watches a run: a progress bar, a plot, TensorBoard."""

    def on_rows(self, rows: Sequence[Row]) -> None:
        """New lines of metrics.jsonl."""

    def on_samples(self, step: int, images: "NDArray[np.uint8]") -> None:
        """(num_samples, M, M) uint8 images from the fixed latents after `step`."""


def start(
    config: TrainConfig,
    dataset: Dataset,
    path: Path,
    *,
    recipe: str,
    data: str,
    start_from: Path | None = None,
    processes: Processes = ALONE,
) -> RunFolder:
    """Make the run folder of a new run, with every automatic choice resolved.

    `recipe` and `data` are the names stored in config.json; `start_from` is a run folder whose weights the new run
    begins with; `processes` is who will train it, of whom one makes the folder. UserError if the data or that run do
    not fit the configuration, or the folder is not empty.
    """
    folder, config = RunFolder(path), resolved(config, dataset)
    classes = class_counts(dataset) if config.conditional else {}
    source = RunFolder(start_from) if start_from else None
    if config.learning_layers and not source:
        raise UserError("with --learning-layers, deep layers stay as they are; say with --start-from whose they are")
    ancestor = ancestor_of(source, config, classes) if source else None
    folder.create(
        RunInfo(
            recipe=recipe,
            config=config,
            data=data,
            data_sha256=dataset.sha256,
            num_images=len(dataset.images),
            classes=classes,
            data_identity=dataset.identity,
            licence=dataset.licence,
            threads=torch.get_num_threads(),
            processes=processes.size,
            started_from=ancestor,
        )
    )
    if source and ancestor:
        with _told_what_is_left(folder), folder.locked():
            inherit(folder, config, source, ancestor)
    return folder


def resolved(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """`config` as a run of `dataset` on this machine has it: classes, device, precision; UserError if it cannot be."""
    _check_fits(config, dataset)
    if config.augment_target:
        _check_adapts(config, load_held_out(dataset.path))
    if config.conditional:
        config = replace(config, model=replace(config.model, num_classes=len(dataset.classes)))
    config = settled(config)
    _try_to_build(config)
    return config


def _try_to_build(config: TrainConfig) -> None:
    """UserError if the machine lacks the memory for the networks, before a run folder is made."""
    try:
        new_players(config, torch.device(config.device))
    except (MemoryError, RuntimeError) as error:  # torch's, on the CPU, is a plain RuntimeError
        raise UserError(
            f"cannot build the networks of {config.model.num_weights:,} weights on {config.device}: "
            f"{str(error).splitlines()[0]}; make them smaller with --ngf and --ndf, or close other programs"
        ) from error


def epoch_steps(config: TrainConfig, num_images: int) -> int:
    """Steps of an epoch, the last batch of which may be one that the next epoch completes."""
    return math.ceil(num_images / config.batch_size)


def class_counts(dataset: Dataset) -> dict[str, int]:
    """Number of images of each class, in the order of the labels."""
    return {name: int((dataset.labels == label).sum()) for label, name in enumerate(dataset.classes)}


def settled(config: TrainConfig) -> TrainConfig:
    """`config` with every automatic choice made for this machine; UserError if it lacks the requested device."""
    device = choose_device(config.device)
    if device == "mps":
        note("On mps: no bf16, no torch.compile, no CUDA graphs, no several processes; nothing was tried there")
    if config.compile and not can_compile(device):
        needs = "has not been tried on mps" if device == "mps" else "needs a C++ compiler (on a GPU: Triton)"
        found = "" if device == "mps" else ", and none was found"
        warn(f"torch.compile {needs}{found}; continuing without it")
        config = replace(config, compile=False)
    return replace(config, device=device, precision=choose_precision(config.precision, device))


def train(
    folder: RunFolder,
    config: TrainConfig,
    dataset: Dataset,
    observers: Sequence[Observer] = (),
    evaluator: Evaluator | None = None,
    held_out: Dataset | None = None,
    processes: Processes = ALONE,
) -> int:
    """Train the run in `folder` from its newest checkpoint, or from the start, to the last step.

    `config` is that of the folder, or differs in what a run may change (`FREE_TO_CHANGE`). Where it has
    `evaluate_every`, `evaluator` measures the images of the first seeds; the best step keeps its checkpoint. Of
    `held_out`, images of the same kind that are not trained on, D's opinion is noted, which tells overfitting. Each of
    `processes` calls this; all train, the first also keeps the run and measures, and `observers` are for it alone.
    Returns the last step done: an earlier one when SIGINT or SIGTERM came, which is answered by a checkpoint.
    Raises RunError when a number is no longer finite or the disk does not take a file.
    """
    info, config, keeps = folder.read_info(), settled(config), processes.is_first
    lock = folder.locked() if keeps else contextlib.nullcontext()
    with _told_what_is_left(folder), lock, full_float32(), _stop_requests(processes) as stop:
        check_same(info.config, config, where=str(folder.path))
        _check_same_data(info, dataset)
        _check_fits(config, dataset)
        _check_adapts(config, held_out)
        check_together(config, processes)

        device = torch.device(config.device)
        num_images = len(dataset.images)
        num_steps = config.num_steps(num_images)
        epoch = epoch_steps(config, num_images)
        sample_every, checkpoint_every = config.sample_every or epoch, config.checkpoint_every or epoch

        players = new_players(config, device, processes)
        processes.wait()  # for the first, which may still be writing the checkpoint of an earlier part
        progress = _restore(folder, info, players, config)
        _check_same_start(progress.step, folder, processes)
        if num_steps < progress.step:
            raise UserError(f"{folder.path} is already at step {progress.step}; give --steps a higher number")
        best = Best()
        if keeps:
            _warn_of_other_bits(info, config, processes)
            folder.write_info(replace(info, config=config, data_identity=dataset.identity, licence=dataset.licence))
            _warn_of_hole(cut_after(folder.metrics_file, progress.step, best.add), progress.step, folder)
        train_step = Step(config, players, device, num_steps, processes)
        if config.augment_target and progress.augment is not None:
            train_step.augment = progress.augment
        where = residency(dataset, config.device)
        note(f"Images: {where}")
        feed = Feed(config, dataset, where, processes)
        fixed_latents = _first_latents(info, config.num_samples)
        unwritten: list[Tensor] = []

        if keeps and progress.step == 0:
            samples = render(players.sampler, fixed_latents).numpy()
            _save_samples(folder, 0, samples, observers)
            _save_beside_real(folder, "start", samples, dataset)
        seconds, since = progress.seconds, time.monotonic()
        for step in range(progress.step + 1, num_steps + 1):
            unwritten.append(train_step(step, *feed(step)))

            # read once: a signal during the lines below is answered after the next step
            stopping = processes.any(stop.is_set())
            sampling = keeps and (step % sample_every == 0 or step == num_steps)
            measuring = keeps and evaluator is not None and step % (config.evaluate_every or num_steps + 1) == 0
            saving = step % checkpoint_every == 0 or step == num_steps or stopping
            adapting = config.augment_target > 0 and step % ADAPT_EVERY == 0
            if not (step % config.log_every == 0 or sampling or measuring or saving or adapting):
                continue
            values = torch.stack(unwritten).tolist()  # the one place where the CPU waits for the device
            unwritten = []
            seconds += time.monotonic() - since
            rows = _rows(values, step, config.batch_size, seconds)
            if keeps:
                _note(folder, rows, observers)
            _check_finite(rows, folder)
            if adapting and keeps:
                row = _adapt(train_step, players, info, config, dataset, held_out, rows[-1])
                _note(folder, [row], observers)
            if adapting:
                train_step.augment = processes.of_first(train_step.augment)
            if evaluator and measuring:
                measured = _measure(evaluator, players, info, config, rows[-1])
                _note(folder, [measured], observers)
                best.add(measured)
                saving = saving or best.step == step
            if sampling:
                samples = render(players.sampler, fixed_latents).numpy()
                if step % sample_every == 0:  # the end of a part of a run leaves no mark in the log of the whole
                    _note(folder, [_probe(players, info, config, samples, dataset, held_out, rows[-1])], observers)
                _save_samples(folder, step, samples, observers)
            if saving:
                _check_weights(players, step, folder)
            if saving and keeps:
                save_checkpoint(
                    folder.checkpoint(step),
                    networks=players.networks,
                    optimizers=players.optimizers,
                    config=config,
                    progress=Progress(step, round(seconds, 3), train_step.augment if config.augment_target else None),
                )
                folder.prune(config.keep_checkpoints, best.step)
            if stopping and step < num_steps:
                return step
            since = time.monotonic()  # measuring, drawing and writing are not training
        if keeps:
            _save_beside_real(folder, "end", render(players.sampler, fixed_latents).numpy(), dataset)
    return num_steps


def _check_fits(config: TrainConfig, dataset: Dataset) -> None:
    wanted, num = config.model.image_size, len(dataset.images)
    if dataset.image_size != wanted:
        raise UserError(
            f"the dataset {dataset.name} has {dataset.image_size}-pixel images, but the networks are for {wanted} "
            f"pixels; prepare it with --size {wanted}, or train with --image-size {dataset.image_size}"
        )
    if num < config.batch_size:
        raise UserError(
            f"the dataset {dataset.name} has {num} training images, fewer than a batch of {config.batch_size}; "
            "prepare more images, or give a smaller --batch-size"
        )
    _check_groups(config)
    unlabelled = int((dataset.labels < 0).sum())
    without = [name for name, count in class_counts(dataset).items() if count == 0]
    if config.conditional and (unlabelled or len(dataset.classes) < 2):
        raise UserError(
            f"--conditional needs a label for every image and at least two classes, but the dataset {dataset.name} has "
            f"{len(dataset.classes)} classes and {unlabelled} training images without a label; leave it out, or "
            "prepare the images from one folder per class"
        )
    if config.conditional and without:
        raise UserError(
            f"--conditional needs training images of every class, but the dataset {dataset.name} has no training image "
            f"of {', '.join(without)}; prepare it with images of each class in train, or leave --conditional out"
        )
    if config.evaluate_every and num < LEAST_MEASURED:
        raise UserError(
            f"--evaluate-every needs at least {LEAST_MEASURED} training images, but the dataset {dataset.name} has "
            f"{num}; leave it out, or prepare more images"
        )


def _check_adapts(config: TrainConfig, held_out: Dataset | None) -> None:
    if config.augment_target and (held_out is None or len(held_out) < BatchSpread.GROUP):
        raise UserError(
            f"--augment-target needs held-out images, {BatchSpread.GROUP} or more in the split val or test; prepare "
            "the images again, or leave it out for a fixed --augment"
        )


def _check_groups(config: TrainConfig) -> None:
    """The stable discriminator compares images within groups, which must have the same size in every batch."""
    if config.model.networks != "stable":
        return
    penalised = {"penalty_images": min(config.penalty_images, config.batch_size)} if config.gradient_penalty else {}
    for name, size in {"batch_size": config.batch_size, **penalised}.items():
        if size % BatchSpread.GROUP:
            more = size + -size % BatchSpread.GROUP
            raise UserError(
                f"{name} is {size}, but the stable networks compare images in groups of {BatchSpread.GROUP}; "
                f"use a multiple of {BatchSpread.GROUP}, such as --{name.replace('_', '-')} {more}"
            )


def _check_same_data(info: RunInfo, dataset: Dataset) -> None:
    other = info.other_data(sha256=dataset.sha256, identity=dataset.identity)
    if other:
        raise UserError(
            f"the run was trained on other {other} than those of {dataset.name} (it had {info.num_images} images from "
            f"{info.data}); give the run's own dataset with --data, or start a new run"
        )


def _warn_of_other_bits(info: RunInfo, config: TrainConfig, processes: Processes) -> None:
    """Sums in another order than those of the run's start."""
    threads = torch.get_num_threads()
    if info.processes != processes.size:
        warn(
            f"the run was started with {info.processes} process{'es' * (info.processes > 1)} and continues with "
            f"{processes.size}: equally good, but not bit-for-bit identical"
        )
    elif config.device == "cpu" and info.threads not in (threads, None):
        warn(
            f"the run was started with {info.threads} threads and continues with {threads}: equally good, but not "
            f"bit-for-bit identical; for that, set OMP_NUM_THREADS={info.threads}"
        )


def _restore(folder: RunFolder, info: RunInfo, players: Players, config: TrainConfig) -> Progress:
    """Load the newest checkpoint into the players; without one they stay at the start."""
    if info.started_from and not folder.steps():
        raise UserError(
            f"{folder.path} was to start from {info.started_from.run}, but was stopped before those weights were "
            "copied; delete it, and start again"
        )
    if not folder.steps():
        return Progress(step=0, seconds=0.0)
    return load_checkpoint(
        folder.checkpoint(folder.steps()[-1]),
        networks=players.networks,
        optimizers=players.optimizers,
        config=config,
    )


def _check_same_start(step: int, folder: RunFolder, processes: Processes) -> None:
    """RunError in a process that sees another checkpoint than the first one."""
    of_first = int(processes.of_first(step))
    if step != of_first:
        raise RunError(
            f"a process finds {folder.path} at step {step}, the first one at step {of_first}; put the run folder where "
            "all machines see the same files"
        )


def _warn_of_hole(last_logged: int, step: int, folder: RunFolder) -> None:
    """A log that ends before the checkpoint, as after a power loss, lacks lines that are never written again."""
    if last_logged < step:
        warn(
            f"{folder.metrics_file} ends at step {last_logged}, before the checkpoint of step {step}: the log between "
            "the two is lost, and curves and findings have a gap there; continuing"
        )


def _rows(values: Sequence[Sequence[float]], last_step: int, batch_size: int, seconds: float) -> list[Row]:
    """Lines of metrics.jsonl for the steps up to `last_step`, of which `values` has what `LOGGED` names."""
    first = last_step - len(values) + 1
    return [
        {
            "step": step,
            "images_seen": step * batch_size,
            "seconds": round(seconds, 3),
            **{name: value for name, value in zip(LOGGED, row, strict=True) if name in LOSSES or value == value},
        }
        for step, row in enumerate(values, start=first)
    ]


def _first_latents(info: RunInfo, num: int) -> Tensor:
    """The latents of the seeds 0 to num - 1, classes included."""
    seeds = range(num)
    return seed_latents(info.config.model, seeds, seed_labels(list(info.classes.values()), seeds))


def _measure(evaluator: Evaluator, players: Players, info: RunInfo, config: TrainConfig, last: Row) -> Row:
    """The measurement after a step, as a line of metrics.jsonl."""
    images = render(players.sampler, _first_latents(info, config.num_evaluated)).numpy()
    return {**{name: last[name] for name in ("step", "images_seen", "seconds")}, **evaluator(images)}


def _adapt(
    train_step: Step,
    players: Players,
    info: RunInfo,
    config: TrainConfig,
    dataset: Dataset,
    held_out: Dataset | None,
    last: Row,
) -> Row:
    """Bring the augmentation nearer to where overfitting is at its target; a line of the log."""
    judged = _opinions(players, info, config, dataset, held_out)
    means = {name: found.mean for name, found in judged.items()}
    r_v = overfitting(train=means["d_train"], held_out=means["d_held_out"], generated=means["d_samples"])
    num_images = ADAPT_EVERY * config.batch_size
    train_step.augment = adapted(train_step.augment, r_v, target=config.augment_target, num_images=num_images)
    at = {name: last[name] for name in ("step", "images_seen", "seconds")}
    return {**at, "augment": train_step.augment, "r_v": r_v}


def _probe(
    players: Players,
    info: RunInfo,
    config: TrainConfig,
    samples: "NDArray[np.uint8]",
    dataset: Dataset,
    held_out: Dataset | None,
    last: Row,
) -> Row:
    """How varied the samples are, and how D judges generated, training and unseen images: a line of the log."""
    real = dataset.images[_sample_indices(len(samples), dataset)]
    row = {**{name: last[name] for name in ("step", "images_seen", "seconds")}}
    if len(real) == len(samples) > 1:
        row |= sample_health(samples, real)
    for name, found in _opinions(players, info, config, dataset, held_out).items():
        row |= {name: found.mean, f"{name}_error": found.error}
    return row


def _opinions(
    players: Players, info: RunInfo, config: TrainConfig, dataset: Dataset, held_out: Dataset | None
) -> dict[str, Opinion]:
    """What D makes of samples, of training images, and of unseen ones where there are any; always the same images."""
    fakes = render(players.sampler, _first_latents(info, NUM_JUDGED))
    judged = {"d_samples": (fakes, seed_labels(list(info.classes.values()), range(NUM_JUDGED)))}
    for name, side in {"d_train": dataset, "d_held_out": held_out}.items():
        if side is not None:
            chosen = _sample_indices(NUM_JUDGED, side)
            known = side.labels[chosen].clip(0) if info.classes else np.zeros(len(chosen), dtype=np.int64)
            judged[name] = torch.from_numpy(side.images[chosen]), torch.from_numpy(known)
    channels, size = config.model.channels, config.batch_size
    opinions = {
        name: opinion(players.discriminator, images, labels, channels=channels, batch_size=size)
        for name, (images, labels) in judged.items()
    }
    return {name: found for name, found in opinions.items() if found}


def _sample_indices(num: int, dataset: Dataset) -> "NDArray[np.int64]":
    """Up to `num` images of a dataset, always the same."""
    return np.random.default_rng(0).choice(len(dataset.images), min(num, len(dataset.images)), replace=False)


def _check_finite(rows: Sequence[Row], folder: RunFolder) -> None:
    for row in rows:
        for name in LOSSES:
            if not math.isfinite(float(row[name])):
                raise RunError(f"step {row['step']}: {name} is {row[name]}, so training has stopped; {_advice(folder)}")


def _check_weights(players: Players, step: int, folder: RunFolder) -> None:
    """RunError if a weight is not finite: a checkpoint must be usable."""
    for name, network in players.networks.items():
        norms = torch.stack(torch._foreach_norm(list(network.parameters())))
        if not norms.isfinite().all():
            raise RunError(
                f"step {step}: a weight of the {name} is not finite, so training has stopped; {_advice(folder)}"
            )


def _advice(folder: RunFolder) -> str:
    steps = folder.steps()
    kept = f"the last good checkpoint is that of step {steps[-1]}" if steps else "there is no checkpoint yet"
    return f"{kept}; start again with a lower --lr, or with --precision fp32"


def _note(folder: RunFolder, rows: Sequence[Row], observers: Sequence[Observer]) -> None:
    """Write new lines to metrics.jsonl and pass them to the observers."""
    append_rows(folder.metrics_file, rows)
    for observer in observers:
        observer.on_rows(rows)


def _save_samples(folder: RunFolder, step: int, samples: "NDArray[np.uint8]", observers: Sequence[Observer]) -> None:
    save_png(folder.samples / f"step-{step:06d}.png", grid(samples), note=SYNTHETIC)
    for observer in observers:
        observer.on_samples(step, samples)


def _save_beside_real(folder: RunFolder, when: str, samples: "NDArray[np.uint8]", dataset: Dataset) -> None:
    """Real images on the left, generated ones on the right."""
    chosen = _sample_indices(len(samples), dataset)
    sheets = grid(dataset.images[chosen]), grid(samples[: len(chosen)])
    gap = np.full((len(sheets[0]), dataset.image_size // 4), 255, dtype=np.uint8)
    note = f"Left: real, of patients. Right: {SYNTHETIC}"
    save_png(folder.samples / f"real-and-fake-{when}.png", np.hstack([sheets[0], gap, sheets[1]]), note=note)


@contextlib.contextmanager
def _stop_requests(processes: Processes) -> Iterator[threading.Event]:
    """An event that the first SIGINT, SIGTERM or SIGHUP sets; a second one acts as it would without us.

    Not so under torchrun, which sends a Ctrl-C once more to processes that have heard it, and ends those that linger.
    """
    by_torchrun = processes.restarts is not None
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup: outlive the terminal
        numbers.append(signal.SIGHUP)
    previous = {number: signal.getsignal(number) for number in numbers}

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()
        if not by_torchrun:
            restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in previous:
        signal.signal(number, request)
    going_down = by_torchrun
    try:
        yield stop
        going_down = by_torchrun and stop.is_set()
    finally:
        if not going_down:  # torchrun's signal to the others of one that died may still come
            restore()


@contextlib.contextmanager
def _told_what_is_left(folder: RunFolder) -> Iterator[None]:
    """Errors of the disk, of a full GPU, and of a process that died, say from where the run can go on, and how."""

    def kept() -> str:
        steps = folder.steps()
        return f"the checkpoint of step {steps[-1]} is intact" if steps else "there is no checkpoint yet"

    again = pasted("train", "--resume", folder.path)
    try:
        yield
    except PeerLost as error:
        raise PeerLost(f"{error}; {kept()}; continue with: torchrun ... -m -- {again}") from error
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the GPU's memory is full: {str(error).splitlines()[0]}; {kept()}; close other programs on it, or start "
            "anew with a smaller --batch-size, or with smaller networks (--ngf, --ndf)"
        ) from error
    except OSError as error:
        raise RunError(
            f"cannot write to {folder.path}: {error.strerror or error}; {kept()}; make room or fix the "
            f"permissions, then run: {again}"
        ) from error
