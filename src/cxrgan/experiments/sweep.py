"""The experiments of the two reports, or your own: trained, evaluated alike, and set beside the published figures.

Everything about an experiment is in its run folder OUT/NAME, so a sweep can be interrupted at any time and continues
where it stopped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cxrgan.api import carry_on
from cxrgan.console import warn
from cxrgan.data.dataset import load_dataset, read_manifest
from cxrgan.data.prepare import prepare
from cxrgan.errors import RunError, RunLocked, UserError
from cxrgan.evaluation.evaluate import evaluate
from cxrgan.evaluation.rulers import RULERS
from cxrgan.experiments.published import MEASURED_EVERY, RULERS_DURING, Experiment
from cxrgan.experiments.workers import Processes
from cxrgan.files import trouble, write_json
from cxrgan.lines import say
from cxrgan.recipes.config import OUTSIDE, TrainConfig, check_same, with_values
from cxrgan.recipes.named import recipe
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.results import read_evaluation
from cxrgan.settings import from_dict, read_toml
from cxrgan.signals import as_interrupts
from cxrgan.training.doctor.diagnose import diagnose_run, write_diagnosis
from cxrgan.training.loop import start


@dataclass(frozen=True)
class Sweep:
    """Experiments that are trained on the same images and measured in the same way."""

    experiments: tuple[Experiment, ...]
    out: Path
    data: Mapping[int, Path]
    """Image size -> dataset folder, for the sizes of the experiments that are run."""
    scale: float = 1.0
    """Share of each run's length that is trained."""
    num: int | None = None
    """Measure at most this many generated images; None means as many as training images."""

    def folder(self, experiment: Experiment) -> RunFolder:
        return RunFolder(self.out / experiment.name)

    def config(self, experiment: Experiment) -> TrainConfig:
        """The settings of an experiment with its scaled length; an existing run keeps its automatic choices."""
        config = experiment.config
        config = replace(
            config,
            epochs=config.epochs * self.scale,
            steps=config.steps and max(1, round(config.steps * self.scale)),
            evaluate_every=max(1, round((config.evaluate_every or MEASURED_EVERY) * self.scale)),
        )
        if self.folder(experiment).config_file.exists():
            made = self.folder(experiment).read_info().config
            num_classes = made.model.num_classes if config.conditional else 0
            model = replace(config.model, num_classes=num_classes)
            config = replace(config, model=model, device=made.device, precision=made.precision, compile=made.compile)
        return config

    def num_steps(self, experiment: Experiment) -> int:
        """Steps of the whole run, which must have been started."""
        return self.config(experiment).num_steps(self.folder(experiment).read_info().num_images)

    def evaluation(self, experiment: Experiment) -> Mapping[str, Any] | None:
        """What evaluation.json says of the last step; None where that has not been trained and measured."""
        folder = self.folder(experiment)
        evaluation = read_evaluation(folder.evaluation_file)
        last = self.num_steps(experiment) if folder.config_file.exists() else None
        if last not in folder.steps() or evaluation.get("target") != f"{experiment.name}, step {last}":
            return None
        against_all = evaluation.get("n_real") == folder.read_info().num_images
        return evaluation if against_all else None

    def is_finished(self, experiment: Experiment) -> bool:
        """Whether nothing is left to do: the last step is trained, and measured with the right number of images."""
        evaluation = self.evaluation(experiment)
        if evaluation is None:
            return False
        num_images = self.folder(experiment).read_info().num_images
        return bool(evaluation.get("n_fake") == self.num_measured(num_images))

    def num_measured(self, num_images: int) -> int:
        """How many generated images are measured against `num_images` training images."""
        return num_images if self.num is None else min(self.num, num_images)

    def order(self, experiment: Experiment) -> dict[str, Any]:
        """What `of_order` makes this sweep from, of one experiment only; JSON takes it."""
        return {
            "name": experiment.name,
            "config": asdict(experiment.config),
            "out": str(self.out),
            "data": str(self.data[experiment.config.model.image_size]),
            "scale": self.scale,
            "num": self.num,
        }

    @classmethod
    def of_order(cls, order: Mapping[str, Any]) -> "Sweep":
        """The sweep of one experiment that `order` told of."""
        config = from_dict(order["config"], TrainConfig(), where=order["name"])
        data = {config.model.image_size: Path(order["data"])}
        return cls((Experiment(order["name"], config),), Path(order["out"]), data, order["scale"], order["num"])

    def failure_file(self, experiment: Experiment) -> Path:
        """Says why an experiment failed; deleted when it is tried again."""
        return self.out / experiment.name / "failure.json"


def read_experiments(file: Path) -> tuple[Experiment, ...]:
    """The experiments of a TOML file: one table each, with the name of a `recipe` and settings that override it.

    UserError for unknown names and invalid values.
    """
    experiments = []
    for name, values in read_toml(file).items():
        if not isinstance(values, dict):
            raise UserError(f"{file}: {name} is outside a table; begin an experiment with its name, such as [wide]")
        if not re.fullmatch(r"\w[\w.-]*", name) or re.fullmatch(r"data-\d+", name):
            raise UserError(f"{file}: {name!r} cannot be the name of a run folder; use letters, digits, - and _")
        base = recipe(str(values.pop("recipe", "dcgan")))
        experiments.append(Experiment(name, with_values(values, base, where=f"{file}, [{name}]")))
    if not experiments:
        raise UserError(f"{file} contains no experiment; add a table such as [wide] with recipe = 'exp3'")
    return tuple(experiments)


