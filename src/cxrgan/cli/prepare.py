"""`cxrgan prepare`."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from cxrgan.images import Fit
from cxrgan.lines import pasted, say

if TYPE_CHECKING:
    from cxrgan.data.prepare import Manifest


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
    """How a picture becomes square: crop the longer side, pad with black, or stretch."""
    seed: int = 0
    """Decides the phantoms, and the split by patient if the source has none."""
    num: int = 2000
    """How many phantoms to draw; other sources give everything they have."""

    def run(self) -> int:
        from cxrgan.data.prepare import prepare, summary

        manifest = prepare(self.source, self.out, self.size, self.fit, self.seed, self.num)
        say(summary(manifest))
        say(f"dataset in {self.out}; train on it: {train_command(self.out, by_class=_can_be_told_apart(manifest))}")
        return 0


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
