"""A folder of runs for the page."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def root(tiny_run: Path, tmp_path: Path) -> Path:
    """A folder with the run `first`, to change."""
    shutil.copytree(tiny_run, tmp_path / "runs" / "first")
    return tmp_path / "runs"
