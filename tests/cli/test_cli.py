"""The command line as a user meets it: help, settings, errors, and the way from a source to images."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import write_tiny_dataset

import cxrgan
from cxrgan.cli.main import main
from cxrgan.cli.train import Train
from cxrgan.errors import UserError
from cxrgan.models.config import ModelConfig
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import RECIPES
from cxrgan.reports.figures import PLOTTED, plot_losses
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import History
from cxrgan.settings import documentation
from cxrgan.training.observers import LiveLine

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
        "import sys; from cxrgan.cli.main import main\n"
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
    assert "Pixels per side (M): even, 32 to 512. (default: 128)" in shown


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
    assert "fast-64 on cpu in fp32" in shown.err


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
    assert "lr was 0.0005, is now 0.1" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "name the dataset and the run"),
        (["train", "--epochs", "2", "--steps", "3"], "--epochs and --steps are given; one of them"),
        (["train", "--resume", "run", "--recipe", "exp4", "--config", "a.toml"], "leave out --recipe and --config"),
        (["train", "--seed", "99999999999999999999"], "seed is 99999999999999999999, but must be at most"),
        (["train", "--data", "nowhere", "--run", "run"], "nowhere is not a dataset folder; make one with"),
        (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--learning-rate", "1"], "run cxrgan train --help"),
        (["train", "--lrr", "1"], "--lr FLOAT"),
        (["train", "--lr", "fast"], "see cxrgan train --help"),
        (["evaluate", "run", "--data", "data", "--rulerz", "domain"], "--rulers NAME"),
        (
            ["evaluate", "run", "--data", "data", "--rulers", "domain,foo"],
            "there is no 'foo'; there is domain, domain-v2, inception,",
        ),
        (["evaluate", "run", "--data", "data", "--rulers"], "it needs at least one name"),
        (["trian"], "Available subcommands: prepare, train,"),
    ],
)
def test_an_option_that_is_not_understood_points_to_its_own_help(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.replace("│", " ").split())


@pytest.mark.parametrize("listed", [["domain", "xrv"], ["domain,xrv"], ["domain,", "xrv"]])
def test_a_list_of_names_has_spaces_or_commas(
    listed: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def measure(target: Path, data: Path, **options: object) -> None:
        asked.update(options)
        raise UserError("seen")

    monkeypatch.setattr("cxrgan.evaluation.evaluate.evaluate", measure)
    assert main(["evaluate", "run", "--rulers", *listed, "--data", str(data)]) == 2
    assert asked["rulers"] == ("domain", "xrv")
    monkeypatch.setattr("cxrgan.experiments.sweep.choose", lambda every, names: asked.update(only=names) or sys.exit(7))
    with pytest.raises(SystemExit, match="7"):
        main(["experiments", "--only", *listed, "--data", str(data), "--out", str(tmp_path / "out")])
    assert asked["only"] == ("domain", "xrv")


def test_the_version_names_torchs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"cxrgan {cxrgan.__version__}, torch {torch.__version__}, Python 3.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_a_script_that_completes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--tyro-print-completion", shell])
    assert not stop.value.code
    script = capsys.readouterr().out
    assert all(word in script for word in ("cxrgan", "prepare", "train-domain", "gradient-penalty"))


def test_the_package_shows_its_public_names() -> None:
    assert dir(cxrgan) == sorted(cxrgan.__all__)
    assert {"load_dataset", "load_generator"} <= set(dir(cxrgan))
    assert all(getattr(cxrgan, name) for name in dir(cxrgan))


@pytest.mark.parametrize("size", [32, 34, 64, 100, 128, 200, 256])
def test_the_command_that_prepare_suggests_trains_at_that_size(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    arguments = ["--out", "my X-rays", "--size", str(size), "--num", "20"]
    assert main(["prepare", "phantom", *arguments]) == 0
    _, command, *suggested = shlex.split(capsys.readouterr().out.partition("train on it: ")[2])
    started: list[TrainConfig] = []

    def start(config: TrainConfig, *_: object, **named: object) -> None:
        started.append(config)
        raise UserError("seen")

    monkeypatch.setattr("cxrgan.api.start", start)
    assert main([command, *suggested]) == 2
    (config,) = started
    assert (config.model.image_size, config.model.networks, config.conditional) == (size, "stable", True)
    assert suggested == ["--data", "my X-rays", "--run", "runs/first-2", "--conditional"]


def test_prepare_suggests_no_training_by_class_where_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    assert main(["prepare", str(tmp_path), "--out", str(tmp_path / "data"), "--size", "32"]) == 0
    assert "--conditional" not in capsys.readouterr().out


def test_help_begins_with_the_six_options_that_a_beginner_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    flags = re.findall(r"^.{0,2}(--[a-z][a-z-]+)", capsys.readouterr().out, flags=re.MULTILINE)
    assert flags[:6] == ["--data", "--run", "--recipe", "--conditional", "--time", "--resume"]


def test_every_setting_has_one_option_and_its_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    names = [field.name for kind in (TrainConfig, ModelConfig) for field in fields(kind)]
    for name in set(names) - {"model", "num_classes"}:
        assert len(re.findall(rf"^.{{0,2}}--{name.replace('_', '-')}[ ,]", shown, flags=re.MULTILINE)) == 1, name
    assert "ignore[" not in shown
    for kind in (TrainConfig, ModelConfig):
        assert documentation(kind).keys() == {field.name for field in fields(kind)}


def test_the_options_give_back_every_setting_that_they_start_from() -> None:
    for config in RECIPES.values():
        assert Train.starting_from(config).settings == config


def test_training_on_a_folder_of_pictures_does_not_say_to_prepare_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, error = status_and_error(capsys, "train", "--data", tmp_path, "--run", tmp_path / "run")
    assert status == 2
    assert (
        f"{tmp_path} is not a dataset folder; make one with: cxrgan prepare {tmp_path} --out {tmp_path}-64 --size 64"
        in error
    )


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


def test_a_dataset_with_other_labels_does_not_become_the_runs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    assert main(["train", "--data", str(data), "--run", str(run), "--steps", "1", *SMALL]) == 0
    shutil.copytree(data, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["images"][0]["label"] = None
    (other / "manifest.json").write_text(json.dumps(manifest))
    status, error = status_and_error(capsys, "train", "--resume", run, "--data", other, "--steps", "2")
    assert status == 2
    assert "other labels, splits or patients" in error
    assert RunFolder(run).read_info().data == str(data.resolve())


@pytest.mark.parametrize(("loss", "seen"), [("relativistic", {"margin"}), ("non-saturating", {"D(x)", "D(G(z))"})])
def test_the_live_line_shows_what_the_game_is_about(loss: str, seen: set[str]) -> None:
    texts: list[str] = []
    bar = SimpleNamespace(advance=lambda count, text: texts.append(text))
    line = LiveLine(bar, relativistic=loss == "relativistic")  # type: ignore[arg-type]
    line.on_rows([{"loss_d": 0.5, "loss_g": 0.9, "d_real": 0.6, "d_fake": 0.4, "margin": 1.25}])
    assert {name for name in ("margin", "D(x)", "D(G(z))") if name in texts[0]} == seen


@pytest.mark.parametrize(("relativistic", "below"), [(True, {"margin"}), (False, {"d_real", "d_fake"})])
def test_the_plot_shows_what_the_game_is_about(
    relativistic: bool, below: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("cxrgan.reports.figures._curve", lambda axes, rows, name, label, colour: drawn.append(name))
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda *arguments, **named: None)
    plot_losses(History(PLOTTED), tmp_path / "losses.png", relativistic=relativistic)
    assert set(drawn) == {"loss_g", "loss_d"} | below


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
    def fail(*arguments: object, **named: object) -> None:
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
    module = SimpleNamespace(SummaryWriter=lambda folder, purge_step: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run = ["--run", str(tmp_path / "run"), "--steps", "2", "--tensorboard", "--evaluate-every", "2"]
    assert main(["train", "--data", str(data), *run, *SMALL, "--num-evaluated", "10", "--sample-every", "2"]) == 0
    assert {"loss_d", "loss_g", "diversity", "frechet_distance"} <= scalars
    assert not {"features", "n_fake", "step", "seconds"} & scalars
