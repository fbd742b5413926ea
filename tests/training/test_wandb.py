"""Weights & Biases: what a run sends, once, and what stays here; as a stand-in notes it, and the real one offline."""

import getpass
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import TINY, write_tiny_dataset

from cxrgan.cli.main import main
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import UserError
from cxrgan.images import grid
from cxrgan.runs.folder import RunFolder
from cxrgan.training.loop import start, train
from cxrgan.training.observers import WeightsAndBiases, curve_values

CONFIG = replace(TINY, steps=9, checkpoint_every=5, sample_every=3)
PLACE = "/clinic/patients-of-2026"


class StandIn:
    """The few names of the module wandb that are used; like the server it takes no step before the last one."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        self.begun: list[Mapping[str, Any]] = []
        self.logged: dict[int, dict[str, Any]] = {}
        self.exit_codes: list[int] = []
        self.Settings = lambda **values: values
        self.Image = lambda image, caption: (image, caption)

    def init(self, **arguments: Any) -> SimpleNamespace:
        self.begun.append(arguments)
        return SimpleNamespace(offline=True, log=self.log, finish=lambda exit_code: self.exit_codes.append(exit_code))

    def log(self, values: Mapping[str, Any], step: int) -> None:
        assert step >= max(self.logged, default=-1), "a step that is over: the server drops it"
        row = self.logged.setdefault(step, {})
        assert not row.keys() & values.keys(), "sent twice"
        row |= values


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path / "data"))


def train_part(folder: RunFolder, dataset: Dataset) -> None:
    with WeightsAndBiases(folder) as observer:
        train(folder, folder.read_info().config, dataset, [observer])


def test_it_has_the_numbers_and_grids_of_the_run(wandb: StandIn, dataset: Dataset, tmp_path: Path) -> None:
    folder = start(CONFIG, dataset, tmp_path / "first", recipe="tiny", data=PLACE)
    train_part(folder, dataset)
    expected: dict[int, dict[str, Any]] = {0: {}}
    for row in folder.rows():
        expected.setdefault(row["step"], {}).update(curve_values(row))
    sent = {step: {name: v for name, v in row.items() if name != "samples"} for step, row in wandb.logged.items()}
    assert sent == expected
    assert {"loss_d", "loss_g", "diversity"} <= expected[9].keys()
    assert [step for step, row in wandb.logged.items() if "samples" in row] == [0, 3, 6, 9]
    picture, caption = wandb.logged[9]["samples"]
    assert np.array_equal(np.asarray(picture), np.asarray(Image.open(folder.samples / "step-000009.png")))
    assert picture.size == grid(np.zeros((4, 32, 32), np.uint8)).shape
    assert "Not an image of a patient" in caption
    (begun,) = wandb.begun
    assert begun["name"] == "first"
    assert begun["config"].items() >= {"recipe": "tiny", "num_images": 40, "lr": TINY.lr, "batch_size": 8}.items()
    assert wandb.exit_codes == [0]


def test_a_resumed_run_is_the_same_run_and_has_each_point_once(
    wandb: StandIn, dataset: Dataset, tmp_path: Path
) -> None:
    folder = start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data=PLACE)
    train_part(folder, dataset)
    shutil.rmtree(folder.checkpoint(9))  # as if it had crashed after step 9 and before the checkpoint
    longer = replace(folder.read_info().config, steps=12)
    with WeightsAndBiases(folder) as observer:
        train(folder, longer, dataset, [observer])
    first, second = wandb.begun
    assert first["id"] == second["id"]
    assert first["resume"] == second["resume"] == "allow"
    assert list(wandb.logged) == [0, *range(1, 13)]
    assert [step for step, row in wandb.logged.items() if "samples" in row] == [0, 3, 6, 9, 12]


def test_two_runs_of_the_same_settings_are_two_there(wandb: StandIn, dataset: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train_part(start(CONFIG, dataset, tmp_path / name, recipe="tiny", data=PLACE), dataset)
        wandb.logged.clear()
    assert wandb.begun[0]["id"] != wandb.begun[1]["id"]


def test_no_path_is_sent_and_nothing_of_the_machine(wandb: StandIn, dataset: Dataset, tmp_path: Path) -> None:
    folder = start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data=PLACE)
    train_part(folder, dataset)
    (begun,) = wandb.begun
    told = {name: value for name, value in begun.items() if name != "dir"}
    assert not [text for text in (PLACE, str(tmp_path)) if text in repr(told)]
    closed = {"disable_git", "disable_code", "x_disable_meta", "x_disable_machine_info", "x_disable_stats"}
    assert all(begun["settings"][name] is True for name in closed)
    assert begun["settings"]["console"] == "off"


def test_what_the_real_one_keeps_offline_names_no_path_and_no_machine(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    folder = start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data=PLACE)
    train_part(folder, dataset)
    (kept,) = folder.path.rglob("*.wandb")
    waited = time.monotonic()
    while b"diversity" not in kept.read_bytes():  # its own process writes the end
        assert time.monotonic() - waited < 60
        time.sleep(0.1)
    sent = [file for file in kept.parent.rglob("*") if file.is_file() and file.parent.name != "logs"]
    secret = [PLACE, str(tmp_path), platform.node(), getpass.getuser(), sys.executable, sys.argv[0]]
    assert len(sent) == 1 + 4  # the grids
    assert not [(text, file) for text in secret for file in sent if text.encode() in file.read_bytes()]


def test_a_failure_there_is_marked_and_a_refusal_is_one_line(
    wandb: StandIn, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data=PLACE)
    with pytest.raises(KeyboardInterrupt), WeightsAndBiases(folder):
        raise KeyboardInterrupt
    assert wandb.exit_codes == [1]

    def refuse(**arguments: Any) -> None:
        raise wandb.Error("No API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match="No API key configured; try `wandb login`, or set WANDB_MODE=offline"):
        WeightsAndBiases(folder)


@pytest.mark.parametrize("content", ['{"id": "../../x"}', '{"id": 3}', "[]", "{}"])
def test_an_identity_that_is_none_is_refused(wandb: StandIn, dataset: Dataset, tmp_path: Path, content: str) -> None:
    folder = start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data=PLACE)
    (folder.path / "wandb.json").write_text(content)
    with pytest.raises(UserError, match=r"wandb\.json.*remove it, and the run begins anew there"):
        WeightsAndBiases(folder)
    assert wandb.begun == []


def test_a_missing_wandb_spoils_no_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    data, run = write_tiny_dataset(tmp_path / "data"), tmp_path / "run"
    assert main(["train", "--data", str(data), "--run", str(run), "--wandb"]) == 2
    assert "pip install '.[wandb]'" in capsys.readouterr().err
    assert not run.exists()


def test_train_sends_what_it_is_asked_to(wandb: StandIn, tmp_path: Path) -> None:
    data, run = write_tiny_dataset(tmp_path / "data"), tmp_path / "run"
    small = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--batch-size", "8", "--device", "cpu"]
    assert main(["train", "--data", str(data), "--run", str(run), "--steps", "2", "--wandb", *small]) == 0
    assert list(wandb.logged) == [0, 1, 2]
    assert wandb.exit_codes == [0]
