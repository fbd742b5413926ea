"""Every command of `cxrgan`: parses and wires, computes nothing.

Each command is a frozen dataclass whose fields are its arguments. Heavy imports stand inside `run`, so that
help and errors of the command line come at once.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

import tyro

from cxrgan import __version__
from cxrgan.cli.push import Push
from cxrgan.errors import RunError, UserError
from cxrgan.evaluation.rulers import RULERS, Ruler
from cxrgan.files import check_free, trouble
from cxrgan.images import Fit
from cxrgan.lines import complain, say
from cxrgan.models.config import latent_sizes
from cxrgan.recipes.config import TrainConfig, with_values
from cxrgan.recipes.named import DCGAN, RECIPES, recipe
from cxrgan.settings import read_toml
from cxrgan.signals import as_interrupts

if TYPE_CHECKING:
    from cxrgan.data.dataset import Dataset
    from cxrgan.runs.folder import RunFolder

DESCRIPTION = """Train GANs on chest X-rays and make images with them.

Research and teaching only, no clinical use. `cxrgan COMMAND --help` explains a command; `--debug` after any
command shows the traceback of an error; `cxrgan --version` says which version this is."""

BY_SIZE = {64: "fast-64", 128: "stable-128", 256: "stable-256"}  # the recipe to begin with, up to this size


def _names(metavar: str, known: Sequence[str] = ()) -> tyro.constructors.PrimitiveConstructorSpec[tuple[str, ...]]:
    """How several names are read, with spaces or commas between them: `a b` and `a,b`."""

    def read(words: list[str]) -> tuple[str, ...]:
        names = tuple(name for word in words for name in word.split(",") if name)
        if not names:
            raise ValueError("it needs at least one name")
        for name in names:
            if known and name not in known:
                raise ValueError(f"there is no {name!r}; there is {', '.join(known)}")
        return names

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{metavar} [{metavar} ...]",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=list,
    )


@dataclass(frozen=True)
class Prepare:
    """Turn chest X-rays from anywhere into a dataset folder."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A folder (Kaggle's layout, classes, or flat), a MedMNIST .npz, or one of: phantom, pneumoniamnist, kaggle."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The dataset folder to make."""
    size: int = 64
    """Pixels a side; even, 32 to 256."""
    fit: Fit = "crop"
    """How a picture becomes square: cut the longer side, pad with black, or stretch."""
    seed: int = 0
    """Decides the phantoms, and the split by patient where the source has none."""
    num: int = 2000
    """How many phantoms; other sources give all they have."""

    def run(self) -> int:
        from cxrgan.data.prepare import prepare, summary

        say(summary(prepare(self.source, self.out, self.size, self.fit, self.seed, self.num)))
        say(f"dataset in {self.out}; train on it: {train_command(self.out, self.size)}")
        return 0


def train_command(data: Path, size: int) -> str:
    """A command that trains on a dataset folder of this image size."""
    base = next(name for most, name in BY_SIZE.items() if size <= most)
    model, latents = RECIPES[base].model, latent_sizes(size)
    words = ["cxrgan", "train", "--data", str(data), "--recipe", base]
    words += ["--image-size", str(size)] if size != model.image_size else []
    words += ["--latent-size", str(latents[0])] if model.latent_size not in latents else []
    return shlex.join([*words, "--run", "runs/first"])


@dataclass(frozen=True)
class Train:
    """Train a GAN on a dataset folder, or go on with a run. The values shown are those of --recipe."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The dataset folder, made by `cxrgan prepare`; a resumed run knows its own."""
    run_folder: Annotated[Path | None, tyro.conf.arg(name="run", metavar="DIR")] = None
    """The run folder to make."""
    recipe: Literal[tuple(RECIPES)] = "dcgan"  # type: ignore[valid-type]
    """Named settings to start from: the tutorial's DCGAN, the stable recipe, or an experiment of the reports."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A TOML file of settings, named as below; those of the networks stand in a table [model]."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A run folder to go on with, from its newest checkpoint; --steps or --epochs may ask for more."""
    tensorboard: bool = False
    """Write TensorBoard event files too."""
    wandb: bool = False
    """Send numbers and grids to Weights & Biases too; with WANDB_MODE=offline they stay in the run folder."""
    settings: TrainConfig = DCGAN

    def run(self) -> int:
        from cxrgan.console import duration
        from cxrgan.data.dataset import load_dataset
        from cxrgan.runs.folder import RunFolder
        from cxrgan.training.loop import start
        from cxrgan.training.observers import require_tensorboard, require_wandb

        if self.tensorboard:
            require_tensorboard()
        if self.wandb:
            require_wandb()
        if self.resume is not None:
            folder = RunFolder(self.resume)
            info = folder.read_info()
            data = self.data or Path(info.data)
            if self.data is None and not data.exists():
                raise UserError(f"the run's dataset is no longer at {data}; name its new place with --data DIR")
            dataset = load_dataset(data)
            if self.data is not None and not info.other_data(sha256=dataset.sha256, identity=dataset.identity):
                with folder.locked():
                    folder.write_info(replace(folder.read_info(), data=str(data.resolve())))
        else:
            if self.data is None or self.run_folder is None:
                raise UserError("name the dataset and the run: cxrgan train --data DIR --run DIR (or --resume DIR)")
            data, dataset = self.data, load_dataset(self.data)
            name = "custom" if self.config else self.recipe
            folder = start(self.settings, dataset, self.run_folder, recipe=name, data=str(data.resolve()))
        config = self.settings if self.resume else None
        status = _train(folder, config, data, dataset, tensorboard=self.tensorboard, wandb=self.wandb)
        if status == 0:
            seconds = (folder.last_row() or {}).get("seconds") or 0
            say(f"{duration(seconds)} of training; losses.png and samples in {folder.path}")
            say(f"make images: cxrgan generate {folder.path} --num 64 --out images")
        return status


