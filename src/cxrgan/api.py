"""A run as a person has it made: trained with progress, plots and a doctor, then evaluated into evaluation.json."""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrgan.console import ProgressBar
from cxrgan.data.dataset import Dataset, load_held_out
from cxrgan.errors import RunError, UserError
from cxrgan.evaluation import RULERS, Ruler
from cxrgan.evaluation.during import make_evaluator
from cxrgan.evaluation.evaluate import evaluate, unavailable
from cxrgan.evaluation.features import cache_folder
from cxrgan.evaluation.networks import load_networks
from cxrgan.evaluation.sets import open_pair
from cxrgan.fields import read_json
from cxrgan.lines import say
from cxrgan.report import PLOTTED
from cxrgan.results import read_evaluation
from cxrgan.training.checkpoint import RunFolder
from cxrgan.training.doctor import Diagnosis, diagnose, write_diagnosis
from cxrgan.training.log import History, LogReader
from cxrgan.training.loop import Observer, train
from cxrgan.training.observers import Doctor, LiveLine, Plots, TensorBoard
from cxrgan.training.readings import Measured, Readings
from cxrgan.training.recipes import TrainConfig


def train_run(
    folder: RunFolder,
    config: TrainConfig,
    data: Path,
    dataset: Dataset,
    *,
    tensorboard: bool = False,
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
    with ProgressBar(on_screen, num_steps, done=done) as bar:
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
        try:
            last = train(folder, config, dataset, observers, evaluator, load_held_out(data))
        except RunError:
            with contextlib.suppress(OSError, UserError):  # a full disk takes no diagnosis either: the error says more
                _tell(folder, log, readings)
            raise
    _tell(folder, log, readings)
    return last


def measure(
    target: Path,
    data: Path,
    *,
    num: int | None = None,
    split: str = "train",
    seed: int = 0,
    best: bool = False,
    rulers: Sequence[Ruler] = RULERS,
    inception_weights: Path | None = None,
    imagenet_weights: Path | None = None,
    exact: bool = False,
) -> dict[str, Any]:
    """What evaluation.json holds of the images of `target` against those of `data`: the names of both, and the rows.

    The arguments are those of `cxrgan evaluate`.
    """
    real, fake = open_pair(target, data, num=num, split=split, seed=seed, best=best)
    lacking = [ruler for ruler in rulers if real.known and ruler != "domain"]  # not fetched to no purpose
    networks, missing = load_networks(
        [ruler for ruler in rulers if ruler not in lacking],
        inception_weights=inception_weights,
        imagenet_weights=imagenet_weights,
        exact=exact,
    )
    missing += [
        unavailable(ruler, f"{real.name} holds no features of it; give the images with --data DIR") for ruler in lacking
    ]
    rows = evaluate(real=real, fake=fake, networks=networks, seed=seed, cache=cache_folder()) + missing
    return {"target": fake.name, "data": real.name, "n_real": real.num, "n_fake": fake.num, "rows": rows}


def check_rows_file(file: Path) -> None:
    """UserError unless `file` is a .json that is new, or an evaluation that may be replaced."""
    if file.suffix.lower() != ".json" or file.is_dir():
        raise UserError(f"--json {file} does not name a .json file; give one such as rows.json")
    if os.path.lexists(file):
        mend = "it is not overwritten, name another file"
        if not {"target", "data", "rows"} <= read_json(file, mend=mend).values.keys():
            raise UserError(f"--json {file} holds something else than an evaluation; {mend}")


def diagnose_run(folder: RunFolder) -> Diagnosis:
    """What the doctor says of a run by its files: metrics.jsonl, and evaluation.json where there is one."""
    folder.read_info()  # a folder that is no run is said to be none
    readings = Readings()
    LogReader(folder.metrics_file, readings.add).read_on()
    return diagnose(readings, _evaluated(folder.path / "evaluation.json", readings.step))


def _evaluated(file: Path, last_step: int) -> list[Measured]:
    """The metrics of evaluation.json that have a floor of no more images; none where it is not there."""
    found = read_evaluation(file)
    of_step = re.search(r", step (\d{1,18})$", found.get("target", ""))
    step = int(of_step[1]) if of_step else last_step
    return [
        Measured(step, row["metric"], row["label"], row["value"], row["floor"])
        for row in found.get("rows", [])
        if row["value"] is not None and row["floor"] is not None and not _has_fewer(row)
    ]


def _has_fewer(row: Mapping[str, Any]) -> bool:
    """Whether an evaluation from before `floor_std` has fewer fakes than its floor: fewer images have less variety."""
    return isinstance(row["n_floor"], int) and row["n_fake"] < row["n_floor"]


def _tell(folder: RunFolder, log: LogReader, readings: Readings) -> None:
    """What the doctor says of all that the run wrote, on the terminal and in diagnosis.json."""
    log.read_on()
    diagnosis = diagnose(readings)
    for line in str(diagnosis).splitlines():
        say(f"doctor: {line}")
    write_diagnosis(folder.diagnosis_file, diagnosis)