def choose(experiments: Sequence[Experiment], names: Sequence[str]) -> list[Experiment]:
    """The experiments of these names, or all if none is given; UserError for an unknown name."""
    known = [experiment.name for experiment in experiments]
    for name in names:
        if name not in known:
            raise UserError(f"there is no experiment {name!r}; the experiments are {', '.join(known)}")
    return [experiment for experiment in experiments if not names or experiment.name in names]


def prepare_data(source: str, out: Path, chosen: Sequence[Experiment]) -> dict[int, Path]:
    """Image size -> dataset folder, for the sizes of the chosen experiments.

    A dataset folder is used as it is; any other source is prepared into OUT/data-SIZE unless that exists.
    """
    sizes = sorted({experiment.config.model.image_size for experiment in chosen})
    if (Path(source) / "manifest.json").exists():
        size = read_manifest(Path(source)).size
        fitting = [experiment.name for experiment in chosen if experiment.config.model.image_size == size]
        if sizes != [size]:
            others = ", ".join(experiment.name for experiment in chosen if experiment.name not in fitting)
            raise UserError(
                f"{source} has {size}-pixel images, but {others} need another size; give --data the original source"
                + (f", or --only {','.join(fitting)}" if fitting else "")
            )
        return {size: Path(source).resolve()}
    folders = {size: (out / f"data-{size}").resolve() for size in sizes}
    for size, folder in folders.items():
        if (folder / "manifest.json").exists():
            say(f"using the existing images in {folder}")
        else:
            prepare(source, folder, size)
    return folders


def check(sweep: Sweep, experiment: Experiment) -> None:
    """UserError if the experiment's run folder exists and does not match the sweep."""
    folder = sweep.folder(experiment)
    if folder.config_file.exists():
        info, data = folder.read_info(), sweep.data.get(experiment.config.model.image_size)
        check_same(info.config, sweep.config(experiment), where=str(folder.path), free=OUTSIDE)
        if data:
            manifest = read_manifest(data)
            other = info.other_data(sha256=manifest.images_sha256, identity=manifest.identity)
            if other:
                raise UserError(f"{folder.path} was trained on other {other} than those of {data}; give another --out")
        done, wanted = (folder.steps() or [0])[-1], sweep.num_steps(experiment)
        if done > wanted:
            raise UserError(
                f"{folder.path} is already at step {done}, but with --scale {sweep.scale:g} would end at {wanted}; "
                "give another --out"
            )


def run_experiment(sweep: Sweep, experiment: Experiment) -> None:
    """Train what an experiment lacks, then measure it; what goes wrong is written down.

    A signal that asks for the end is a KeyboardInterrupt, unless it came while training and so was answered there.
    """
    with as_interrupts() as asked:
        try:
            sweep.failure_file(experiment).unlink(missing_ok=True)
            _train_and_measure(sweep, experiment)
        except RunLocked as error:  # not failed: the other process goes on
            warn(f"{experiment.name}: {error}")
        except UserError as error:
            note_failure(sweep, experiment, str(error))
        except OSError as error:
            note_failure(sweep, experiment, trouble(error))
        except Exception as error:  # a mistake of ours, or the machine at its end: the other experiments go on
            if asked.is_set():  # or what compiled code makes of a KeyboardInterrupt
                raise KeyboardInterrupt from error
            note_failure(sweep, experiment, f"{type(error).__name__}: {error}")


def _train_and_measure(sweep: Sweep, experiment: Experiment) -> None:
    folder, data = sweep.folder(experiment), sweep.data[experiment.config.model.image_size]
    dataset = load_dataset(data)
    if not folder.config_file.exists():
        start(sweep.config(experiment), dataset, folder.path, recipe=experiment.name, data=str(data))
    config, num_steps = sweep.config(experiment), sweep.num_steps(experiment)
    if num_steps not in folder.steps():
        last, diagnosis = carry_on(folder, config, dataset, rulers=RULERS_DURING)
        say(f"{experiment.name}, doctor: {diagnosis}")
        if last < num_steps:
            return  # asked to stop
    num = sweep.num_measured(len(dataset.images))
    write_json(folder.evaluation_file, asdict(evaluate(folder.path, data, num=num, rulers=RULERS)))
    write_diagnosis(folder.diagnosis_file, diagnose_run(folder))


def note_failure(sweep: Sweep, experiment: Experiment, reason: str) -> None:
    """Print why an experiment failed, and write it to a file if the disk allows."""
    warn(f"{experiment.name}: {reason}")
    try:
        write_json(sweep.failure_file(experiment), {"reason": reason})
    except OSError as error:
        warn(f"{experiment.name}: {trouble(error)}")


def run_sweep(
    sweep: Sweep, chosen: Sequence[Experiment], workers: Processes, jobs: int, on_end: Callable[[], None]
) -> None:
    """Run or go on with the chosen experiments, `jobs` at once; `on_end` is called after each.

    On SIGINT and SIGTERM, which come out as KeyboardInterrupt, and on an error of `on_end` the runs are saved first.
    """

    def run(experiment: Experiment) -> None:
        try:
            workers.run(sweep.order(experiment))
        except RunError as error:
            note_failure(sweep, experiment, str(error))

    with as_interrupts(), ThreadPoolExecutor(jobs) as pool:
        try:
            for done in as_completed([pool.submit(run, experiment) for experiment in chosen]):
                done.result()
                on_end()
        except BaseException:  # an interrupt, or a disk that takes no table
            pool.shutdown(wait=False, cancel_futures=True)
            workers.stop()
            raise  # leaving the pool waits for the runs to be saved
