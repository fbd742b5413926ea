"""Every command of `cxrgan`: parses and wires, computes nothing.

Each command is a frozen dataclass whose fields are its arguments. Heavy imports stand inside `run`, so that
help and errors of the command line come at once.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from cxrgan.errors import RunError, UserError
from cxrgan.evaluation import Ruler
from cxrgan.images import Fit
from cxrgan.training.recipes import DCGAN, RECIPES, TrainConfig, read_toml, recipe, with_values

if TYPE_CHECKING:
    from cxrgan.data.dataset import Dataset
    from cxrgan.training.checkpoint import RunFolder

DESCRIPTION = """Train GANs on chest X-rays and make images with them.

Research and teaching only, no clinical use. `cxrgan COMMAND --help` explains a command; `--debug` after any
command shows the traceback of an error."""

BY_SIZE = {64: "fast-64", 128: "stable-128", 256: "stable-256"}  # the recipe to begin with


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

        print(summary(prepare(self.source, self.out, self.size, self.fit, self.seed, self.num)))
        recipe = f" --recipe {BY_SIZE[self.size]}" if self.size in BY_SIZE else ""
        print(f"dataset in {self.out}; train on it: cxrgan train --data {self.out}{recipe} --run runs/first")
        return 0


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
    settings: TrainConfig = DCGAN

    def run(self) -> int:
        from cxrgan.console import duration
        from cxrgan.data.dataset import load_dataset
        from cxrgan.training.checkpoint import RunFolder
        from cxrgan.training.loop import start
        from cxrgan.training.observers import require_tensorboard

        if self.tensorboard:
            require_tensorboard()
        if self.resume is not None:
            folder = RunFolder(self.resume)
            data = self.data or Path(folder.read_info().data)
            if self.data is None and not data.exists():
                raise UserError(f"the run's dataset is no longer at {data}; name its new place with --data DIR")
            dataset = load_dataset(data)
            if self.data is not None and dataset.sha256 == folder.read_info().data_sha256:
                folder.write_info(replace(folder.read_info(), data=str(data.resolve())))
        else:
            if self.data is None or self.run_folder is None:
                raise UserError("name the dataset and the run: cxrgan train --data DIR --run DIR (or --resume DIR)")
            data, dataset = self.data, load_dataset(self.data)
            name = "custom" if self.config else self.recipe
            folder = start(self.settings, dataset, self.run_folder, recipe=name, data=str(data.resolve()))
        status = _train(folder, self.settings if self.resume else None, data, dataset, self.tensorboard)
        if status == 0:
            seconds = sum(row["seconds"] for row in folder.read_rows()[-1:])
            print(f"{duration(seconds)} of training; losses.png and samples in {folder.path}")
            print(f"make images: cxrgan generate {folder.path} --num 64 --out images")
        return status


@dataclass(frozen=True)
class Generate:
    """Make images with a trained run."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder, or a shipped generator: cxr-64, cxr-128."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the images."""
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
        from cxrgan.generate import load_generator, write_interpolation, write_npz, write_pngs

        generator = load_generator(self.run_folder, best=self.best)
        if self.interpolate is not None:
            images = generator.interpolate(self.interpolate, self.frames, self.label)
            write_interpolation(images, self.interpolate, self.out)
        else:
            images = generator.sample(self.num, self.seed, self.label)
            labels = generator.labels(self.num, self.seed, self.label)
            (write_pngs if self.format == "png" else write_npz)(images, labels, self.seed, self.out)
        print(f"{len(images)} synthetic images of step {generator.step} in {self.out}")
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
    rulers: tuple[Ruler, ...] = ("domain", "inception")
    """Networks to measure with; the last two need extras: domain, inception, xrv, rad-dino."""
    inception_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The FID's Inception weights; left out, the cache or a download of 96 MB."""
    exact: bool = False
    """Inception in fp32, where the hardware would do bf16."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the rows go; left out, evaluation.json in the run folder, or nowhere for other folders."""

    def run(self) -> int:
        from rich.console import Console

        from cxrgan.evaluation.sets import is_run
        from cxrgan.files import write_json
        from cxrgan.report import evaluation_notes, evaluation_tables
        from cxrgan.runs import measure

        if self.json and self.json.is_dir():
            raise UserError(f"--json {self.json} is a folder; name a file, such as {self.json / 'rows.json'}")
        measured = measure(
            self.target,
            self.data,
            num=self.num,
            split=self.split,
            seed=self.seed,
            best=self.best,
            rulers=self.rulers,
            inception_weights=self.inception_weights,
            exact=self.exact,
        )
        print(f"{measured['target']}: {measured['n_fake']} images against {measured['n_real']} of {measured['data']}")
        Console().print(*evaluation_tables(measured["rows"]))
        for note in evaluation_notes(measured["rows"]):
            print(note)
        if all(row["value"] is None for row in measured["rows"]):
            raise RunError(
                f"nothing was measured of {measured['target']}: each reason stands above; nothing is written"
            )
        file = self.json or (self.target / "evaluation.json" if is_run(self.target) else None)
        if file:
            write_json(file, measured)
            print(f"rows in {file}")
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
        from cxrgan.page import write_report

        file = self.out or self.target / "report.html"
        if file.is_dir():
            raise UserError(f"--out {file} is a folder; name a file, such as {file / 'report.html'}")
        write_report(self.target, file, without_real=self.without_real)
        print(f"report in {file} ({file.stat().st_size / 1e6:.1f} MB)")
        return 0


