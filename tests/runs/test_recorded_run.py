"""What version 0.1.0 wrote before its house was rebuilt is read as it was meant: runs, checkpoints, datasets, results.

`recorded/` holds the text of a run of six steps on thirty phantoms, and of its checkpoint the names, kinds and shapes.
"""

import json
from dataclasses import asdict
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from cxrgan.data.dataset import read_manifest
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import RECIPES
from cxrgan.runs.checkpoint import Progress, load_checkpoint, save_checkpoint
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.results import read_diagnosis, read_evaluation
from cxrgan.settings import differences
from cxrgan.training.doctor.diagnose import diagnose_run
from cxrgan.training.step import new_players

RECORDED = Path(__file__).parent / "recorded"
DOCS = Path(__file__).parents[2] / "docs"
RUN = RunFolder(RECORDED)


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


def with_new_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Recorded settings with those that came later, which then have no effect."""
    new = dict.fromkeys(("final_lr", "final_beta2", "final_gradient_penalty", "final_ema_halflife")) | {
        "augment_target": 0.0
    }
    now = asdict(TrainConfig())
    assert new.items() <= now.items()
    assert now["model"]["detail"] == 0
    return {**now, **config, "model": {**now["model"], **config["model"]}}


def test_settings_are_those_that_were_written() -> None:
    info, written = RUN.read_info(), recorded("config.json")
    assert asdict(info.config) == with_new_settings(written["config"])
    assert info.started_from is None  # the setting is younger than the run
    others = {name: value for name, value in asdict(info).items() if name not in ("config", "started_from")}
    assert others.items() <= {"licence": None, "processes": 1, **written}.items()  # younger


@pytest.mark.parametrize("file", sorted(DOCS.glob("*config.json")), ids=lambda file: file.name)
def test_runs_of_the_docs_are_read_as_their_recipes(file: Path, tmp_path: Path) -> None:
    copy(file, tmp_path / "config.json")
    info = RunFolder(tmp_path).read_info()
    assert set(differences(RECIPES[info.recipe], info.config)) <= {
        *["device", "precision", "compile", "epochs", "steps", "sample_every", "checkpoint_every", "evaluate_every"],
        *["num_samples", "keep_checkpoints", "num_evaluated", "conditional", "model.num_classes", "model.ndf"],
        "model.detail",  # younger than some of them
    }


def test_a_checkpoint_goes_on_and_is_written_alike(tmp_path: Path) -> None:
    checkpoint, layout = tmp_path / "step-000006", recorded("layout.json")
    checkpoint.mkdir()
    copy(RECORDED / "state.json", checkpoint)
    for file, tensors in layout.items():
        values = {name: np.full(shape, 0.5, kind) for name, (kind, shape) in tensors.items()}
        save_file(values, checkpoint / f"{file}.safetensors")
    config = RUN.read_info().config
    players = new_players(config, torch.device("cpu"))
    parts: dict[str, Any] = {"networks": players.networks, "optimizers": players.optimizers, "config": config}
    progress = load_checkpoint(checkpoint, **parts)
    assert progress == Progress(6, recorded("state.json")["progress"]["seconds"])
    again = tmp_path / "again"
    save_checkpoint(again, **parts, progress=progress)
    for file in layout:
        before, after = (load_file(f"{folder}/{file}.safetensors") for folder in (checkpoint, again))
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)
    state = recorded("state.json")
    state["config"] = with_new_settings(state["config"])
    state["progress"]["augment"] = None
    assert json.loads((again / "state.json").read_text()) == state


def test_a_dataset_is_the_one_that_the_run_was_trained_on() -> None:
    manifest, info = read_manifest(RECORDED), RUN.read_info()
    assert (manifest.size, manifest.classes, len(manifest.images)) == (32, ("NORMAL", "PNEUMONIA"), 30)
    assert info.other_data(sha256=manifest.images_sha256, identity=manifest.identity) == ""


def test_results_are_those_that_were_written() -> None:
    for read, written in zip(
        read_evaluation(RECORDED / "evaluation.json")["rows"], recorded("evaluation.json")["rows"], strict=True
    ):
        assert read.items() >= written.items()
    assert read_diagnosis(RUN.diagnosis_file)["verdict"] == recorded("diagnosis.json")["verdict"]


def test_a_log_tells_the_doctor_the_same() -> None:
    assert [row["step"] for row in RUN.rows() if "loss_d" in row] == [1, 2, 3, 4, 5, 6]
    assert RUN.best_step() == 6
    told = [(finding.name, finding.since) for finding in diagnose_run(RUN).findings]
    assert told == [(finding["name"], finding["since"]) for finding in recorded("diagnosis.json")["findings"]]
