"""A run as a person has it made: trained with progress, plots and a doctor, then evaluated into evaluation.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxrgan.console import ProgressBar
from cxrgan.data.dataset import Dataset, load_held_out
from cxrgan.errors import RunError
from cxrgan.evaluation import Ruler
from cxrgan.evaluation.during import make_evaluator
from cxrgan.evaluation.evaluate import evaluate, unavailable
from cxrgan.evaluation.features import cache_folder
from cxrgan.evaluation.networks import load_networks
from cxrgan.evaluation.sets import open_pair
from cxrgan.training.checkpoint import RunFolder
from cxrgan.training.doctor import diagnose
from cxrgan.training.loop import Observer, train
from cxrgan.training.observers import Doctor, LiveLine, Plots, TensorBoard, write_diagnosis
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
        line = LiveLine(bar)
        observers: list[Observer] = [line, Doctor(folder, line), Plots(folder)]
        if tensorboard:
            observers.append(TensorBoard(folder))
        try:
            last = train(folder, config, dataset, observers, evaluator, load_held_out(data))
        except RunError:
            _tell_diagnosis(folder)
            raise
    _tell_diagnosis(folder)
    return last


def measure(
    target: Path,
    data: Path,
    *,
    num: int | None = None,
    split: str = "train",
    seed: int = 0,
    best: bool = False,
    rulers: Sequence[Ruler] = ("domain", "inception"),
    inception_weights: Path | None = None,
    exact: bool = False,
) -> dict[str, Any]:
    """What evaluation.json holds of the images of `target` against those of `data`: the names of both, and the rows.

    The arguments are those of `cxrgan evaluate`.
    """
    real, fake = open_pair(target, data, num=num, split=split, seed=seed, best=best)
    lacking = [ruler for ruler in rulers if real.known and ruler != "domain"]  # not fetched to no purpose
    networks, missing = load_networks(
        [ruler for ruler in rulers if ruler not in lacking], inception_weights=inception_weights, exact=exact
    )
    missing += [
        unavailable(ruler, f"{real.name} holds no features of it; give the images with --data DIR") for ruler in lacking
    ]
    rows = evaluate(real=real, fake=fake, networks=networks, seed=seed, cache=cache_folder()) + missing
    return {"target": fake.name, "data": real.name, "n_real": real.num, "n_fake": fake.num, "rows": rows}


def _tell_diagnosis(folder: RunFolder) -> None:
    """What the doctor says of all that the run wrote, on the terminal and in diagnosis.json."""
    rows = folder.read_rows()
    findings = diagnose(rows)
    write_diagnosis(folder, rows[-1]["step"] if rows else 0, findings)
    print("\n".join(f"doctor: {finding}" for finding in findings) or "doctor: healthy")