@dataclass(frozen=True)
class Generate:
    """Make images with a trained run."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder, a shipped generator (cxr-64, cxr-128), or one on Hugging Face (hf://OWNER/NAME)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """A new folder for the images, or an empty one."""
    num: int = 64
    """How many images; image i is that of seed + i. With --interpolate it is --frames that counts."""
    seed: int = 0
    """The first seed."""
    label: str | None = None
    """The class of the images, of a run by class or a shipped generator; left out, as often as in its data."""
    format: Literal["png", "npz"] = "png"
    """A PNG for each image and one grid, or one npz file with all."""
    interpolate: tuple[int, int] | None = None
    """Two seeds: make instead the way from one to the other, as a strip and a GIF."""
    frames: int = 12
    """Images on that way."""
    best: bool = False
    """Take the best checkpoint that `train --evaluate-every` found, not the newest."""

    def run(self) -> int:
        from cxrgan.generation.generator import load_generator
        from cxrgan.generation.writers.gif import write_interpolation
        from cxrgan.generation.writers.npz import write_npz
        from cxrgan.generation.writers.png import write_pngs

        check_free(self.out, "the images")
        generator = load_generator(self.run_folder, best=self.best)
        if self.interpolate is not None:
            images = generator.interpolate(self.interpolate, self.frames, self.label)
            write_interpolation(images, self.interpolate, self.out)
        else:
            images = generator.sample(self.num, self.seed, self.label)
            labels = generator.labels(self.num, self.seed, self.label)
            (write_pngs if self.format == "png" else write_npz)(images, labels, self.seed, self.out)
        say(f"{len(images)} synthetic images of step {generator.step} in {self.out}")
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Measure how good a run, or a folder of images, is: every metric beside its floor."""

    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|FOLDER")]
    """A run folder, a shipped generator (cxr-64, cxr-128), a folder of images, or a dataset folder."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The real images: a dataset folder, a folder of images, or shipped features of some (kermany-64, kermany-128)."""
    num: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """How many images a run makes; left out, as many as there are real ones. Of a folder so many are drawn."""
    split: Literal["train", "val", "test"] = "train"
    """Which images of a dataset folder are the real ones."""
    seed: int = 0
    """The run's first seed; it also draws the images of a folder, and those of the floors."""
    best: bool = False
    """Measure the best checkpoint that `train --evaluate-every` found, not the newest."""
    rulers: Annotated[tuple[Ruler, ...], _names("NAME", get_args(Ruler))] = RULERS
    """Networks to measure with: domain, inception (the FID's), inception-imagenet (the reports' Inception Score); with
    extras xrv, rad-dino."""
    inception_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The FID's Inception weights; left out, the cache or a download of 96 MB."""
    imagenet_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """ImageNet's Inception weights, inception_v3_google-0cc3c7bd.pth; left out, the cache or a download of 109 MB."""
    exact: bool = False
    """Both Inceptions in fp32, where the hardware would do bf16."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the rows go; left out, evaluation.json in the run folder, or nowhere for other folders."""

    def run(self) -> int:
        from cxrgan.console import Terminal
        from cxrgan.evaluation.evaluate import check_rows_file, evaluate
        from cxrgan.evaluation.sets import is_run
        from cxrgan.files import write_json
        from cxrgan.report.tables import evaluation_notes, evaluation_tables

        if self.json:
            check_rows_file(self.json)
        measured = evaluate(
            self.target,
            self.data,
            num=self.num,
            split=self.split,
            seed=self.seed,
            best=self.best,
            rulers=self.rulers,
            inception_weights=self.inception_weights,
            imagenet_weights=self.imagenet_weights,
            exact=self.exact,
        )
        say(f"{measured['target']}: {measured['n_fake']} images against {measured['n_real']} of {measured['data']}")
        Terminal().print(*evaluation_tables(measured["rows"]))
        for note in evaluation_notes(measured["rows"]):
            say(note)
        if all(row["value"] is None for row in measured["rows"]):
            raise RunError(
                f"nothing was measured of {measured['target']}: each reason stands above; nothing is written"
            )
        file = self.json or (self.target / "evaluation.json" if is_run(self.target) else None)
        if file:
            write_json(file, measured)
            say(f"rows in {file}")
            if self.json is None:
                Doctor(self.target).run()
        return 0


