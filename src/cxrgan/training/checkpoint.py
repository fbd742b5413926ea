"""The run folder: configuration, log, samples, and checkpoints that are whole or absent and hold no code.

A checkpoint is a folder `step-000500` of safetensors files and one `state.json`. It is written beside its
place and moved in, so that a crash or a full disk leaves the one before untouched.
"""

import contextlib
import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cxrgan import __version__
from cxrgan.errors import RunLocked, UserError
from cxrgan.files import replacing, write_bytes, write_json
from cxrgan.training.recipes import DCGAN, TrainConfig, differences, from_dict

try:
    import fcntl
except ImportError:  # Windows: two processes on one run are not kept apart
    fcntl = None  # type: ignore[assignment]

Row = Mapping[str, float | int | str | None]

BEST_BY = "frechet_distance"
"""The measurement that decides which checkpoint is the best: the lower, the better."""

MEASURED_WITH = ("features", "n_real", "n_fake")
"""What two measurements must have in common to be compared."""

ADAM_STATE = {"step", "exp_avg", "exp_avg_sq"}

FREE_TO_CHANGE = frozenset(
    {
        "epochs",
        "steps",
        "device",
        "precision",
        "compile",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "num_samples",
        "evaluate_every",
        "num_evaluated",
        "keep_checkpoints",
    }
)
"""Settings that a resumed run may change: how long and where it runs, and what it writes, not what it computes."""


@dataclass(frozen=True)
class RunInfo:
    """What config.json says of a run."""

    recipe: str
    config: TrainConfig
    data: str
    """Where the dataset folder is, and below, what it held."""
    data_sha256: str
    num_images: int
    classes: Mapping[str, int]
    """Training images of each class, in the order of the labels; empty where the run knows no classes."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def create(self, info: RunInfo) -> None:
        """Make the folder and write config.json; UserError when there is a run already."""
        if self.config_file.exists():
            raise UserError(
                f"{self.path} holds a run already; go on with it: cxrgan train --resume {self.path}, "
                "or name another folder with --run"
            )
        if self.path.is_dir() and any(self.path.iterdir()):
            raise UserError(f"{self.path} is not empty; name a new folder with --run")
        self.write_info(info)

    def write_info(self, info: RunInfo) -> None:
        """Write config.json."""
        write_json(self.config_file, {"cxrgan": __version__, "torch": torch.__version__, **asdict(info)})

    def read_info(self) -> RunInfo:
        """What config.json says; UserError when there is no run or its settings are not understood."""
        try:
            values = json.loads(self.config_file.read_text(encoding="utf-8"))
            config = from_dict(values["config"], DCGAN, where=str(self.config_file))
            recipe, data, data_sha256 = (str(values[name]) for name in ("recipe", "data", "data_sha256"))
            classes = {str(name): int(count) for name, count in values.get("classes", {}).items()}
            return RunInfo(recipe, config, data, data_sha256, int(values["num_images"]), classes)
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run (no config.json in it)") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"cannot read {self.config_file}: {error!r}") from error

    def append_rows(self, rows: Sequence[Row]) -> None:
        """Add lines to metrics.jsonl; a number that is not finite becomes null."""
        with self.metrics_file.open("a") as stream:
            stream.writelines(json.dumps(_finite(row)) + "\n" for row in rows)

    def read_rows(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a crash cut off is left out."""
        if not self.metrics_file.exists():
            return []
        try:
            lines = self.metrics_file.read_text(encoding="utf-8").split("\n")
            return [json.loads(line) for line in lines[:-1]]
        except ValueError as error:
            raise UserError(f"{self.metrics_file} is damaged: {error}; mend or remove the line") from error

    def keep_rows(self, last_step: int) -> None:
        """Drop the lines after `last_step`, which a resumed run writes again."""
        rows = [row for row in self.read_rows() if row["step"] <= last_step]
        write_bytes(self.metrics_file, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        names = (path.name for path in self.checkpoints.glob("step-*"))
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-\d+", name))

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:06d}"

    def best_step(self) -> int | None:
        """The step with the lowest Frechet distance since it is measured as it is now; None where nothing was measured.

        A resumed run may measure other numbers of images, or with another ruler, and only equal ones can be compared.
        """
        measured = [row for row in self.read_rows() if row.get(BEST_BY) is not None]
        kinds = [tuple(row.get(name) for name in MEASURED_WITH) for row in measured]
        num_alike = len(list(itertools.takewhile(lambda kind: kind == kinds[-1], reversed(kinds))))
        alike = measured[len(measured) - num_alike :]
        return min(alike, key=lambda row: float(row[BEST_BY]))["step"] if alike else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run; the lock of a dead process is no lock."""
        if fcntl is None:
            yield
            return
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunLocked(f"another process is training {self.path}; wait for it or stop it") from None
            yield

    def prune(self, keep: int) -> None:
        """Remove all checkpoints but the newest `keep` and the best, and what a killed process left half-written."""
        for step in set(self.steps()[:-keep]) - {self.best_step()}:
            shutil.rmtree(self.checkpoint(step))
        for leftover in self.checkpoints.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)


@dataclass(frozen=True)
class Progress:
    """How far a run is; with the weights and the optimisers' state it is all that a resumed run needs."""

    step: int
    seconds: float


