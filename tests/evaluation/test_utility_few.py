"""The benchmark of few real images draws them by patient, the fewer among the more, and keeps every test image."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import write_tiny_dataset

from benchmarks.utility_few import few_rows, write_few
from cxrgan.data.dataset import load_dataset, read_manifest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """80 images, of which each patient has one to four; the last 20 are for testing."""
    folder = write_tiny_dataset(tmp_path / "data", num=80, classes=("NORMAL", "PNEUMONIA"))
    manifest = json.loads((folder / "manifest.json").read_text())
    patients = np.sort(np.random.default_rng(0).integers(30, size=80))
    for row, (entry, patient) in enumerate(zip(manifest["images"], patients.tolist(), strict=True)):
        entry |= {"patient": f"{row < 60}-{patient}", "split": "train" if row < 60 else "test"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_fewer_are_among_the_more_and_bring_whole_patients(data: Path) -> None:
    drawn = {num: set(few_rows(data, num, seed=0)) for num in (10, 25, 60)}
    assert {num: len(rows) for num, rows in drawn.items()} == {10: 10, 25: 25, 60: 60}
    assert drawn[10] < drawn[25] < drawn[60] == set(range(60))
    assert few_rows(data, 25, seed=0) != few_rows(data, 25, seed=1)
    patients = [entry.patient for entry in read_manifest(data).images]
    cut = {patients[row] for row in drawn[25]} & {patients[row] for row in drawn[60] - drawn[25]}
    assert len(cut) <= 1


def test_the_few_are_a_dataset_folder_with_the_whole_test_split(data: Path, tmp_path: Path) -> None:
    write_few(data, tmp_path / "few", 25, seed=0)
    few, whole = load_dataset(tmp_path / "few"), load_dataset(data)
    rows = few_rows(data, 25, seed=0)
    assert np.array_equal(few.images, whole.images[rows])
    assert np.array_equal(few.labels, whole.labels[rows])
    assert few.name == "tiny-25"
    assert np.array_equal(load_dataset(tmp_path / "few", "test").images, load_dataset(data, "test").images)
    counts = json.loads((tmp_path / "few" / "manifest.json").read_text())["counts"]
    assert sum(counts["train"].values()) == 25
    assert sum(counts["test"].values()) == 20
