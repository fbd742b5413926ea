"""`cxrgan train`: what a beginner needs first, then every setting in groups."""

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

from cxrgan.cli.doctor import measure_command
from cxrgan.cli.prepare import free_name
from cxrgan.errors import UserError
from cxrgan.lines import complain, pasted, say
from cxrgan.models.config import ModelConfig
from cxrgan.recipes.config import TrainConfig, with_values
from cxrgan.recipes.named import RECIPES, fitted, recipe, recommended
from cxrgan.settings import documentation, read_toml

if TYPE_CHECKING:
    from cxrgan.data.dataset import Dataset
    from cxrgan.runs.folder import RunFolder
    from cxrgan.training.distributed import Processes
    from cxrgan.training.loop import Observer

GROUPS: Mapping[str, tuple[str, ...]] = {
    "length": ("epochs", "steps", "batch_size", "seed"),
    "game": (
        *("loss", "gradient_penalty", "penalty_every", "penalty_images", "augment", "augment_target", "ema_halflife"),
        *("final_gradient_penalty", "final_ema_halflife"),
    ),
    "optimiser": ("lr", "beta1", "beta2", "final_lr", "final_beta2", "learning_layers"),
    "output": (
        *("log_every", "sample_every", "num_samples", "checkpoint_every", "keep_checkpoints"),
        *("evaluate_every", "num_evaluated"),
    ),
    "machine": ("device", "precision", "compile"),
}
"""The other settings, as the help groups them; those of the networks are a group of their own."""


def _group(name: str, config: type, chosen: Sequence[str]) -> Any:
    """A dataclass of these fields of a config, from which tyro makes a group of options."""
    hints, texts = get_type_hints(config), documentation(config)
    defaults = {field.name: field.default for field in fields(config)}
    hints["num_classes"] = tyro.conf.Suppress[tyro.conf.Fixed[int]]  # the dataset says
    options = [(name, Annotated[hints[name], tyro.conf.arg(help=texts[name])], defaults[name]) for name in chosen]
    return make_dataclass(name, options, frozen=True)


NETWORKS = tuple(field.name for field in fields(ModelConfig))
Length, Game, Optimiser, Output, Machine = (
    _group(name.capitalize(), TrainConfig, chosen) for name, chosen in GROUPS.items()
)
Networks = _group("Networks", ModelConfig, NETWORKS)


@dataclass(frozen=True)
class Train:
    """Train a GAN on a dataset folder, or resume a run. The values shown are those of --recipe."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The dataset folder that `cxrgan prepare` made; a resumed run knows its own."""
    run_folder: Annotated[Path | None, tyro.conf.arg(name="run", metavar="DIR")] = None
    """The run folder to make."""
    recipe: Literal[tuple(RECIPES)] | None = None  # type: ignore[valid-type]
    """Named settings to start from; if left out, the recommended ones for the image size: fast-64, stable-128,
    stable-256 or stable-512. The reports' own are dcgan and exp1 to exp6."""
    conditional: bool = TrainConfig.conditional
    """Learn to make images of a given class; every training image must have a label."""
    time: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    """How long to train, such as 2h or 90min: the first steps are timed, and as many are made as fit. If left out, the
    length is that of --epochs or --steps."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A run folder to continue from its newest checkpoint; --epochs or --steps may ask for more."""
    start_from: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """A run folder whose weights the new run begins with: one of the same networks, or of half the image size, which
    then grow."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A TOML file of settings, named as below; those of the networks go into a table [model]."""
    dry_run: bool = False
    """Make no run, but say what it would take: compute, memory, disk and time, by a few steps that are thrown away."""
    tensorboard: bool = False
    """Write TensorBoard event files too."""
    wandb: bool = False
    """Send numbers and grids to Weights & Biases too; with WANDB_MODE=offline they stay in the run folder."""
    length: Length = field(default_factory=Length)  # type: ignore[valid-type]
    """How long, in which batches, and the seed."""
    game: Game = field(default_factory=Game)  # type: ignore[valid-type]
    """What the two networks play for."""
    optimiser: Optimiser = field(default_factory=Optimiser)  # type: ignore[valid-type]
    """Adam, for both networks."""
    networks: Networks = field(default_factory=Networks)  # type: ignore[valid-type]
    """What the networks are made of; in a TOML file, in the table [model]."""
    output: Output = field(default_factory=Output)  # type: ignore[valid-type]
    """What is written, and how often."""
    machine: Machine = field(default_factory=Machine)  # type: ignore[valid-type]
    """Where and how it computes."""

    @classmethod
    def starting_from(cls, config: TrainConfig) -> "Train":
        """The command with the options of a configuration."""

        def taken(kind: Any, owner: object) -> Any:
            return kind(**{field.name: getattr(owner, field.name) for field in fields(kind)})

        return cls(
            conditional=config.conditional,
            length=taken(Length, config),
            game=taken(Game, config),
            optimiser=taken(Optimiser, config),
            networks=taken(Networks, config.model),
            output=taken(Output, config),
            machine=taken(Machine, config),
        )

    @property
    def settings(self) -> TrainConfig:
        """The options as one configuration."""
        groups = (self.length, self.game, self.optimiser, self.output, self.machine)
        values = {name: value for group in groups for name, value in vars(group).items()}
        model = ModelConfig(**vars(self.networks))
        return TrainConfig(model=model, conditional=self.conditional, **values)

    def run(self) -> int:
        from cxrgan.training.distributed import joined
        from cxrgan.training.observers import require_tensorboard, require_wandb

        settings = self.settings  # what is wrong with them comes first
        if self.dry_run:
            return self._estimate(settings)
        if self.tensorboard:
            require_tensorboard()
        if self.wandb:
            require_wandb()
        with joined(settings.device) as processes:
            return self._run(settings, processes)

    def _run(self, settings: TrainConfig, processes: "Processes") -> int:
        from cxrgan.api import begin, data_of
        from cxrgan.console import duration
        from cxrgan.data.dataset import load_dataset
        from cxrgan.runs.folder import RunFolder

        if self.resume is not None:
            folder = RunFolder(self.resume)
            dataset = data_of(folder, self.data, processes)
        else:
            if self.data is None or self.run_folder is None:
                raise UserError("name the dataset and the run: cxrgan train --data DIR --run DIR (or --resume DIR)")
            dataset = load_dataset(self.data)
            name = "custom" if self.config else self.recipe or recommended(dataset.image_size)
            folder = begin(
                settings,
                dataset,
                self.run_folder,
                processes,
                recipe=name,
                time=self.time,
                start_from=self.start_from,
            )
        config = settings if self.resume else folder.read_info().config
        status = train(folder, config, dataset, processes, tensorboard=self.tensorboard, wandb=self.wandb)
        if status == 0 and processes.is_first:
            seconds = (folder.last_row() or {}).get("seconds") or 0
            say(f"{duration(seconds)} of training; losses.png and samples in {folder.path}")
            say(f"make images: {pasted('generate', folder.path, '--num', 64, '--out', 'images')}")
        return status

    def _estimate(self, settings: TrainConfig) -> int:
        from cxrgan.api import estimated, in_time
        from cxrgan.data.dataset import load_dataset

        if self.data is None or self.resume is not None:
            raise UserError("--dry-run is about a new run: cxrgan train --data DIR --dry-run, with its other options")
        dataset = load_dataset(self.data)
        if self.time is not None:
            settings = in_time(settings, dataset, self.time, self.run_folder or Path(free_name(Path("runs/first"))))
        say(str(estimated(settings, dataset, start_from=self.start_from)))
        return 0


