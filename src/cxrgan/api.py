"""What the commands do, as functions that return values: the names of `import cxrgan`.

They print nothing unless asked, by `progress=True`; a notebook shows a bar unless asked not to, by `progress=False`.
What is wrong with an argument or a file is a `cxrgan.errors.UserError`, whose message says what to do.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cxrgan.console import ProgressBar, duration, note, speaking
from cxrgan.data import prepare as preparing
from cxrgan.data.dataset import Dataset, load_dataset, load_held_out
from cxrgan.data.sources.labels import LabelTable
from cxrgan.errors import RunError, UserError
from cxrgan.evaluation import audit as auditing
from cxrgan.evaluation import evaluate as evaluating
from cxrgan.evaluation.audit import Audit
from cxrgan.evaluation.during import make_evaluator
from cxrgan.evaluation.evaluate import Evaluation
from cxrgan.evaluation.features import cache_folder
from cxrgan.evaluation.rulers import RULERS, Ruler
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.files import write_json
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import seed_labels
from cxrgan.generation.samples import Samples
from cxrgan.images import Fit, tiles
from cxrgan.lines import pasted
from cxrgan.recipes.config import TrainConfig, with_values
from cxrgan.recipes.named import fitted, recommended
from cxrgan.recipes.named import recipe as named
from cxrgan.reports.figures import PLOTTED
from cxrgan.reports.page import check_report_file, write_report
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.grids import find_grids, read_grid
from cxrgan.runs.log import History, LogReader
from cxrgan.runs.results import read_evaluation
from cxrgan.training.budget import check_disk, plan, seconds_of
from cxrgan.training.distributed import ALONE, Processes, check_together, joined
from cxrgan.training.doctor.diagnose import Diagnosis, diagnose, diagnose_run, write_diagnosis
from cxrgan.training.doctor.readings import Readings
from cxrgan.training.estimate import Estimate, estimate
from cxrgan.training.inherit import ancestor_of
from cxrgan.training.loop import Evaluator, Observer, class_counts, resolved, start
from cxrgan.training.loop import train as train_loop
from cxrgan.training.observers import Doctor, LiveLine, Plots

AnyPath = str | os.PathLike[str]


def prepare(
    source: AnyPath,
    out: AnyPath,
    *,
    size: int = 64,
    fit: Fit = "crop",
    seed: int = 0,
    num: int = 2000,
    labels: AnyPath | LabelTable | None = None,
    patient_key: AnyPath | None = None,
    progress: bool | None = None,
) -> Dataset:
    """Make a dataset folder `out` from chest X-rays anywhere, and return its training images.

    `source` is a folder of images, a MedMNIST .npz file, or one of `phantom`, `pneumoniamnist`, `kaggle`. Images become
    `size` x `size` pixels (even, 32 to 512) as `fit` says: `crop`, `pad` or `stretch`. `seed` decides the split by
    patient where the source has none, and the phantoms, of which `num` are drawn. `labels` is a CSV file with the
    classes of a folder's images, or a `cxrgan.data.sources.labels.LabelTable`, which also names its columns.
    `patient_key` is the file with the key to the pseudonyms of patients from DICOM, if not the one in
    `~/.config/cxrgan`.
    """
    table = labels if labels is None or isinstance(labels, LabelTable) else LabelTable((Path(labels),))
    key = None if patient_key is None else Path(patient_key)
    with speaking(progress):
        preparing.prepare(os.fspath(source), Path(out), size, fit, seed, num, labels=table, patient_key=key)
    return load_dataset(Path(out))


def train(
    data: AnyPath | Dataset,
    run: AnyPath,
    *,
    recipe: str | TrainConfig | None = None,
    settings: Mapping[str, Any] | None = None,
    time: str | None = None,
    start_from: AnyPath | None = None,
    observers: Sequence[Observer] = (),
    progress: bool | None = None,
) -> "Run":
    """Train a GAN on a dataset folder into a new run folder `run`; Ctrl-C saves and returns the run as it is.

    `recipe` is the name of one, or a whole configuration; left out, the one that is recommended for the size of the
    images. `settings` are put over it, named as in `cxrgan train --help` and nested as in a TOML file:
    `{"epochs": 10, "conditional": True, "model": {"ngf": 32}}`. `time`, such as `2h` or `90min`, is
    a budget in place of a length: the first steps are timed, and the run gets as many as fit into it. `start_from`
    is a run whose weights the new one begins with: one of the same networks, or of half the image size, which grow.
    """
    dataset = _train_split(data)
    name = recipe if isinstance(recipe, str) else "custom" if recipe else recommended(dataset.image_size)
    base = recipe if isinstance(recipe, TrainConfig) else named(name)
    base = base if recipe else fitted(base, dataset.image_size)
    config = with_values(settings or {}, base, where="settings")
    source = None if start_from is None else Path(start_from)
    with speaking(progress), joined(config.device) as processes:
        folder = begin(config, dataset, Path(run), processes, recipe=name, time=time, start_from=source)
        carry_on(folder, folder.read_info().config, dataset, processes, observers=observers)
    return Run(folder.path)


def load_run(path: AnyPath) -> "Run":
    """The run in a folder that `cxrgan train` or `train` made; UserError where there is none."""
    run = Run(Path(path))
    run.folder.read_info()
    return run


def evaluate(
    target: AnyPath,
    data: AnyPath,
    *,
    num: int | None = None,
    split: Literal["train", "val", "test"] = "train",
    seed: int = 0,
    best: bool = False,
    rulers: Sequence[Ruler] = RULERS,
    progress: bool | None = None,
) -> Evaluation:
    """Measure how good a run, a generator or a folder of images is: every metric beside its floor.

    `target` is a `Run` or its folder, a shipped generator (`cxr-64`), a folder of images, or a dataset folder; `data`
    the real images: a dataset folder (of which `split` counts), a folder of images, or shipped features
    (`kermany-64`). A generator makes `num` images, from `seed` on; left out, as many as there are real ones. `best`
    takes the best checkpoint of a run, not the newest. A run keeps what was measured of it in evaluation.json.
    """
    with speaking(progress):
        measured = evaluating.evaluate(
            Path(target), Path(data), num=num, split=split, seed=seed, best=best, rulers=rulers
        )
    folder = RunFolder(Path(target))
    if measured.found and folder.config_file.exists():
        write_json(folder.evaluation_file, asdict(measured))
        write_diagnosis(folder.diagnosis_file, diagnose_run(folder))
    return measured


def audit(
    target: AnyPath,
    data: AnyPath,
    *,
    held_out: AnyPath | None = None,
    num: int | None = None,
    seed: int = 0,
    best: bool = False,
    pairs: AnyPath | None = None,
    progress: bool | None = None,
) -> Audit:
    """Look for copies of training images, whole or in part, among those of a run, a generator or a folder of images.

    `target` is as in `evaluate`; `data` the dataset folder that it was trained on. `held_out` is a folder of real
    images of other patients; left out, the test or val images of `data`. A generator makes `num` images from `seed` on;
    left out, as many as are held out. `best` takes the best checkpoint of a run, not the newest. `pairs` is a PNG to
    draw the strongest pairs into: it shows patients. A run keeps what was found in audit.json.
    """
    if pairs is not None:
        auditing.check_pairs_file(Path(pairs))
    with speaking(progress):
        found = auditing.audit(
            Path(target),
            Path(data),
            held_out=None if held_out is None else Path(held_out),
            num=num,
            seed=seed,
            best=best,
            pairs=None if pairs is None else Path(pairs),
        )
    folder = RunFolder(Path(target))
    if folder.config_file.exists():
        write_json(folder.audit_file, asdict(found))
    return found


def report(target: AnyPath, out: AnyPath | None = None, *, without_real: bool = False) -> Path:
    """Write all that is known of a run, or of a folder of runs, as one HTML file that needs no network; its path.

    `out` is a new .html or an earlier report; left out, report.html in that folder. `without_real` leaves out the
    picture of training images, which may show patients.
    """
    file = Path(out) if out is not None else Path(target) / "report.html"
    check_report_file(file)
    write_report(Path(target), file, without_real=without_real)
    return file


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run folder; where a path is asked for, the run itself will do."""

    path: Path

    @property
    def folder(self) -> RunFolder:
        """The places of its files."""
        return RunFolder(self.path)

    @property
    def config(self) -> TrainConfig:
        """Its settings."""
        return self.folder.read_info().config

    @property
    def step(self) -> int:
        """The step of the newest checkpoint; 0 where there is none yet."""
        return (self.folder.steps() or [0])[-1]

    @property
    def num_steps(self) -> int:
        """The steps of the whole run."""
        info = self.folder.read_info()
        return info.config.num_steps(info.num_images)

    def rows(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, a dict each with `step` and numbers by name: `pandas.DataFrame(run.rows())`."""
        return [dict(row) for row in LogReader(self.folder.metrics_file).rows()]

    def samples(self, step: int | None = None) -> Samples:
        """The images of the fixed latents that were drawn at `step`, or last."""
        info, grids = self.folder.read_info(), find_grids(self.folder)
        if step is None and not grids:
            raise UserError(f"{self.path} has no samples yet; train it: {pasted('train', '--resume', self.path)}")
        step = max(grids) if step is None else step
        if step not in grids:
            raise UserError(f"{self.path} has no samples of step {step}; it has those of {', '.join(map(str, grids))}")
        images = tiles(read_grid(grids[step]), info.config.model.image_size)[: info.config.num_samples]
        seeds, names = range(len(images)), list(info.classes) or [""]
        labels = seed_labels(list(info.classes.values()), seeds).tolist()
        return Samples(images, tuple(names[label] for label in labels), tuple(seeds))

    @property
    def diagnosis(self) -> Diagnosis:
        """What the doctor says of it now, by its log and its evaluation."""
        return diagnose_run(self.folder)

    @property
    def evaluation(self) -> Evaluation | None:
        """What `evaluate` measured of it last; None where nothing was."""
        found = read_evaluation(self.folder.evaluation_file)
        return Evaluation(**found) if found else None

    def generator(self, *, best: bool = False) -> TrainedGenerator:
        """Its generator, of the newest checkpoint or of the best that was measured during training."""
        return load_generator(self.path, best=best)

    def resume(
        self,
        *,
        data: AnyPath | Dataset | None = None,
        settings: Mapping[str, Any] | None = None,
        observers: Sequence[Observer] = (),
        progress: bool | None = None,
    ) -> "Run":
        """Train on from the newest checkpoint, exactly as if there had been no break; returns the run.

        `settings` may ask for more `steps` or `epochs`, or change what decides no weight
        (`cxrgan.recipes.config.FREE_TO_CHANGE`). `data` is the new place of its dataset folder, if that was moved.
        """
        config = with_values(settings or {}, self.config, where="settings")
        with speaking(progress), joined(config.device) as processes:
            dataset = data_of(self.folder, data, processes)
            carry_on(self.folder, config, dataset, processes, observers=observers)
        return self

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        info, last = self.folder.read_info(), self.folder.last_row()
        time = f", {duration(last['seconds'])} of training" if last else ""
        return f"Run({self.path}: {info.recipe}, step {self.step:,} of {self.num_steps:,}{time})"


def begin(
    config: TrainConfig,
    dataset: Dataset,
    run: Path,
    processes: Processes,
    *,
    recipe: str,
    time: str | None,
    start_from: Path | None,
) -> RunFolder:
    """Make the folder of a new run (`training.loop.start`), as long as fits into `time` where that is given.

    Where torchrun started the `processes` anew after one died, the folder of the run is there already.
    """
    folder = RunFolder(run)
    if processes.any(bool(processes.restarts)) and folder.config_file.exists():
        return folder
    check_together(config, processes)
    if time is not None:
        config = in_time(config, dataset, time, run, processes)
    data = str(dataset.path.resolve())
    processes.once(
        lambda: start(config, dataset, run, recipe=recipe, data=data, start_from=start_from, processes=processes)
    )
    return folder


def carry_on(
    folder: RunFolder,
    config: TrainConfig,
    dataset: Dataset,
    processes: Processes = ALONE,
    *,
    observers: Sequence[Observer] = (),
    rulers: Sequence[Ruler] = ("domain",),
) -> tuple[int, Diagnosis]:
    """Train the run in `folder` to the end of `config`, or until a signal: the last step done, and the diagnosis.

    Progress, plots, the doctor and `observers` watch. The measurements of `evaluate_every` are taken with those of
    `rulers` that can be had. Raises what the loop raises, after the diagnosis, which is then a note of the error. Of
    several `processes`, each of which calls this, the first does all that; the others train, and diagnose nothing.
    """
    if not processes.is_first:
        last = train_loop(folder, config, dataset, held_out=load_held_out(dataset.path), processes=processes)
        return last, diagnose(Readings())
    num_steps, done = config.num_steps(len(dataset.images)), (folder.steps() or [0])[-1]
    evaluator = _evaluator(config, dataset, rulers)
    on_screen = f"{folder.read_info().recipe} on {config.device} in {config.precision}"
    relativistic = config.loss == "relativistic"
    with ProgressBar(on_screen, num_steps, done=done) as bar:
        line = LiveLine(bar, relativistic=relativistic)
        readings, history = Readings(), History(PLOTTED)
        log = LogReader(folder.metrics_file, readings.add, history.add)
        plots = Plots(folder, log, history, relativistic=relativistic)
        watching: list[Observer] = [line, Doctor(folder, log, readings, line), plots, *observers]
        try:
            held_out = load_held_out(dataset.path)
            last = train_loop(folder, config, dataset, watching, evaluator, held_out, processes)
        except RunError as error:
            with contextlib.suppress(OSError, UserError):  # a full disk takes no diagnosis either: the error says more
                error.add_note(str(_conclude(folder, log, readings)))
            raise
    return last, _conclude(folder, log, readings)


def in_time(config: TrainConfig, dataset: Dataset, time: str, run: Path, processes: Processes = ALONE) -> TrainConfig:
    """`config` with as many steps as fit into `time`, as the first ones go on this machine; says what is planned.

    The steps are part of the run's settings from then on: a stop and a resume keep the plan. UserError where the disk
    below `run` has no room for it.
    """
    seconds = seconds_of(time)
    processes.once(RunFolder(run).check_free)  # before anything is timed
    ready = resolved(config, dataset)
    evaluator = _evaluator(ready, dataset, ("domain",)) if processes.is_first else None
    planned = plan(ready, dataset, seconds, evaluator, processes)
    processes.once(lambda: check_disk(planned, run))
    note(f"On {ready.device} in {ready.precision}, {planned}")
    return replace(config, steps=planned.steps)


def estimated(config: TrainConfig, dataset: Dataset, *, start_from: Path | None = None) -> Estimate:
    """What a run would take on this machine; UserError where it could not be made."""
    ready = resolved(config, dataset)
    if start_from is not None:
        ancestor_of(RunFolder(start_from), ready, class_counts(dataset) if ready.conditional else {})
    return estimate(ready, dataset, _evaluator(ready, dataset, ("domain",)))


def _evaluator(config: TrainConfig, dataset: Dataset, rulers: Sequence[Ruler]) -> Evaluator | None:
    if not config.evaluate_every:
        return None
    networks, _ = load_networks(rulers, device=config.device)
    return make_evaluator(dataset.images, networks, cache=cache_folder())


def data_of(folder: RunFolder, data: AnyPath | Dataset | None = None, processes: Processes = ALONE) -> Dataset:
    """The training images of a run, from where it says that they are; or from `data`, which it then remembers."""
    info = folder.read_info()
    if data is None and not Path(info.data).exists():
        raise UserError(f"the run's dataset is no longer at {info.data}; name its new place with --data DIR")
    dataset = _train_split(info.data if data is None else data)

    def remember() -> None:
        with folder.locked():
            folder.write_info(replace(folder.read_info(), data=str(dataset.path.resolve())))

    if data is not None and not info.other_data(sha256=dataset.sha256, identity=dataset.identity):
        processes.once(remember)
    return dataset


def _conclude(folder: RunFolder, log: LogReader, readings: Readings) -> Diagnosis:
    """What the doctor says of all that the run wrote, also in diagnosis.json."""
    log.read_on()
    diagnosis = diagnose(readings)
    write_diagnosis(folder.diagnosis_file, diagnosis)
    return diagnosis


def _train_split(data: AnyPath | Dataset) -> Dataset:
    dataset = data if isinstance(data, Dataset) else load_dataset(Path(data))
    if dataset.split != "train":
        raise UserError(f"{dataset.path}: these are the images of {dataset.split}; train on those of the split train")
    return dataset
