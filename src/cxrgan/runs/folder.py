"""The run folder: where each file of a run lies, what config.json says, and the lock on it all."""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from cxrgan import __version__
from cxrgan.errors import RunLocked, UserError
from cxrgan.fields import Fields, read_json
from cxrgan.files import write_json
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.log import Best, LogReader, Row, last_row
from cxrgan.settings import from_dict

LOCK = ".lock"
LEFTOVER = re.compile(r"\.lock|\.config\.\d+\.tmp\.json")
"""What a process that was killed while it made a run folder may have left in it."""


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
    def evaluation_file(self) -> Path:
        return self.path / "evaluation.json"

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
        write_json(self.config_file, {"cxrgan": __version__, "torch": version("torch"), **asdict(info)})

    def read_info(self) -> RunInfo:
        """What config.json says; UserError when there is no run or its settings are not understood."""
        table = self.read_config()
        info = RunInfo(
            recipe=table.text("recipe"),
            config=from_dict(table.table("config").values, TrainConfig(), where=f"{table.where}, config"),
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