@dataclass(frozen=True)
class Doctor:
    """Say what went wrong in a run, since when, by which numbers, and what to change; or that it is healthy."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder. What `evaluate` measured of it counts too."""

    def run(self) -> int:
        from cxrgan.runs.folder import RunFolder
        from cxrgan.training.doctor.diagnose import diagnose_run, write_diagnosis

        folder = RunFolder(self.run_folder)
        diagnosis = diagnose_run(folder)
        say(f"at step {diagnosis.step}:\n{diagnosis}")
        write_diagnosis(folder.diagnosis_file, diagnosis)
        return 0


@dataclass(frozen=True)
class Report:
    """Tell all that is known of a run in one HTML file, to read, print or send: it needs no network."""

    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|OUT")]
    """A run folder, or a folder of run folders."""
    without_real: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave out the picture of training images, which may show patients."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The HTML file; left out, report.html in that folder."""

    def run(self) -> int:
        from cxrgan.report.page import check_report_file, write_report

        file = self.out or self.target / "report.html"
        check_report_file(file)
        write_report(self.target, file, without_real=self.without_real)
        say(f"report in {file} ({file.stat().st_size / 1e6:.1f} MB)")
        return 0


@dataclass(frozen=True)
class Experiments:
    """Train and measure the experiments of the reports, or your own, and put all into one table."""

    data: Annotated[str, tyro.conf.arg(metavar="SOURCE|DIR")]
    """What `cxrgan prepare` takes; or a dataset folder, for the experiments of its size."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the datasets, a run folder of each experiment, and the table; what is there is gone on with."""
    only: Annotated[tuple[str, ...], _names("NAME")] = ()
    """Names of experiments, such as exp1,exp3; left out, all."""
    experiments: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A TOML file of your own experiments: a table [NAME] each, with `recipe` and settings as of `train --config`."""
    scale: float = 1.0
    """Share of each run's length to train: 0.1 for a quick look."""
    num: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """At most how many generated images are measured; left out, as many as there are training images."""
    jobs: int = 1
    """Experiments at once."""
    executor: Literal["local", "ray"] = "local"
    """Processes of this machine, or a Ray cluster (extra `ray`): that of RAY_ADDRESS, or one on this machine."""

    def run(self) -> int:
        from cxrgan.experiments.published import EXPERIMENTS
        from cxrgan.experiments.sweep import Sweep, check, choose, prepare_data, read_experiments, run_sweep
        from cxrgan.experiments.table import write_table
        from cxrgan.experiments.workers import Processes, RayCluster

        if not 0 < self.scale <= 1:
            raise UserError(f"--scale is {self.scale:g}, but is a share of the length, above 0 and at most 1")
        if self.jobs < 1 or (self.num is not None and self.num < 1):
            raise UserError("--jobs and --num must be at least 1")
        if self.out.is_file():
            raise UserError(f"--out {self.out} is a file; name a folder")
        experiments = read_experiments(self.experiments) if self.experiments else EXPERIMENTS
        chosen = choose(experiments, self.only)
        workers = Processes(self.jobs) if self.executor == "local" else RayCluster(self.jobs)
        data = prepare_data(self.data, self.out, chosen)
        sweep = Sweep(tuple(experiments), self.out.resolve(), data, self.scale, self.num)
        for experiment in experiments:  # the table shows them all
            check(sweep, experiment)
        unfinished = [experiment for experiment in chosen if not sweep.is_finished(experiment)]
        write_table(sweep)  # a place that takes no file is told before anything is trained
        try:
            run_sweep(sweep, unfinished, workers, self.jobs, on_end=lambda: write_table(sweep))
        except KeyboardInterrupt:
            complain("stopped; the same command goes on from what is saved")
            return 130
        finally:
            write_table(sweep)
        say((sweep.out / "experiments.md").read_text(encoding="utf-8"))
        say(f"the table: experiments.md, .csv and .json in {self.out}")
        left = [experiment.name for experiment in chosen if not sweep.is_finished(experiment)]
        if left:
            complain(f"not finished: {', '.join(left)}; the table says why, and the same command goes on with them")
        return 1 if left else 0