def train(
    folder: "RunFolder",
    config: TrainConfig,
    dataset: "Dataset",
    processes: "Processes",
    *,
    tensorboard: bool = False,
    wandb: bool = False,
) -> int:
    """Train a run that was started, tell what the doctor says; returns the exit status."""
    from cxrgan.api import carry_on
    from cxrgan.training.observers import TensorBoard, WeightsAndBiases

    with contextlib.ExitStack() as stack:
        observers: list[Observer] = [TensorBoard(folder)] if tensorboard and processes.is_first else []
        observers += [stack.enter_context(WeightsAndBiases(folder))] if wandb and processes.is_first else []
        last, diagnosis = carry_on(folder, config, dataset, processes, observers=observers)
    done = last >= config.num_steps(len(dataset))
    if not processes.is_first:
        return 0 if done else 130
    for line in str(diagnosis).splitlines():
        say(f"doctor: {line}")
    if not diagnosis.measured:
        say(measure_command(folder))
    if not done:
        complain(f"stopped and saved at step {last}; continue with: {pasted('train', '--resume', folder.path)}")
        return 130
    return 0


def parse(arguments: Sequence[str]) -> Train:
    """The command with its arguments, over the settings that they start from."""
    default = Train.starting_from(_settings(arguments))
    return tyro.cli(Train, prog="cxrgan train", args=arguments, default=default, config=(tyro.conf.OmitArgPrefixes,))


def _settings(arguments: Sequence[str]) -> TrainConfig:
    """What the flags start from: the resumed run's settings, or the recipe with the TOML file over it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("data", "recipe", "config", "resume", "run", "start-from", "epochs", "steps", "time"):
        parser.add_argument(f"--{name}", nargs="?")  # one without its value is for the real parser to refuse
    chosen, _ = parser.parse_known_args(arguments)
    lengths = [f"--{name}" for name in ("epochs", "steps", "time") if getattr(chosen, name)]
    if len(lengths) > 1:
        raise UserError(f"{' and '.join(lengths)} are given; one of them says how long the run is")
    if chosen.resume and chosen.time:
        raise UserError("--time plans a new run; a resumed run keeps its plan, or give a new length with --steps")
    if chosen.resume:
        given = {"--recipe": chosen.recipe, "--config": chosen.config, "--run": chosen.run}
        new_run = [name for name, value in {**given, "--start-from": chosen.start_from}.items() if value]
        if new_run:
            raise UserError(f"--resume continues a run as it is; leave out {' and '.join(new_run)}")
        from cxrgan.runs.folder import RunFolder

        settings = RunFolder(Path(chosen.resume)).read_info().config
    elif chosen.recipe:
        settings = recipe(chosen.recipe)
    else:
        settings = _recommended(chosen.data)
    if chosen.config:
        file = Path(chosen.config)
        settings = with_values(read_toml(file), settings, where=str(file))
    return replace(settings, steps=None) if chosen.epochs else settings


def _recommended(data: str | None) -> TrainConfig:
    """The recipe to begin with for the images of a dataset folder; that of 64 pixels where none is named."""
    if data is None:
        return recipe(recommended(64))
    from cxrgan.data.dataset import read_manifest

    size = read_manifest(Path(data)).size
    return fitted(recipe(recommended(size)), size)
