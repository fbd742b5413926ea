"""The examples run from top to bottom."""

import runpy
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from cxrgan.data.phantom import CLASSES, phantom

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of phantom X-rays in a folder for each class, as somebody may have it."""
    for index in range(120):
        label = CLASSES[index % 2]
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(phantom(0, index, 32, label))).save(folder / f"{index}.png")
    return tmp_path / "pictures"


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script as a person starts it."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 5  # real ones, losses, and three grids of generated ones
    bars = [
        output["data"]["text/html"] for output in outputs if "<progress" in output.get("data", {}).get("text/html", "")
    ]
    assert any("400/400" in bar for bar in bars)


def test_own_folder_goes_from_pictures_to_a_report_and_continues(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run("own_folder.py", str(pictures), str(out), "0.1", monkeypatch=monkeypatch)
    first = capsys.readouterr().out
    assert (out / "run" / "report.html").exists()
    run("own_folder.py", str(pictures), str(out), monkeypatch=monkeypatch)
    assert capsys.readouterr().out.splitlines()[:2] == first.splitlines()[:2]


def test_the_sweep_compares_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("sweep.py", str(tmp_path / "out"), "2", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["learning", "0.0001", "0.0005", "0.002", "All"]
    assert (tmp_path / "out" / "report.html").exists()


def test_somebody_elses_images_are_measured(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("somebody_elses.py", str(pictures / "NORMAL"), str(pictures / "PNEUMONIA"), monkeypatch=monkeypatch)
    assert "frechet_distance" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["own_folder.py", "sweep.py", "somebody_elses.py"])
def test_without_arguments_a_script_explains_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=f"python examples/{name}"):
        run(name, monkeypatch=monkeypatch)
