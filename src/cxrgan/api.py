"""A run as a person has it made: trained with progress, plots and a doctor, then evaluated into evaluation.json."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from cxrgan.console import ProgressBar
from cxrgan.data.dataset import Dataset, load_held_out
from cxrgan.errors import RunError, UserError
from cxrgan.evaluation.during import make_evaluator
from cxrgan.evaluation.features import cache_folder
from cxrgan.evaluation.rulers import Ruler
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.lines import say
from cxrgan.recipes.config import TrainConfig
from cxrgan.report.figures import PLOTTED
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import History, LogReader
from cxrgan.training.doctor.diagnose import diagnose, write_diagnosis
from cxrgan.training.doctor.readings import Readings
from cxrgan.training.loop import Observer, train
from cxrgan.training.observers import Doctor, LiveLine, Plots, TensorBoard, WeightsAndBiases


def train_run(
    folder: RunFolder,
    config: TrainConfig,
    data: Path,
    dataset: Dataset,
    *,
    tensorboard: bool = False,
    wandb: bool = False,
    rulers: Sequence[Ruler] = ("domain",),
) -> int:
    """Train the run in `folder` to the end of `config`, or until a signal; returns the last step done.

    `dataset` holds the training images of the dataset folder `data`; the measurements of `evaluate_every` are taken
    with those of `rulers` that can be had. Raises what `train` raises, after the diagnosis.
    """
    num_steps, done = config.num_steps(len(dataset.images)), (folder.steps() or [0])[-1]
    evaluator = None
    if config.evaluate_every:
        networks, _ = load_networks(rulers, device=config.device)
        evaluator = make_evaluator(dataset.images, networks, cache=cache_folder())
    on_screen = f"{folder.read_info().recipe} on {config.device} in {config.precision}"
    with (
        WeightsAndBiases(folder) if wandb else contextlib.nullcontext() as remote,
        ProgressBar(on_screen, num_steps, done=done) as bar,
    ):
        line = LiveLine(bar, relativistic=config.loss == "relativistic")
        readings, history = Readings(), History(PLOTTED)
        log = LogReader(folder.metrics_file, readings.add, history.add)
        observers: list[Observer] = [
            line,
            Doctor(folder, log, readings, line),
            Plots(folder, log, history, relativistic=config.loss == "relativistic"),
        ]
        if tensorboard:
            observers.append(TensorBoard(folder))
        if remote:
            observers.append(remote)
        try:
            last = train(folder, config, dataset, observers, evaluator, load_held_out(data))
        except RunError:
            with contextlib.suppress(OSError, UserError):  # a full disk takes no diagnosis either: the error says more
                _tell(folder, log, readings)
            raise
    _tell(folder, log, readings)
    return last


def _tell(folder: RunFolder, log: LogReader, readings: Readings) -> None:
    """What the doctor says of all that the run wrote, on the terminal and in diagnosis.json."""
    log.read_on()
    diagnosis = diagnose(readings)
    for line in str(diagnosis).splitlines():
        say(f"doctor: {line}")
    write_diagnosis(folder.diagnosis_file, diagnosis)
