"""`cxrgan prepare`."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from cxrgan.errors import UserError
from cxrgan.images import Fit
from cxrgan.lines import pasted, say

if TYPE_CHECKING:
    from cxrgan.data.prepare import Manifest
    from cxrgan.data.sources.labels import LabelTable


@dataclass(frozen=True)
class Prepare:
    """Turn chest X-rays from anywhere into a dataset folder."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A folder (Kaggle's layout, classes, or flat; DICOM too), a MedMNIST .npz, or one of: phantom, pneumoniamnist,
    kaggle."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The dataset folder to make."""
    size: int = 64
    """Pixels a side; even, 32 to 256."""
    fit: Fit = "crop"
    """How a picture becomes square: crop the longer side, pad with black, or stretch."""
    seed: int = 0
    """Decides the phantoms, and the split by patient if the source has none."""
    num: int = 2000
    """How many phantoms to draw; other sources give everything they have."""
    labels: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE.csv [FILE.csv ...]")] = ()
    """Tables of labels for the folder. NIH ChestX-ray14, CheXpert, VinDr-CXR, RSNA and MIMIC-CXR-JPG are known by their
    columns; for others, name the columns."""
    image_column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The column with the path or name of the image."""
    label_column: Annotated[str | None, tyro.conf.arg(metavar="NAME[,NAME]")] = None
    """The column with the class; or a finding, for images with and without it; or several, for their combinations."""
    patient_column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The column that names the patient."""
    split_column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The column with train, val or test."""
    patient_key: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The key to the pseudonyms of patients from DICOM, made if it is not there; usually in ~/.config/cxrgan."""

    def run(self) -> int:
        from cxrgan.data.prepare import prepare, summary

        manifest = prepare(
            self.source,
            self.out,
            self.size,
            self.fit,
            self.seed,
            self.num,
            labels=self._table(),
            patient_key=self.patient_key,
        )
        say(summary(manifest))
        say(f"dataset in {self.out}; train on it: {train_command(self.out, by_class=_can_be_told_apart(manifest))}")
        return 0

    def _table(self) -> "LabelTable | None":
        from cxrgan.data.sources.labels import LabelTable

        columns = (self.image_column, self.label_column, self.patient_column, self.split_column)
        if not self.labels:
            if any(columns):
                raise UserError("columns are named, but no table; give one with --labels FILE.csv")
            return None
        chosen = (self.label_column,) if self.label_column else ()
        return LabelTable(self.labels, self.image_column, chosen, self.patient_column, self.split_column)


def train_command(data: Path, *, by_class: bool) -> str:
    """A command that trains on a dataset folder, ready to paste."""
    return pasted("train", "--data", data, "--run", free_name(Path("runs/first")), *["--conditional"] * by_class)


def free_name(path: Path) -> str:
    """`path` where nothing lies there, else with the first number that is free: `runs/first-2`."""
    number = next(n for n in itertools.count(1) if not path.with_name(_numbered(path.name, n)).exists())
    return str(path.with_name(_numbered(path.name, number)))


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _can_be_told_apart(manifest: "Manifest") -> bool:
    """Whether each training image has a class, of two or more: `--conditional` can learn them."""
    counts = manifest["counts"].get("train", {})
    return (
        len(manifest["classes"]) >= 2
        and all(counts.get(name) for name in manifest["classes"])
        and (sum(counts[name] for name in manifest["classes"]) == sum(counts.values()))
    )