@dataclass(frozen=True)
class TrainDomain:
    """Train the chest X-ray network that metrics are measured with; the shipped one was made so."""

    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """A dataset folder of the Kermany (Kaggle) set, whose file names tell the classes; 128 pixels is best."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The weights to write (.safetensors), with their provenance beside them (.json)."""
    epochs: int = 20
    """Passes over the training images."""
    seed: int = 0
    """Decides the first weights, the order of the images and their augmentation."""

    def run(self) -> int:
        from cxrgan.evaluation.rulers.train import DomainConfig, train_domain

        for file in (self.out, self.out.with_suffix(".json")):
            if file.exists() or self.out.suffix != ".safetensors":
                raise UserError(f"--out {file}: name a new file that ends in .safetensors; nothing is overwritten")
        config = DomainConfig(epochs=self.epochs, seed=self.seed)
        test = train_domain(self.data, self.out, config)["test"]
        say(f"test AUC: pneumonia {test['auc_pneumonia']:.3f}, mean of the classes {test['auc_macro']:.3f}")
        say(f"weights in {self.out}, provenance in {self.out.with_suffix('.json')}")
        return 0


@dataclass(frozen=True)
class Demo:
    """Everything once, in minutes and offline: phantom X-rays, a short training, images, metrics, a report."""

    out: Path = Path("demo")
    """Folder for all that is made; a demo that was interrupted goes on there."""

    def run(self) -> int:
        from cxrgan.data.dataset import load_dataset
        from cxrgan.data.prepare import prepare
        from cxrgan.generation.generator import load_generator
        from cxrgan.generation.writers.png import write_pngs
        from cxrgan.runs.folder import RunFolder
        from cxrgan.training.loop import start

        data, run, images = self.out / "data", self.out / "run", self.out / "images"
        if not (data / "manifest.json").exists():
            say("1. drawing 2000 phantom chest X-rays, 64 x 64 pixels")
            prepare("phantom", data, size=64, num=2000)
        dataset, folder = load_dataset(data), RunFolder(run)
        if not folder.config_file.exists():
            folder = start(recipe("quick"), dataset, run, recipe="quick", data=str(data.resolve()))
        say(f"2. training the recipe `quick` on {len(dataset.images)} of them")
        status = _train(folder, None, data, dataset)
        if status == 0:
            if images.exists():
                say(f"3. the images of {images} were made before")
            else:
                say("3. making 64 images")
                generator = load_generator(run)
                write_pngs(generator.sample(64, seed=0), generator.labels(64, seed=0), 0, images)
            say(f"the images:       {images / 'grid.png'}")
            say(f"real beside fake: {run / 'samples' / 'real-and-fake-end.png'}")
            say(f"the losses:       {run / 'losses.png'}")
            say("4. measuring them with the network that is shipped")
            Evaluate(target=run, data=data, rulers=("domain",)).run()
            say("5. all of it on one page")
            Report(target=run).run()
            say("next, on your own X-rays: cxrgan prepare FOLDER --out DATASET")
        return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for bad input, 1 for work that failed, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    if arguments == ["--version"]:
        say(f"cxrgan {__version__}, torch {version('torch')}, Python {sys.version.split()[0]}")
        return 0
    with as_interrupts() as asked:
        try:
            status: int = _parse(arguments).run()
            return status
        except (KeyboardInterrupt, Exception) as error:
            if asked.is_set() or isinstance(error, KeyboardInterrupt):
                complain("interrupted")
                return 130
            if debug:
                raise
            return _explain(error)