def save_checkpoint(
    path: Path,
    *,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    config: TrainConfig,
    progress: Progress,
) -> None:
    """Write a checkpoint folder, whole or not at all."""
    with replacing(path) as folder:
        folder.mkdir(parents=True)
        for name, network in networks.items():
            (folder / f"{name}.safetensors").write_bytes(save(_contiguous(network.state_dict())))
        for name, optimizer in optimizers.items():
            (folder / f"{name}.safetensors").write_bytes(save(_contiguous(_optimizer_tensors(optimizer))))
        write_json(folder / "state.json", {"progress": asdict(progress), "config": asdict(config)})


def load_checkpoint(
    path: Path,
    *,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    config: TrainConfig,
) -> Progress:
    """Put a checkpoint into networks and optimisers, in place; executes nothing from it.

    UserError when it is damaged, or of another configuration: the differences are named.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        check_same(from_dict(state["config"], DCGAN, where=str(path)), config, where=str(path))
        for name, network in networks.items():
            network.load_state_dict(load_file(path / f"{name}.safetensors"))
        for name, optimizer in optimizers.items():
            _load_optimizer(optimizer, load_file(path / f"{name}.safetensors"))
        return Progress(**state["progress"])
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RuntimeError, SafetensorError) as error:
        raise _damaged(path, error) from error


def load_network(path: Path, name: str, network: nn.Module) -> None:
    """Put the weights `name` of a checkpoint into `network`."""
    try:
        network.load_state_dict(load_file(path / f"{name}.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _damaged(path, error) from error


def check_same(saved: TrainConfig, wanted: TrainConfig, *, where: str) -> None:
    """UserError unless a run of `saved` can go on as `wanted`; names what differs."""
    changed = {name: pair for name, pair in differences(saved, wanted).items() if name not in FREE_TO_CHANGE}
    if changed:
        listed = ", ".join(f"{name} was {old}, is now {new}" for name, (old, new) in changed.items())
        raise UserError(f"{where} is of another configuration: {listed}; resume without that, or start a new run")


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(
        f"the checkpoint {path} is damaged or incomplete: {reason}; remove it to go on from the one before"
    )


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state as flat tensors named `3.exp_avg`, by the parameter's place."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, values in state.items() for key, value in values.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        index, key = name.split(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:  # the fused step wants the memory format of its parameter
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value.to(parameter.device)
    if any(optimizer.state[parameter].keys() != ADAM_STATE for parameter in parameters):
        raise ValueError("the optimiser's state lacks a parameter")


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _finite(row: Row) -> Row:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
