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
    from cxrgan.data.manifest import Manifest
    from cxrgan.data.sources.labels import LabelTable

MOST_NAMED = 8  # parts in a command to paste


@dataclass(frozen=True)
class Prepare:
    """Turn chest X-rays from anywhere into a dataset folder."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The dataset folder to make."""
    source: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="SOURCE")] = None
    """A folder (Kaggle's layout, classes, or flat; DICOM too), a MedMNIST .npz, or one of: phantom, pneumoniamnist,
    kaggle."""
    size: int = 64
    """Pixels a side; even, 32 to 512."""
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
    share: Annotated[str | None, tyro.conf.arg(metavar="K/N")] = None
    """Prepare only the K-th of N shares, such as 2/4: a part in place of a dataset, on a machine of its own."""
    merge: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PART [PART ...]")] = ()
    """Make the dataset of all shares, in place of a SOURCE: the same as one command would make."""

    def run(self) -> int:
        from cxrgan.data.manifest import summary

        if self.share is not None:
            return self._make_part(self.share)
        manifest = self._merged() if self.merge else self._prepared()
        say(summary(manifest))
        say(f"dataset in {self.out}; train on it: {train_command(self.out, by_class=_can_be_told_apart(manifest))}")
        return 0

    def _prepared(self) -> "Manifest":
        from cxrgan.data.prepare import prepare

        source, labels, key = self._named_source(), self._table(), self.patient_key
        return prepare(source, self.out, self.size, self.fit, self.seed, self.num, labels=labels, patient_key=key)

    def _make_part(self, text: str) -> int:
        from cxrgan.data.shares import Share, prepare_share

        share, source, labels, key = Share.parse(text), self._named_source(), self._table(), self.patient_key
        part = prepare_share(
            source, self.out, share, self.size, self.fit, self.seed, self.num, labels=labels, patient_key=key
        )
        parts = [f"PART-{number}" for number in range(1, share.of + 1)]
        parts[share.number - 1] = str(self.out)
        named = parts if share.of <= MOST_NAMED else [str(self.out), "..."]
        say(f"share {share} in {self.out}: {len(part.images):,} images of {len(part.records):,} files")
        say(f"when all are there: {pasted('prepare', '--merge', *named, '--out', 'DIR')}")
        return 0

    def _merged(self) -> "Manifest":
        from cxrgan.data.shares import merge

        if self != Prepare(out=self.out, merge=self.merge):
            raise UserError("--merge takes everything but --out from the parts; leave the other options out")
        return merge(self.merge, self.out)

    def _named_source(self) -> str:
        if self.source is None:
            raise UserError("name the SOURCE: cxrgan prepare SOURCE --out DIR")
        if self.merge:
            raise UserError("--share makes a part and --merge a dataset; give one of them")
        return self.source

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
