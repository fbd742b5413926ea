"""The wheel and the sdist: built, installed and run with no network, as somebody gets them who has no checkout."""

import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import cxrgan

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cxrgan"
MOST_BYTES = 60_000_000  # three generators and the features of their training images; an index takes 100 MB
NOWHERE = "http://127.0.0.1:9"  # a proxy that answers nothing: who asks the network fails
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """What a command prints that succeeds without a network and without this checkout on its path."""
    without = {"PYTHONPATH", "PYTHONHOME", "PIP_CONFIG_FILE"}
    env = {name: value for name, value in os.environ.items() if name not in without} | OFFLINE
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def build(source: Path, out: Path) -> tuple[Path, Path]:
    """The wheel and the sdist of a checkout, built as pip does."""
    run([sys.executable, "-m", "hatchling", "build", "-d", out], source)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel; torch and the rest are borrowed from this one."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    places = run([python, "-c", "import site; print(site.getsitepackages()[0])"], home).split()
    Path(places[0], "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    run([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built[0]], home)
    return programs


def contents(wheel: Path) -> dict[str, bytes]:
    """Name -> bytes of the files of a wheel, but for what the tool that made it notes about it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith(("/RECORD", "/WHEEL"))}


def test_the_wheel_has_each_file_of_the_package_and_no_other(built: tuple[Path, Path]) -> None:
    files = [file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    found = {name for name in contents(built[0]) if not name.startswith(f"cxrgan-{cxrgan.__version__}.dist-info/")}
    assert found == {file.relative_to(PACKAGE.parent).as_posix() for file in files}
    assert built[0].stat().st_size < MOST_BYTES


def test_the_sdist_has_what_it_needs_to_be_worked_on_and_no_images_but_those_of_the_docs(
    built: tuple[Path, Path],
) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "CITATION.cff", "Makefile", "mkdocs.yml"} <= names
    assert {"tests/conftest.py", "docs/guide.md", "tools/ship.py"} <= names
    data = {".png", ".jpg", ".jpeg", ".npy", ".npz", ".dcm"}
    assert not [name for name in names if Path(name).suffix in data and not name.startswith("docs/")]
    assert built[1].stat().st_size < MOST_BYTES


def test_the_sdist_makes_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    wheel, _ = build(tmp_path / f"cxrgan-{cxrgan.__version__}", tmp_path / "again")
    assert contents(wheel) == contents(built[0])


def test_an_installed_wheel_makes_images_with_no_network(installed: Path, tmp_path: Path) -> None:
    program = installed / "cxrgan"
    assert run([program, "--version"], tmp_path).startswith(f"cxrgan {cxrgan.__version__}, torch ")
    run([program, "generate", "cxr-64", "--num", "2", "--out", "x"], tmp_path)
    assert len(list((tmp_path / "x").rglob("*.png"))) == 3  # two images and their grid
    where = run([installed / "python", "-c", "import cxrgan; print(cxrgan.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
