"""Every command of `cxrgan`: parses and wires, computes nothing.

Each command is a frozen dataclass whose fields are its arguments. Heavy imports stand inside `run`, so that
help and errors of the command line come at once.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from cxrgan.errors import UserError
from cxrgan.images import Fit
from cxrgan.training.recipes import DCGAN, RECIPES, TrainConfig, from_dict, recipe

if TYPE_CHECKING:
    from cxrgan.data.dataset import Dataset
    from cxrgan.training.checkpoint import RunFolder

DESCRIPTION = """Train GANs on chest X-rays and make images with them.

Research and teaching only, no clinical use. `cxrgan COMMAND --help` explains a command; `--debug` after any
command shows the traceback of an error."""


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
        print(f"dataset in {self.out}; train on it: cxrgan train --data {self.out} --run runs/first")
        return 0


@dataclass(frozen=True)
class Train:
    """Train a GAN on a dataset folder, or go on with a run. The values shown are those of --recipe."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The dataset folder, made by `cxrgan prepare`; a resumed run knows its own."""
    run_folder: Annotated[Path | None, tyro.conf.arg(name="run", metavar="DIR")] = None
    """The run folder to make."""
    recipe: Literal[tuple(RECIPES)] = "dcgan"  # type: ignore[valid-type]
    """Named settings to start from: the tutorial's DCGAN, a small quick one, or an experiment of the reports."""
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

        if self.resume is not None:
            folder = RunFolder(self.resume)
            dataset = load_dataset(self.data or Path(folder.read_info().data))
        else:
            if self.data is None or self.run_folder is None:
                raise UserError("name the dataset and the run: cxrgan train --data DIR --run DIR (or --resume DIR)")
            dataset = load_dataset(self.data)
            name = "custom" if self.config else self.recipe
            folder = start(self.settings, dataset, self.run_folder, recipe=name, data=str(self.data.resolve()))
        status = _train(folder, self.settings if self.resume else None, dataset, self.tensorboard)
        if status == 0:
            seconds = folder.read_rows()[-1]["seconds"]
            print(f"{duration(seconds)} of training; losses.png and samples in {folder.path}")
            print(f"make images: cxrgan generate {folder.path} --num 64 --out images")
        return status


@dataclass(frozen=True)
class Generate:
    """Make images with a trained run."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the images."""
    num: int = 64
    """How many images; image i is that of seed + i."""
    seed: int = 0
    """The first seed."""
    format: Literal["png", "npz"] = "png"
    """A PNG for each image and one grid, or one npz file with all."""
    interpolate: tuple[int, int] | None = None
    """Two seeds: make instead the way from one to the other, as a strip and a GIF."""
    frames: int = 12
    """Images on that way."""

    def run(self) -> int:
        from cxrgan.generate import load_generator, write_interpolation, write_npz, write_pngs

        generator = load_generator(self.run_folder)
        if self.interpolate is not None:
            images = generator.interpolate(self.interpolate, self.frames)
            write_interpolation(images, self.interpolate, self.out)
        else:
            images = generator.sample(self.num, self.seed)
            (write_pngs if self.format == "png" else write_npz)(images, self.seed, self.out)
        print(f"{len(images)} synthetic images of step {generator.step} in {self.out}")
        return 0


@dataclass(frozen=True)
class Demo:
    """Everything once, in minutes and offline: phantom X-rays, a short training, a grid and the loss plot."""

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
        status = _train(folder, None, dataset, tensorboard=False)
        if status == 0:
            print("3. making 64 images", flush=True)
            write_pngs(load_generator(run).sample(64, seed=0), 0, images)
            print(f"the images:       {images / 'grid.png'}")
            print(f"real beside fake: {run / 'samples' / 'real-and-fake-end.png'}")
            print(f"the losses:       {run / 'losses.png'}")
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


def _commands(arguments: Sequence[str]) -> Any:
    settings = _settings(arguments) if arguments[0] == "train" else DCGAN
    train = tyro.conf.subcommand("train", default=Train(settings=settings))
    return (
        Annotated[Prepare, tyro.conf.subcommand("prepare")]
        | Annotated[Train, train]
        | Annotated[Generate, tyro.conf.subcommand("generate")]
        | Annotated[Demo, tyro.conf.subcommand("demo")]
    )


def _settings(arguments: Sequence[str]) -> TrainConfig:
    """What the flags of `train` start from: the resumed run's settings, or the recipe with the TOML file over it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--resume", type=Path)
    chosen, _ = parser.parse_known_args(arguments)
    if chosen.resume is not None:
        from cxrgan.training.checkpoint import RunFolder

        return RunFolder(chosen.resume).read_info().config
    settings = recipe(chosen.recipe)
    if chosen.config is None:
        return settings
    try:
        values = tomllib.loads(chosen.config.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {chosen.config}: {error}") from error
    return from_dict(values, settings, where=str(chosen.config))


def _train(folder: "RunFolder", config: TrainConfig | None, dataset: "Dataset", tensorboard: bool) -> int:
    from cxrgan.console import ProgressBar
    from cxrgan.training.loop import Observer, train
    from cxrgan.training.observers import LiveLine, LossPlot, TensorBoard

    config = config or folder.read_info().config
    num_steps, done = config.num_steps(len(dataset.images)), (folder.steps() or [0])[-1]
    on_screen = f"{folder.read_info().recipe} on {config.device} in {config.precision}"
    with ProgressBar(on_screen, num_steps, done=done) as bar:
        observers: list[Observer] = [LiveLine(bar), LossPlot(folder)]
        if tensorboard:
            observers.append(TensorBoard(folder))
        last = train(folder, config, dataset, observers)
    if last < num_steps:
        print(f"stopped and saved at step {last}; go on with: cxrgan train --resume {folder.path}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
