"""A reader study: real and generated images in a fixed order, and how well a reader tells one kind from the other.

As radiologists' studies of synthetic images do it: half of the images are real, readers of the same study see the same
images in the same order, and the truth is told at the end alone. At an accuracy of one half nobody can tell.
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxrgan.data.dataset import Dataset
from cxrgan.errors import UserError
from cxrgan.evaluation.chance import Interval, wilson
from cxrgan.fields import read_bytes, shown
from cxrgan.files import write_bytes
from cxrgan.generation.generator import TrainedGenerator

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IMAGES = 200
MAX_CSV_BYTES = 2**20
COLUMNS = ("place", "truth", "answer", "class", "source")
MEND = "move it away, or give the reader another name"

Kind = Literal["real", "synthetic"]


@dataclass(frozen=True, eq=False)
class Item:
    """One image of a study."""

    image: "NDArray[np.uint8]"
    """(M, M) uint8."""
    truth: Kind
    label: str
    """Its class; empty where it has none."""
    source: str
    """Its row in the dataset, or its seed."""


@dataclass(frozen=True)
class Score:
    """What a reader's answers come to."""

    answered: int
    right: int
    interval: Interval
    """Of the accuracy, Wilson's, 95 %."""
    real_right: float | None
    """Share of the real images that were called real; None where none was answered."""
    synthetic_right: float | None
    """Share of the synthetic images that were called synthetic."""

    @property
    def accuracy(self) -> float:
        """Share of the answers that are right."""
        return self.right / self.answered

    @property
    def above_chance(self) -> bool:
        """Whether the reader tells real from synthetic: one half lies outside the interval."""
        return not self.interval.low <= 0.5 <= self.interval.high


def draw_study(dataset: Dataset, generator: TrainedGenerator, num: int, seed: int) -> list[Item]:
    """`num` images, half of them real, in an order that `seed` decides: the same for every reader.

    The generated images have the classes of the real ones, so that a class tells nothing. UserError where the two have
    other sizes, classes, or too few images.
    """
    half = num // 2
    if not 2 <= num <= MOST_IMAGES or num % 2:
        raise UserError(f"a study has an even number of images from 2 to {MOST_IMAGES}, not {num}")
    if dataset.image_size != generator.config.image_size:
        sizes = f"{dataset.image_size} and {generator.config.image_size} pixels"
        raise UserError(f"the real and the generated images have {sizes}; prepare the dataset at the generator's size")
    if len(dataset) < half:
        raise UserError(f"{dataset.name} has {len(dataset)} images of the split {dataset.split}, but {half} are needed")
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(len(dataset))[:half])
    labels = [dataset.classes[label] if label >= 0 else "" for label in dataset.labels[rows]]
    first = int(random.integers(2**31))
    wanted = [label if label in generator.classes else "" for label in labels]
    if generator.classes and not all(wanted):
        known = ", ".join(generator.classes)
        raise UserError(
            f"the generator makes images of {known}; the dataset has others, which would give real ones away"
        )
    seeds = range(first, first + half)
    made = generator.remake(seeds, wanted)
    items = [
        *(
            Item(dataset.images[row], "real", label, f"{dataset.name}, {dataset.split}, row {row}")
            for row, label in zip(rows, labels, strict=True)
        ),
        *(
            Item(image, "synthetic", label, f"{generator.name}, step {generator.step}, seed {place}")
            for image, label, place in zip(made, wanted, seeds, strict=True)
        ),
    ]
    return [items[place] for place in random.permutation(num)]


def score(items: Sequence[Item], answers: Mapping[int, Kind]) -> Score:
    """How many of the answers, by place in the study from 0, are right; at least one."""
    if not answers:
        raise UserError("nothing is answered yet")
    right = Counter(items[place].truth for place, answer in answers.items() if items[place].truth == answer)
    asked = Counter(items[place].truth for place in answers)

    def share(kind: Kind) -> float | None:
        return right[kind] / asked[kind] if asked[kind] else None

    total = right.total()
    return Score(len(answers), total, wilson(total, len(answers)), share("real"), share("synthetic"))


def write_answers(file: Path, items: Sequence[Item], answers: Mapping[int, Kind]) -> None:
    """The study with a reader's answers so far as CSV, atomically: a row an image, in the order shown."""
    write_bytes(file, as_csv(items, answers).encode())


def as_csv(items: Sequence[Item], answers: Mapping[int, Kind]) -> str:
    """The rows of `write_answers`."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for place, item in enumerate(items):
        rows.writerow([place + 1, item.truth, answers.get(place, ""), item.label, item.source])
    return text.getvalue()


def read_answers(file: Path, items: Sequence[Item]) -> dict[int, Kind]:
    """What `write_answers` wrote of the same study; none where there is no file. UserError for another's file."""
    try:
        text = read_bytes(file, MAX_CSV_BYTES, mend=MEND).decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {file}: {error}; {MEND}") from error
    answers: dict[int, Kind] = {}
    rows = list(csv.reader(io.StringIO(text)))
    if len(rows) != len(items) + 1 or tuple(rows[0]) != COLUMNS:
        raise UserError(f"{file} has the answers to another study; {MEND}")
    for place, (row, item) in enumerate(zip(rows[1:], items, strict=True)):
        if row[:2] + row[3:] != [str(place + 1), item.truth, item.label, item.source]:
            raise UserError(f"{file}, line {place + 2}, is of another study; {MEND}")
        match row[2]:
            case "real" | "synthetic" as answer:
                answers[place] = answer
            case "":
                pass
            case other:
                raise UserError(f"{file}, line {place + 2}: the answer is {shown(other)}; {MEND}")
    return answers
