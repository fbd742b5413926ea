"""The tables of well-known sets of chest X-rays: which column says what, and what lies beside the table."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from cxrgan.data.sources.table import Table, read_lines, read_table

LATERAL = ("LATERAL", "LL")
"""Views from the side, in CheXpert and in MIMIC: a generator of frontal images learns nothing good from them."""


@dataclass(frozen=True)
class Layout:
    """How the tables of one set are read."""

    name: str
    marks: frozenset[str]
    """The columns by which it is known."""
    image: Callable[[Mapping[str, str]], str]
    """Row -> path or name of the image, or of the folder of a study where `is_study`."""
    label: str | None = None
    """The column that names the findings; None where each finding has a column, and one must be chosen."""
    patient: str | None = None
    """The column that names the patient."""
    patient_in_path: re.Pattern[str] | None = None
    """What names the patient in the path of an image."""
    split_in_path: Mapping[str, str] = field(default_factory=dict)
    """Folders in the path of an image -> splits."""
    reader: str | None = None
    """The column of the reader, where several read each image."""
    has_many_rows: bool = False
    """Whether an image has a row for each finding, so that its rows add up; others must agree."""
    is_study: bool = False
    view: str | None = None
    """The column with the view."""
    called: Mapping[str, str] = field(default_factory=dict)
    """Columns of findings whose name says nothing -> what they mean."""


LAYOUTS = (
    Layout(
        "NIH ChestX-ray14",
        frozenset({"Image Index", "Finding Labels"}),
        itemgetter("Image Index"),
        label="Finding Labels",
        patient="Patient ID",
    ),
    Layout(
        "CheXpert",
        frozenset({"Path", "Frontal/Lateral", "No Finding"}),
        itemgetter("Path"),
        patient_in_path=re.compile(r"patient\d+"),
        split_in_path={"train": "train", "valid": "val", "test": "test"},
        view="Frontal/Lateral",
    ),
    Layout(
        "VinDr-CXR, a row for each finding",
        frozenset({"image_id", "class_name"}),
        itemgetter("image_id"),
        label="class_name",
        reader="rad_id",
        has_many_rows=True,
    ),
    Layout(
        "VinDr-CXR, a column for each finding",
        frozenset({"image_id", "Aortic enlargement", "No finding"}),
        itemgetter("image_id"),
        reader="rad_id",
        has_many_rows=True,
    ),
    Layout(
        "RSNA pneumonia, boxes",
        frozenset({"patientId", "Target"}),
        itemgetter("patientId"),
        label="Target",
        patient="patientId",
        called={"Target": "Lung Opacity"},
    ),
    Layout(
        "RSNA pneumonia, classes",
        frozenset({"patientId", "class"}),
        itemgetter("patientId"),
        label="class",
        patient="patientId",
    ),
    Layout(
        "MIMIC-CXR-JPG",
        frozenset({"subject_id", "study_id", "No Finding"}),
        lambda row: f"p{row['subject_id']}/s{row['study_id']}",
        patient="subject_id",
        is_study=True,
    ),
)


@dataclass(frozen=True)
class Beside:
    """What files beside a table say of single images, by their names without suffix."""

    files: tuple[Path, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, str] = field(default_factory=dict)


def layout_of(table: Table) -> Layout | None:
    """The layout of a table, by the names of its columns."""
    return next((layout for layout in LAYOUTS if layout.marks <= set(table.columns)), None)


def beside(table: Table, layout: Layout) -> Beside:
    """The splits of NIH's lists and of MIMIC's split table, and the views of MIMIC's metadata, where they are."""
    folder, name = table.file.parent, table.file.name
    if layout.name.startswith("NIH"):
        lists = {folder / "train_val_list.txt": "train", folder / "test_list.txt": "test"}
        if all(file.is_file() for file in lists):
            splits = {Path(line).stem: split for file, split in lists.items() for line in read_lines(file)}
            return Beside(tuple(lists), splits)
    if layout.is_study:
        kinds = [re.sub("chexpert|negbio", kind, name) for kind in ("split", "metadata")]
        files = [folder / kind if kind != name and (folder / kind).is_file() else None for kind in kinds]
        splits, views = (_by_image(file, column) for file, column in zip(files, ("split", "ViewPosition"), strict=True))
        return Beside(tuple(file for file in files if file), splits, views)
    return Beside()


def _by_image(file: Path | None, column: str) -> dict[str, str]:
    """dicom_id -> what stands in the column."""
    if file is None:
        return {}
    table = read_table(file)
    for name in ("dicom_id", column):
        table.need(name, "the file beside the table")
    return {row["dicom_id"]: row[column] for _, row in table.rows()}
