"""The functions of `import cxrgan`: what the commands do, as values, in silence."""

import inspect
import io
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import write_tiny_dataset

import cxrgan
from cxrgan import console
from cxrgan.errors import UserError
from cxrgan.images import SYNTHETIC, grid, tiles

CLASSES = ("NORMAL", "PNEUMONIA")
TINY: dict[str, Any] = {
    "batch_size": 8,
    "steps": 6,
    "device": "cpu",
    "precision": "fp32",
    "num_samples": 5,
    "num_evaluated": 10,
    "sample_every": 3,
    "checkpoint_every": 3,
    "conditional": True,
    "penalty_images": 8,
    "model": {"ngf": 4, "ndf": 4, "latent_channels": 8},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("api") / "data", num=48, classes=CLASSES)


@pytest.fixture(scope="module")
def run(data: Path) -> "cxrgan.api.Run":
    return cxrgan.train(data, data.parent / "run", settings=TINY)


def test_the_names_are_those_of_the_commands_and_each_is_explained() -> None:
    names = [name for name in dir(cxrgan) if name != "__version__"]
    assert names == ["audit", "evaluate", "load_dataset", "load_generator", "load_run", "prepare", "report", "train"]
    for name in names:
        function = getattr(cxrgan, name)
        assert inspect.getdoc(function)
        hints = inspect.signature(function)
        assert hints.return_annotation is not inspect.Signature.empty
        assert all(parameter.annotation is not parameter.empty for parameter in hints.parameters.values()), name


@pytest.mark.parametrize(
    "first", ["import cxrgan.reports.page", "from cxrgan import api", "import cxrgan.training.loop"]
)
def test_no_room_hides_a_function_of_its_name(first: str) -> None:
    code = f"{first}\nimport cxrgan\nassert all(callable(getattr(cxrgan, n)) for n in dir(cxrgan) if n[0] != '_')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, cxrgan; dir(cxrgan); assert not {'torch', 'numpy', 'matplotlib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_of_it_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch's own
        data = cxrgan.prepare("phantom", tmp_path / "data", size=32, num=120)
        run = cxrgan.train(data, tmp_path / "run", settings={**TINY, "evaluate_every": 3})
        run = run.resume(settings={"steps": 8})
        cxrgan.evaluate(run, tmp_path / "data", num=20, rulers=("domain",))
        cxrgan.report(run)
        run.generator().sample(3)
    assert capfd.readouterr() == ("", "")