@dataclass(frozen=True)
class Experiments:
    """Train and measure the experiments of the reports, or your own, and put all into one table."""

    data: Annotated[str, tyro.conf.arg(metavar="SOURCE|DIR")]
    """What `cxrgan prepare` takes; or a dataset folder, for the experiments of its size."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the datasets, a run folder of each experiment, and the table; what is there is gone on with."""
    only: tuple[str, ...] = ()
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
        from cxrgan.experiment_table import write_table
        from cxrgan.experiments import EXPERIMENTS, Sweep, check, choose, prepare_data, read_experiments, run_sweep
        from cxrgan.workers import Processes, RayCluster

        if not 0 < self.scale <= 1:
            raise UserError(f"--scale is {self.scale:g}, but is a share of the length, above 0 and at most 1")
        if self.jobs < 1 or (self.num is not None and self.num < 1):
            raise UserError("--jobs and --num must be at least 1")
        if self.out.is_file():
            raise UserError(f"--out {self.out} is a file; name a folder")
        experiments = read_experiments(self.experiments) if self.experiments else EXPERIMENTS
        chosen = choose(experiments, [name for names in self.only for name in names.split(",") if name])
        workers = Processes(self.jobs) if self.executor == "local" else RayCluster(self.jobs)
        data = prepare_data(self.data, self.out, chosen)
        sweep = Sweep(tuple(experiments), self.out.resolve(), data, self.scale, self.num)
        for experiment in experiments:  # the table shows them all
            check(sweep, experiment)
        unfinished = [experiment for experiment in chosen if not sweep.is_finished(experiment)]
        try:
            run_sweep(sweep, unfinished, workers, self.jobs, on_end=lambda: write_table(sweep))
        except KeyboardInterrupt:
            print("stopped; the same command goes on from what is saved", file=sys.stderr)
            return 130
        finally:
            write_table(sweep)
        print((sweep.out / "experiments.md").read_text(encoding="utf-8"))
        print(f"the table: experiments.md, .csv and .json in {self.out}")
        return 0 if all(sweep.is_finished(experiment) for experiment in chosen) else 1


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
        from cxrgan.evaluation.train_domain import DomainConfig, train_domain

        config = DomainConfig(epochs=self.epochs, seed=self.seed)
        test = train_domain(self.data, self.out, config)["test"]
        print(f"test AUC: pneumonia {test['auc_pneumonia']:.3f}, mean of the classes {test['auc_macro']:.3f}")
        print(f"weights in {self.out}, provenance in {self.out.with_suffix('.json')}")
        return 0