def _explain(error: Exception) -> int:
    """Say in a line what went wrong; returns the exit status."""
    if isinstance(error, UserError):
        complain(str(error))
        return error.exit_status
    if isinstance(error, OSError):
        complain(trouble(error))
    elif isinstance(error, MemoryError) or "allocate" in str(error):
        complain(f"not enough memory ({error or 'none is left'}); ask for less at once: fewer images, smaller networks")
    else:  # a mistake of ours, or a machine at its end: drivers
        complain(f"{type(error).__name__}: {error}; --debug shows where it happened")
    return 1


COMMANDS = {
    "prepare": Prepare,
    "train": Train,
    "generate": Generate,
    "evaluate": Evaluate,
    "doctor": Doctor,
    "report": Report,
    "push": Push,
    "experiments": Experiments,
    "train-domain": TrainDomain,
    "demo": Demo,
}


def _parse(arguments: Sequence[str]) -> Any:
    """The command with its arguments; each is parsed by itself, so that its errors point to its own help."""
    name, *rest = arguments
    config = (tyro.conf.OmitArgPrefixes,)
    if name == "train":
        return tyro.cli(Train, prog="cxrgan train", args=rest, default=Train(settings=_settings(rest)), config=config)
    if name in COMMANDS:
        return tyro.cli(COMMANDS[name], prog=f"cxrgan {name}", args=rest, config=config)
    every: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items())]  # noqa: UP007
    return tyro.cli(every, prog="cxrgan", description=DESCRIPTION, args=arguments, config=config)


def _settings(arguments: Sequence[str]) -> TrainConfig:
    """What the flags of `train` start from: the resumed run's settings, or the recipe with the TOML file over it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("recipe", "config", "resume", "run", "epochs", "steps"):
        parser.add_argument(f"--{name}", nargs="?")  # one without its value is for the real parser to refuse
    chosen, _ = parser.parse_known_args(arguments)
    if chosen.epochs and chosen.steps:
        raise UserError("both --epochs and --steps are given; one of them says how long the run is")
    if chosen.resume:
        new_run = [f"--{name}" for name in ("recipe", "config", "run") if getattr(chosen, name)]
        if new_run:
            raise UserError(f"--resume goes on with a run as it is; leave out {' and '.join(new_run)}")
        from cxrgan.runs.folder import RunFolder

        settings = RunFolder(Path(chosen.resume)).read_info().config
    else:
        settings = recipe(chosen.recipe or "dcgan")
    if chosen.config:
        file = Path(chosen.config)
        settings = with_values(read_toml(file), settings, where=str(file))
    return replace(settings, steps=None) if chosen.epochs else settings


def _train(
    folder: "RunFolder",
    config: TrainConfig | None,
    data: Path,
    dataset: "Dataset",
    *,
    tensorboard: bool = False,
    wandb: bool = False,
) -> int:
    from cxrgan.api import train_run

    config = config or folder.read_info().config
    last = train_run(folder, config, data, dataset, tensorboard=tensorboard, wandb=wandb)
    if last < config.num_steps(len(dataset.images)):
        complain(f"stopped and saved at step {last}; go on with: cxrgan train --resume {folder.path}")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