def test_asked_for_progress_it_shows_it(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cxrgan.train(data, tmp_path / "run", settings=TINY, progress=True)
    assert "fast-64 on cpu in fp32 6/6" in capfd.readouterr().err


def test_what_the_command_line_says_is_a_warning_to_a_caller(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x" / "train" / "A"
    folder.mkdir(parents=True)
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    with pytest.warns(UserWarning, match="Only 5 training images"):
        cxrgan.prepare(tmp_path / "x", tmp_path / "data", size=32)


def test_prepare_gives_the_training_images(tmp_path: Path) -> None:
    made = cxrgan.prepare("phantom", tmp_path / "data", size=32, num=20, seed=3)
    assert made.images.shape == (len(made), 32, 32)
    assert made.images.dtype == np.uint8
    assert repr(made) == (
        f"Dataset(phantom, train: {len(made)} images of 32 x 32 pixels, "
        f"{(made.labels == 0).sum()} NORMAL, {(made.labels == 1).sum()} PNEUMONIA)"
    )
    assert np.array_equal(cxrgan.load_dataset(tmp_path / "data").images, made.images)


def test_without_a_recipe_the_one_for_the_size_is_taken_and_fitted(run: "cxrgan.api.Run") -> None:
    assert run.config.model.image_size == 32
    assert run.config.loss == "relativistic"
    assert run.folder.read_info().recipe == "fast-64"


def test_a_run_tells_all_that_is_known_of_it(run: "cxrgan.api.Run") -> None:
    again = cxrgan.load_run(str(run.path))
    assert (again.step, again.num_steps) == (6, 6)
    assert repr(again).startswith(f"Run({run.path}: fast-64, step 6 of 6")
    losses = [row for row in again.rows() if "loss_d" in row]
    assert [row["step"] for row in losses] == [1, 2, 3, 4, 5, 6]
    assert all(isinstance(row, dict) for row in losses)
    assert again.diagnosis.verdict == "too early to say"
    assert again.evaluation is None


def test_the_samples_of_a_run_are_those_that_it_drew(run: "cxrgan.api.Run") -> None:
    last, generator = run.samples(), run.generator()
    assert np.array_equal(last, generator.sample(5))
    assert last.labels == generator.sample(5).labels
    assert not np.array_equal(run.samples(0), last)
    with pytest.raises(UserError, match="no samples of step 4; it has those of 0, 3, 6"):
        run.samples(4)


def test_evaluate_keeps_what_it_measured_of_a_run(run: "cxrgan.api.Run", data: Path) -> None:
    measured = cxrgan.evaluate(run, data, num=20, rulers=("domain",))
    assert measured.n_fake == 20
    assert run.evaluation is not None
    assert run.evaluation.row("recall")["value"] == measured.row("recall")["value"]
    assert measured.row("recall", label="NORMAL")["n_real"] == 24
    with pytest.raises(KeyError, match="beauty"):
        measured.row("beauty")
    assert repr(measured).startswith("Evaluation(run, step 6: 20 images against 48 of tiny; by cxr-domain-v1: frechet")
    assert "floor" in repr(measured)


def test_the_discriminator_is_asked_about_images_that_it_never_trained_on(tmp_path: Path) -> None:
    data = cxrgan.prepare("phantom", tmp_path / "data", size=32, num=150)
    run = cxrgan.train(data, tmp_path / "run", settings=TINY)
    probes = [row for row in run.rows() if "d_train" in row]
    assert len(probes) == 2
    assert all("d_held_out" in row for row in probes)


def test_report_gives_the_file(run: "cxrgan.api.Run", tmp_path: Path) -> None:
    assert cxrgan.report(run) == run.path / "report.html"
    assert cxrgan.report(run, tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    (tmp_path / "other.html").write_text("mine")
    with pytest.raises(UserError, match="something else than a report"):
        cxrgan.report(run, tmp_path / "other.html")


def test_resume_trains_on_from_a_new_place_of_the_data(data: Path, tmp_path: Path) -> None:
    run = cxrgan.train(data, tmp_path / "run", settings={**TINY, "steps": 3})
    run.resume(data=cxrgan.load_dataset(data), settings={"steps": 4})
    assert run.step == 4
    with pytest.raises(UserError, match=r"lr was 0\.0005, is now 0\.1"):
        run.resume(settings={"lr": 0.1})
    with pytest.raises(UserError, match=r"settings: there is no setting 'step'; did you mean 'steps'\?"):
        run.resume(settings={"step": 9})


def test_training_on_a_split_that_is_none_is_refused(tmp_path: Path) -> None:
    cxrgan.prepare("phantom", tmp_path / "data", size=32, num=60)
    with pytest.raises(UserError, match="these are the images of test"):
        cxrgan.train(cxrgan.load_dataset(tmp_path / "data", "test"), tmp_path / "run", settings=TINY)
    assert not (tmp_path / "run").exists()


def test_a_generator_shows_itself_in_a_line_and_its_images_in_a_grid() -> None:
    generator = cxrgan.load_generator("cxr-64")
    assert repr(generator).startswith("TrainedGenerator(cxr-64: 64 x 64 pixels, classes NORMAL, PNEUMONIA, step ")
    samples = generator.sample(70, seed=5)
    assert repr(samples) == "Samples(70 synthetic images of 64 x 64 pixels, NORMAL, PNEUMONIA, seeds 5 to 74)"
    with Image.open(io.BytesIO(samples._repr_png_())) as picture:
        assert np.array_equal(np.asarray(picture), grid(samples.images[:64]))
        assert picture.info["Description"] == SYNTHETIC
    some = samples[2:4]
    assert (some.seeds, some.labels) == ((7, 8), samples.labels[2:4])
    assert np.array_equal(some, samples.images[2:4])
    assert samples.shape == (70, 64, 64)
    assert samples.dtype == np.uint8


@pytest.mark.parametrize(("num", "size"), [(1, 32), (5, 32), (64, 16), (7, 33)])
def test_a_sheet_comes_apart_into_its_images(num: int, size: int) -> None:
    images = np.random.default_rng(num).integers(0, 256, (num, size, size), dtype=np.uint8)
    assert np.array_equal(tiles(grid(images), size)[:num], images)


class Notebook:
    """Stands for IPython in a notebook: keeps what is displayed."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        shell = type("ZMQInteractiveShell", (), {})()
        self.module = SimpleNamespace(get_ipython=lambda: shell)
        self.display = SimpleNamespace(HTML=str, display=self.show)

    def show(self, html: str, display_id: bool) -> SimpleNamespace:
        self.shown.append(html)
        return SimpleNamespace(update=self.shown.append)


def test_a_notebook_gets_a_bar_unless_asked_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", notebook.module)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)
    monkeypatch.setattr(console, "NOTEBOOK_INTERVAL", 0.0)
    for progress in (False, None):
        with console.speaking(progress), console.ProgressBar("<b>training", 2) as bar:
            bar.advance(text="loss 1.0")
            bar.advance(text="loss 0.5")
    first, *_, last = notebook.shown
    assert first.startswith('<progress max="2" value="0"></progress> <code>&lt;b&gt;training 0/2')
    assert 'value="2"' in last
    assert "loss 0.5" in last
    assert len(notebook.shown) == 4
