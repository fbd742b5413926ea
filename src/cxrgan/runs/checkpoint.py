"""The run folder: configuration, samples, and checkpoints that are whole or absent and hold no code.

A checkpoint is a folder `step-000500` of safetensors files and one `state.json`. It is written beside its
place and moved in, so that a crash or a full disk leaves the one before untouched.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor, nn

from cxrgan import __version__
from cxrgan.errors import RunLocked, UserError
from cxrgan.fields import Fields, read_json
from cxrgan.files import replacing, write_json
from cxrgan.tensors import Layout, read_tensors
from cxrgan.training.log import Best, LogReader, Row, append_rows, last_row
from cxrgan.training.recipes import DCGAN, TrainConfig, differences, from_dict

ADAM_MEANS = ("exp_avg", "exp_avg_sq")

LOCK = ".lock"
LEFTOVER = re.compile(r"\.lock|\.config\.\d+\.tmp\.json")
"""What a process that was killed while it made a run folder may have left in it."""

MEND_CHECKPOINT = "remove that checkpoint's folder to go on from the one before"

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
    data_identity: str = ""
    """`Dataset.identity`; empty in a run made before there was one."""
    threads: int | None = None
    """CPU threads it began with: with others, sums are added in another order and the bits differ."""

    def other_data(self, *, sha256: str, identity: str) -> str:
        """In what a dataset with these (`Dataset`) is not the run's; empty where it is. Old runs know pixels only."""
        if sha256 != self.data_sha256:
            return "images"
        return "labels, splits or patients" if self.data_identity and identity != self.data_identity else ""


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
    def diagnosis_file(self) -> Path:
        return self.path / "diagnosis.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def create(self, info: RunInfo) -> None:
        """Make the folder and write config.json; UserError when there is a run already, or anything else."""
        self._check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._check_free()  # another process may have been faster
            for leftover in self.path.glob(".config.*"):
                leftover.unlink()
            self.write_info(info)

    def _check_free(self) -> None:
        if self.config_file.exists():
            raise UserError(
                f"{self.path} holds a run already; go on with it: cxrgan train --resume {self.path}, "
                "or name another folder with --run"
            )
        if self.path.is_dir() and not all(LEFTOVER.fullmatch(path.name) for path in self.path.iterdir()):
            raise UserError(f"{self.path} is not empty; name a new folder with --run")

    def write_info(self, info: RunInfo) -> None:
        """Write config.json."""
        write_json(self.config_file, {"cxrgan": __version__, "torch": torch.__version__, **asdict(info)})

    def read_info(self) -> RunInfo:
        """What config.json says; UserError when there is no run or its settings are not understood."""
        table = self.read_config()
        info = RunInfo(
            recipe=table.text("recipe"),
            config=from_dict(table.table("config").values, DCGAN, where=f"{table.where}, config"),
            data=table.text("data"),
            data_sha256=table.text("data_sha256"),
            num_images=table.whole("num_images", 1),
            classes=table.counts("classes") if "classes" in table else {},
            data_identity=table.optional_text("data_identity") or "",
            threads=None if table.values.get("threads") is None else table.whole("threads", 1),
        )
        if len(info.classes) != info.config.model.num_classes:
            table.refuse("classes", f"as many as num_classes, which is {info.config.model.num_classes}")
        if info.classes and (min(info.classes.values()) < 1 or sum(info.classes.values()) != info.num_images):
            table.refuse("classes", f"counts of at least 1 that add up to num_images, {info.num_images}")
        return info

    def read_config(self) -> Fields:
        """The table of config.json."""
        try:
            return read_json(self.config_file, mend="mend it, or start a new run")
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run (no config.json in it)") from None

    def append_rows(self, rows: Sequence[Row]) -> None:
        """Add lines to metrics.jsonl; a number that is not finite becomes null."""
        append_rows(self.metrics_file, rows)

    def rows(self) -> Iterator[Row]:
        """The lines of metrics.jsonl, one by one; a last line that a crash cut off is left out."""
        return LogReader(self.metrics_file).rows()

    def last_row(self) -> Row | None:
        """The last line of metrics.jsonl; None where nothing is logged yet."""
        return last_row(self.metrics_file)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        names = (path.name for path in self.checkpoints.glob("step-*"))
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-([0-9]{6}|[1-9][0-9]{6,})", name))

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:06d}"

    def best_step(self) -> int | None:
        """The step with the best measurement (`log.Best`); None where nothing was measured."""
        best = Best()
        LogReader(self.metrics_file, best.add).read_on()
        return best.step

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run; the lock of a dead process is no lock."""
        try:
            lock = FileLock(self.path / LOCK).acquire(timeout=0)
        except Timeout:
            raise RunLocked(f"another process is training {self.path}; wait for it or stop it") from None
        with lock:
            yield

    def prune(self, keep: int, best: int | None) -> None:
        """Remove all checkpoints but the newest `keep` and the best, and what a killed process left half-written."""
        for step in set(self.steps()[:-keep]) - {best}:
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
        state = read_json(path / "state.json", mend=MEND_CHECKPOINT)
    except FileNotFoundError:
        raise _damaged(path, "it lacks state.json") from None
    saved = from_dict(state.table("config").values, DCGAN, where=f"{state.where}, config")
    check_same(saved, config, where=str(path))
    progress, step = state.table("progress"), int(path.name.removeprefix("step-"))
    found = Progress(progress.whole("step", step, step), progress.number("seconds", 0))
    for name, network in networks.items():
        load_network(path, name, network)
    for name, optimizer in optimizers.items():
        _load_optimizer(path, name, optimizer)
    return found


def load_network(path: Path, name: str, network: nn.Module) -> None:
    """Put the weights `name` of a checkpoint into `network`; one on the device meta gets its first values so.

    UserError where they are not the network's, or not all finite.
    """
    tensors = _read(path, name, {key: _layout(value) for key, value in network.state_dict().items()})
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise _damaged(path, f"weights of {name}.safetensors are no finite numbers")
    network.load_state_dict(tensors, assign=next(network.parameters()).is_meta)


def check_same(saved: TrainConfig, wanted: TrainConfig, *, where: str) -> None:
    """UserError unless a run of `saved` can go on as `wanted`; names what differs."""
    changed = {name: pair for name, pair in differences(saved, wanted).items() if name not in FREE_TO_CHANGE}
    if changed:
        listed = ", ".join(f"{name} was {old}, is now {new}" for name, (old, new) in changed.items())
        raise UserError(f"{where} is of another configuration: {listed}; resume without that, or start a new run")


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"the checkpoint {path} is damaged or incomplete: {reason}; {MEND_CHECKPOINT}")


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state as flat tensors named `3.exp_avg`, by the parameter's place."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, values in state.items() for key, value in values.items()}


def _load_optimizer(path: Path, name: str, optimizer: torch.optim.Optimizer) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    layout: dict[str, tuple[str, tuple[int, ...]]] = {
        f"{index}.step": ("float32", ()) for index in range(len(parameters))
    }
    layout |= {f"{i}.{mean}": _layout(parameter) for i, parameter in enumerate(parameters) for mean in ADAM_MEANS}
    tensors = _read(path, name, layout)
    for index, parameter in enumerate(parameters):
        state = optimizer.state[parameter]
        state["step"] = tensors[f"{index}.step"].to(parameter.device)
        for mean in ADAM_MEANS:  # the fused step wants the memory format of its parameter
            state[mean] = torch.empty_like(parameter).copy_(tensors[f"{index}.{mean}"])


def _read(path: Path, name: str, layout: Layout) -> dict[str, Tensor]:
    """The tensors of a file of the checkpoint `path`, which must be those of `layout`."""
    file = path / f"{name}.safetensors"
    try:
        arrays = read_tensors(file, layout, mend=MEND_CHECKPOINT)
    except FileNotFoundError:
        raise _damaged(path, f"it lacks {file.name}") from None
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def _layout(tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
