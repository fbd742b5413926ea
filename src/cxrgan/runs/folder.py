"""The run folder: where each file of a run is, what config.json says, and the lock on the folder."""

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
from cxrgan.lines import pasted
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.log import Best, LogReader, Row, last_row
from cxrgan.settings import from_dict

LOCK = ".lock"
LEFTOVER = re.compile(r"\.lock|\.config\.\d+\.tmp\.json")
"""What a process that was killed while making a run folder may have left in it."""


@dataclass(frozen=True)
class Ancestor:
    """The run that another one started from."""

    run: str
    """The name of its folder."""
    step: int
    """Of the checkpoint that was taken."""
    seconds: float
    """Of training up to there, with those of its own ancestors."""


@dataclass(frozen=True)
class RunInfo:
    """What config.json says about a run."""

    recipe: str
    config: TrainConfig
    data: str
    """Where the dataset folder is, and below, what it held."""
    data_sha256: str
    num_images: int
    classes: Mapping[str, int]
    """Training images of each class, in the order of the labels; empty for an unconditional run."""
    data_identity: str = ""
    """`Dataset.identity`; empty in runs from before it existed."""
    licence: str | None = None
    """`Dataset.licence`; None in runs from before it was kept."""
    threads: int | None = None
    """CPU threads at the start; another number adds sums in another order, so the bits differ."""
    processes: int = 1
    """That trained together at the start; another number does the same to sums."""
    started_from: Ancestor | None = None
    """Whose weights it began with; None for random ones."""

    def other_data(self, *, sha256: str, identity: str) -> str:
        """How a dataset with these hashes (`Dataset`) differs from the run's, if it does. Old runs know only pixels."""
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
    def audit_file(self) -> Path:
        return self.path / "audit.json"

    @property
    def utility_file(self) -> Path:
        return self.path / "utility.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def create(self, info: RunInfo) -> None:
        """Make the folder and write config.json; UserError if it already holds a run or anything else."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self.check_free()  # another process may have made it meanwhile
            for leftover in self.path.glob(".config.*"):
                leftover.unlink()
            self.write_info(info)

    def check_free(self) -> None:
        """UserError unless a new run can be made here."""
        if self.config_file.exists():
            raise UserError(
                f"{self.path} already holds a run; resume it with {pasted('train', '--resume', self.path)}, "
                "or give another folder with --run"
            )
        if self.path.is_dir() and not all(LEFTOVER.fullmatch(path.name) for path in self.path.iterdir()):
            raise UserError(f"{self.path} is not empty; give a new folder with --run")

    def write_info(self, info: RunInfo) -> None:
        """Write config.json."""
        write_json(self.config_file, {"cxrgan": __version__, "torch": version("torch"), **asdict(info)})

    def read_info(self) -> RunInfo:
        """What config.json says; UserError if there is no run, or its settings are not valid."""
        table = self.read_config()
        info = RunInfo(
            recipe=table.text("recipe"),
            config=from_dict(table.table("config").values, TrainConfig(), where=f"{table.where}, config"),
            data=table.text("data"),
            data_sha256=table.text("data_sha256"),
            num_images=table.whole("num_images", 1),
            classes=table.counts("classes") if "classes" in table else {},
            data_identity=table.optional_text("data_identity") or "",
            licence=table.optional_text("licence"),
            threads=None if table.values.get("threads") is None else table.whole("threads", 1),
            processes=table.whole("processes", 1) if "processes" in table else 1,
            started_from=_ancestor(table),
        )
        if len(info.classes) != info.config.model.num_classes:
            table.refuse("classes", f"as many as num_classes, which is {info.config.model.num_classes}")
        if info.classes and (min(info.classes.values()) < 1 or sum(info.classes.values()) != info.num_images):
            table.refuse("classes", f"counts of at least 1 that add up to num_images, {info.num_images}")
        return info

    def read_config(self) -> Fields:
        """The table of config.json."""
        try:
            return read_json(self.config_file, mend="fix it, or start a new run")
        except FileNotFoundError:
            raise UserError(
                f"{self.path} is not a run folder (it has no config.json); give the folder of a run"
            ) from None

    def rows(self) -> Iterator[Row]:
        """The lines of metrics.jsonl, one by one, without a last line that a crash cut off."""
        return LogReader(self.metrics_file).rows()

    def last_row(self) -> Row | None:
        """The last line of metrics.jsonl; None if nothing is logged yet."""
        return last_row(self.metrics_file)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        names = (path.name for path in self.checkpoints.glob("step-*"))
        return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-([0-9]{6}|[1-9][0-9]{6,})", name))

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:06d}"

    def best_step(self) -> int | None:
        """The step with the best measurement (`log.Best`); None if nothing was measured."""
        best = Best()
        LogReader(self.metrics_file, best.add).read_on()
        return best.step

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run; a process that dies releases the lock."""
        try:
            lock = FileLock(self.path / LOCK).acquire(timeout=0)
        except Timeout:
            raise RunLocked(f"another process is training {self.path}; wait for it to end, or stop it") from None
        with lock:
            yield

    def prune(self, keep: int, best: int | None) -> None:
        """Remove all checkpoints but the newest `keep` and the best, and what a killed process left half-written."""
        for step in set(self.steps()[:-keep]) - {best}:
            shutil.rmtree(self.checkpoint(step))
        for leftover in self.checkpoints.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)


def _ancestor(table: Fields) -> Ancestor | None:
    if table.values.get("started_from") is None:
        return None
    found = table.table("started_from")
    return Ancestor(found.text("run"), found.whole("step", 1), found.number("seconds", 0))
