"""A time instead of a length: parsed, planned, kept."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import TINY, write_tiny_dataset

import cxrgan
from cxrgan.cli.main import main
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import UserError
from cxrgan.runs.folder import RunFolder
from cxrgan.training import budget
from cxrgan.training.budget import Plan, check_disk, plan, seconds_of
from cxrgan.training.step import new_players

CONFIG = replace(TINY, sample_every=10, checkpoint_every=20, evaluate_every=50, keep_checkpoints=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path_factory.mktemp("budget") / "data"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("90min", 5400),
        ("90m", 5400),
        ("1h30m", 5400),
        ("45 s", 45),
        ("1.5h", 5400),
        (" 1 h 2 min 3 s ", 3723),
    ],
)
def test_a_time_is_written_as_people_do(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2 hours", "-1h", "2h!", "1e3s", "5s", "0h", "9999999h", "2h " * 10**6 + "x"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="the time is"):
        seconds_of(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 1 s; of the rest, a grid 2 s, a checkpoint 4 s, a measurement 5 s."""
    monkeypatch.setattr(budget, "_timed_steps", lambda *_: 1.0)
    times = iter([2.0, 4.0, 5.0])

    def timed(work: "object") -> float:
        work()  # type: ignore[operator]
        return next(times)

    monkeypatch.setattr(budget, "_timed", timed)


@pytest.mark.usefixtures("clock")
def test_the_plan_counts_everything_that_a_run_does(dataset: Dataset) -> None:
    found = plan(CONFIG, dataset, 1000.0, lambda images: {"frechet_distance": float(len(images))})
    assert found.step_seconds == pytest.approx(1 + 2 / 10 + 4 / 20 + 5 / 50)
    assert found.steps == int(1000 / 1.5)


@pytest.mark.usefixtures("clock")
def test_what_is_not_said_is_done_every_epoch(dataset: Dataset) -> None:
    config = replace(CONFIG, sample_every=None, checkpoint_every=None, evaluate_every=None)
    assert plan(config, dataset, 100.0).step_seconds == pytest.approx(1 + (2 + 4) / 5)  # 40 images, 8 a step


def test_the_steps_of_a_plan_are_those_of_a_run(dataset: Dataset, tmp_path: Path) -> None:
    """Timed for real: what is planned for 10 seconds is neither nothing nor too much, and is thrown away."""
    before = set(dataset.path.parent.rglob("*"))
    found = plan(replace(CONFIG, evaluate_every=None), dataset, 10.0)
    assert 10 <= found.steps <= 10_000
    assert found.steps * found.step_seconds == pytest.approx(10, rel=0.2)
    assert set(dataset.path.parent.rglob("*")) == before


def test_the_disk_of_a_plan_is_that_of_the_run(dataset: Dataset, tmp_path: Path) -> None:
    config = replace(TINY, sample_every=10, checkpoint_every=10)
    found = plan(config, dataset, 10.0)
    run = cxrgan.train(dataset, tmp_path / "run", recipe=config, settings={"steps": 40})
    used = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file() and file.name != "losses.png")
    assert used / 4 < replace(found).disk < used * 40  # of another length: the order of magnitude


def test_a_disk_without_room_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10**6))
    check_disk(Plan(60, 10, 1.0, 10**6), tmp_path / "a" / "run")
    with pytest.raises(UserError, match=f"the run will take 2 MB, but {tmp_path} has 1 MB free"):
        check_disk(Plan(60, 10, 1.0, 2 * 10**6), tmp_path / "a" / "run")
    assert not list(tmp_path.iterdir())


def test_a_stop_and_a_resume_keep_the_plan(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cxrgan.api.plan", lambda *_: Plan(60, 7, 1.0, 1000))
    small = [
        "--image-size",
        "32",
        "--ngf",
        "4",
        "--ndf",
        "4",
        "--batch-size",
        "8",
        "--device",
        "cpu",
        "--recipe",
        "dcgan",
    ]
    run = tmp_path / "run"
    assert main(["train", "--data", str(dataset.path), "--run", str(run), "--time", "1min", *small]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "On cpu in " in said
    assert "7 steps of 1.00 s fit into 1 min 00 s; it will end at about" in said
    info = RunFolder(run).read_info()
    assert (info.config.steps, RunFolder(run).steps()[-1]) == (7, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "1h", "--epochs", "3"], "--epochs and --time are given"),
        (["--time", "1h", "--steps", "3"], "--steps and --time are given"),
        (["--time", "1h", "--resume", "run"], "--time plans a new run"),
    ],
)
def test_a_time_beside_a_length_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_is_there_is_refused_before_anything_is_timed(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxrgan.api.plan", lambda *_: pytest.fail("timed"))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        cxrgan.train(dataset, tmp_path, recipe=CONFIG, time="1h")


def test_the_samples_that_are_timed_are_drawn_for_each_class(dataset: Dataset) -> None:
    config = replace(TINY, conditional=True, model=replace(TINY.model, num_classes=3))
    players = new_players(config, torch.device("cpu"))
    assert budget._draw(config, players, 5).shape == (5, 32, 32)
    assert budget._draw(config, players, 5).dtype == np.uint8
