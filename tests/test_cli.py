"""The command line as a user meets it: help, settings, errors, and the way from a source to images."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import write_tiny_dataset

from cxrgan.cli import main
from cxrgan.training.checkpoint import RunFolder

SMALL = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--latent-channels", "8", "--batch-size", "8"]
SMALL += ["--device", "cpu", "--precision", "fp32", "--num-samples", "4"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data")


def status_and_error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    status = main([str(argument) for argument in arguments])
    return status, capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["prepare", "--help"], ["demo", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys; from cxrgan.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'matplotlib', 'pooch', 'safetensors', 'scipy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: cxrgan" in done.stdout


def test_help_shows_the_values_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--recipe", "exp5", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    shown = " ".join(shown.replace("│", " ").split())
    assert "M, pixels a side; even, 32 to 256. (default: 128)" in shown


def test_from_a_folder_of_pictures_to_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for label in ("NORMAL", "PNEUMONIA"):
        folder = tmp_path / "xrays" / "train" / label
        folder.mkdir(parents=True)
        for index in range(12):
            picture = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(picture).resize((50, 40)).save(folder / f"{index}.png")
    data, run, images = (str(tmp_path / name) for name in ("data", "run", "images"))
    assert main(["prepare", str(tmp_path / "xrays"), "--out", data, "--size", "32"]) == 0
    assert main(["train", "--data", data, "--run", run, "--steps", "6", *SMALL]) == 0
    assert main(["train", "--resume", run, "--steps", "9"]) == 0
    for name, arguments in {
        "png": ["--num", "3"],
        "npz": ["--num", "3", "--format", "npz"],
        "way": ["--interpolate", "1", "2", "--frames", "3"],
    }.items():
        assert main(["generate", run, *arguments, "--out", f"{images}/{name}"]) == 0
    made = {path.name for path in Path(images).glob("*/*")}
    assert made == {
        *(f"seed-00000{seed}.png" for seed in range(3)),
        *("grid.png", "images.npz", "interpolation-1-2.png", "interpolation-1-2.gif"),
    }
    assert (Path(run) / "losses.png").stat().st_size > 10_000
    assert RunFolder(Path(run)).steps() == [6, 9]
    shown = capsys.readouterr()
    assert "3 synthetic images of step 9" in shown.out
    assert "custom" not in shown.err
    assert "dcgan on cpu in fp32" in shown.err


def test_settings_come_from_recipe_then_file_then_flags(data: Path, tmp_path: Path) -> None:
    settings = tmp_path / "my.toml"
    settings.write_text("lr = 1e-3\nbatch_size = 16\nsteps = 1\n[model]\nngf = 8\nlatent_channels = 5\n")
    arguments = ["train", "--data", str(data), "--run", str(tmp_path / "run"), "--recipe", "exp3"]
    small = ["--image-size", "32", "--ndf", "4", "--batch-size", "8", "--device", "cpu", "--num-samples", "2"]
    assert main([*arguments, "--config", str(settings), *small]) == 0
    config = RunFolder(tmp_path / "run").read_info().config
    assert (config.lr, config.batch_size, config.model.ngf, config.model.latent_channels) == (1e-3, 8, 8, 5)
    assert config.model.channels == 3  # of exp3


def test_a_resumed_run_refuses_another_learning_rate(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", "--data", str(data), "--run", str(run), "--steps", "2", *SMALL]) == 0
    status, error = status_and_error(capsys, "train", "--resume", run, "--lr", "0.1")
    assert status == 2
    assert "lr was 0.0002, is now 0.1" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "name the dataset and the run"),
        (["train", "--epochs", "2", "--steps", "3"], "both --epochs and --steps are given"),
        (["train", "--resume", "run", "--recipe", "exp4", "--config", "a.toml"], "leave out --recipe and --config"),
        (["train", "--seed", "99999999999999999999"], "seed is 99999999999999999999, but must be at most"),
        (["train", "--data", "nowhere", "--run", "run"], "nowhere is no dataset folder; make one with"),
        (["train", "--resume", "nowhere"], "nowhere holds no run"),
        (["train", "--recipe", "exp7"], "there is no recipe 'exp7'"),
        (["train", "--config", "none.toml"], "cannot read none.toml"),
        (["generate", "nowhere", "--out", "images"], "no run folder nowhere"),
        (["prepare", "nowhere", "--out", "data"], "nowhere"),
        (["prepare", "phantom", "--out", "data", "--size", "65"], "image size is 65"),
        (["train", "--image-size", "128", "--latent-size", "2"], "can be 1, 5, 13, 29, 61"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, error = status_and_error(capsys, *arguments)
    assert status == 2
    assert error.startswith("cxrgan: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_unknown_flag_or_command_has_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["train", "--learning-rate", "1"], ["trian"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="no run folder nowhere"):
        main(["generate", "nowhere", "--out", "images", "--debug"])


def test_tensorboard_that_is_missing_is_one_clear_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = tmp_path / "run"
    status, error = status_and_error(
        capsys, "train", "--data", data, "--run", run, "--steps", "1", "--tensorboard", *SMALL
    )
    assert status == 2
    assert "pip install '.[tensorboard]'" in error


def test_epochs_replace_a_length_in_steps(data: Path, tmp_path: Path) -> None:
    run, epochs = str(tmp_path / "run"), ["--epochs", "1"]
    assert main(["train", "--data", str(data), "--run", run, "--recipe", "quick", *SMALL, *epochs]) == 0
    assert RunFolder(Path(run)).steps() == [5]  # 40 images in batches of 8
    assert main(["train", "--resume", run, "--epochs", "2"]) == 0
    assert RunFolder(Path(run)).steps()[-1] == 10


def test_a_dataset_that_moved_is_named_once(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "--data", str(data), "--run", run, "--steps", "1", *SMALL]) == 0
    data.rename(tmp_path / "moved")
    status, error = status_and_error(capsys, "train", "--resume", run, "--steps", "2")
    assert status == 2
    assert "name its new place with --data DIR" in error
    assert main(["train", "--resume", run, "--data", str(tmp_path / "moved"), "--steps", "2"]) == 0
    assert main(["train", "--resume", run, "--steps", "3"]) == 0


def test_a_missing_tensorboard_spoils_no_run_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = tmp_path / "run"
    assert main(["train", "--data", str(data), "--run", str(run), "--steps", "1", "--tensorboard", *SMALL]) == 2
    assert not run.exists()


def test_a_failure_nobody_foresaw_is_one_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no driver")

    monkeypatch.setattr("cxrgan.data.prepare.prepare", fail)
    status, error = status_and_error(capsys, "prepare", "phantom", "--out", data / "new")
    assert status == 1
    assert error == "cxrgan: RuntimeError: no driver; --debug shows where it happened\n"


def test_tensorboard_gets_the_numbers_and_not_the_words(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scalars: set[str] = set()
    writer = SimpleNamespace(
        add_scalar=lambda name, value, step: scalars.add(name) if isinstance(value, float) else pytest.fail(name),
        add_image=lambda *arguments, **named: None,
        flush=lambda: None,
    )
    module = SimpleNamespace(SummaryWriter=lambda folder: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run = ["--run", str(tmp_path / "run"), "--steps", "2", "--tensorboard", "--evaluate-every", "2"]
    assert main(["train", "--data", str(data), *run, *SMALL, "--num-evaluated", "10", "--sample-every", "2"]) == 0
    assert {"loss_d", "loss_g", "diversity", "frechet_distance"} <= scalars
    assert not {"features", "n_fake", "step", "seconds"} & scalars