@dataclass(frozen=True)
class Demo:
    """Everything once, in minutes and offline: phantom X-rays, a short training, images, metrics, a report."""

    out: Path = Path("demo")
    """Folder for all that is made; a demo that was interrupted goes on there."""

    def run(self) -> int:
        from cxrgan.data.dataset import load_dataset
        from cxrgan.data.prepare import prepare
        from cxrgan.generate import load_generator, write_pngs
        from cxrgan.training.checkpoint import RunFolder
        from cxrgan.training.loop import start

        data, run, images = self.out / "data", self.out / "run", self.out / "images"
        if not (data / "manifest.json").exists():
            print("1. drawing 2000 phantom chest X-rays, 64 x 64 pixels", flush=True)
            prepare("phantom", data, size=64, num=2000)
        dataset, folder = load_dataset(data), RunFolder(run)
        if not folder.config_file.exists():
            folder = start(recipe("quick"), dataset, run, recipe="quick", data=str(data.resolve()))
        print(f"2. training the recipe `quick` on {len(dataset.images)} of them", flush=True)
        status = _train(folder, None, data, dataset)
        if status == 0:
            print("3. making 64 images", flush=True)
            generator = load_generator(run)
            write_pngs(generator.sample(64, seed=0), generator.labels(64, seed=0), 0, images)
            print(f"the images:       {images / 'grid.png'}")
            print(f"real beside fake: {run / 'samples' / 'real-and-fake-end.png'}")
            print(f"the losses:       {run / 'losses.png'}")
            print("4. measuring them with the network that is shipped", flush=True)
            Evaluate(target=run, data=data, rulers=("domain",)).run()
            print("5. all of it on one page", flush=True)
            Report(target=run).run()
            print("next, on your own X-rays: cxrgan prepare FOLDER --out DATASET")
        return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for bad input, 1 for work that failed, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        command = tyro.cli(
            _commands(arguments or ["--help"]),
            prog="cxrgan",
            description=DESCRIPTION,
            args=arguments or ["--help"],
            config=(tyro.conf.OmitArgPrefixes,),
        )
        status: int = command.run()
        return status
    except UserError as error:
        if debug:
            raise
        print(f"cxrgan: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        if debug:
            raise
        print(f"cxrgan: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cxrgan: interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # a mistake of ours, or a machine at its end: memory, drivers
        if debug:
            raise
        print(f"cxrgan: {type(error).__name__}: {error}; --debug shows where it happened", file=sys.stderr)
        return 1


def _commands(arguments: Sequence[str]) -> Any:
    settings = _settings(arguments) if arguments[0] == "train" else DCGAN
    train = tyro.conf.subcommand("train", default=Train(settings=settings))
    return (
        Annotated[Prepare, tyro.conf.subcommand("prepare")]
        | Annotated[Train, train]
        | Annotated[Generate, tyro.conf.subcommand("generate")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Experiments, tyro.conf.subcommand("experiments")]
        | Annotated[TrainDomain, tyro.conf.subcommand("train-domain")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
    )


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
        from cxrgan.training.checkpoint import RunFolder

        settings = RunFolder(Path(chosen.resume)).read_info().config
    else:
        settings = recipe(chosen.recipe or "dcgan")
    if chosen.config:
        file = Path(chosen.config)
        settings = with_values(read_toml(file), settings, where=str(file))
    return replace(settings, steps=None) if chosen.epochs else settings


def _train(
    folder: "RunFolder", config: TrainConfig | None, data: Path, dataset: "Dataset", tensorboard: bool = False
) -> int:
    from cxrgan.runs import train_run

    config = config or folder.read_info().config
    last = train_run(folder, config, data, dataset, tensorboard=tensorboard)
    if last < config.num_steps(len(dataset.images)):
        print(f"stopped and saved at step {last}; go on with: cxrgan train --resume {folder.path}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
