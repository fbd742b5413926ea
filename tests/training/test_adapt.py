"""Adaptive augmentation: towards its target, exact under resume, nothing where it is off."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import LogReader
from cxrgan.training import loop
from cxrgan.training.adapt import FULL_SWING, adapted, overfitting
from cxrgan.training.draws import Batch
from cxrgan.training.loop import start, train
from cxrgan.training.step import Step

CONFIG = replace(TINY, augment=0.5, augment_target=0.5, steps=12, sample_every=100, checkpoint_every=100)


def test_r_v_is_the_share_of_the_way_to_generated_images() -> None:
    assert overfitting(train=2.0, held_out=2.0, generated=-2.0) == 0
    assert overfitting(train=2.0, held_out=1.0, generated=-2.0) == 0.25
    assert overfitting(train=2.0, held_out=-2.0, generated=-2.0) == 1
    assert overfitting(train=2.0, held_out=2.4, generated=-2.0) == pytest.approx(-0.1)
    assert overfitting(train=1.0, held_out=0.0, generated=1.0) == 0  # it tells nothing apart
    assert overfitting(train=1.0, held_out=0.0, generated=3.0) == 0


def test_the_probability_goes_from_nothing_to_all_in_a_full_swing_and_no_further() -> None:
    probability = 0.0
    for _ in range(100):
        probability = adapted(probability, 0.9, target=0.5, num_images=FULL_SWING // 100)
    assert probability == pytest.approx(1)
    assert adapted(1.0, 0.9, target=0.5, num_images=1000) == 1
    assert adapted(0.4, 0.1, target=0.5, num_images=1000) == pytest.approx(0.39)
    assert adapted(0.0, 0.1, target=0.5, num_images=1000) == 0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """40 training and 24 held-out images."""
    folder = write_tiny_dataset(tmp_path / "data", num=64)
    manifest = json.loads((folder / "manifest.json").read_text())
    for image in manifest["images"][40:]:
        image["split"] = "test"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ADAPT_EVERY", 4)


def run(path: Path, data: Path, config: TrainConfig, *stops: int) -> RunFolder:
    dataset, held_out = load_dataset(data), load_dataset(data, "test")
    folder = start(config, dataset, path, recipe="tiny", data=str(data))
    for stop in stops:
        train(folder, replace(folder.read_info().config, steps=stop), dataset, held_out=held_out)
    return folder


def adaptations(folder: RunFolder) -> list[tuple[int, float, float]]:
    rows = LogReader(folder.metrics_file).rows()
    return [(row["step"], row["augment"], row["r_v"]) for row in rows if "augment" in row]


def test_each_adaptation_is_a_line_of_the_log_and_a_swing_by_its_images(tmp_path: Path, data: Path) -> None:
    steps, probabilities, r_v = zip(*adaptations(run(tmp_path / "run", data, CONFIG, 12)), strict=True)
    assert steps == (4, 8, 12)
    swing = 4 * 8 / FULL_SWING
    for before, after, share in zip((0.5, *probabilities), probabilities, r_v, strict=False):
        assert after - before == pytest.approx(swing if share > 0.5 else -swing)


def test_what_the_discriminator_sees_follows(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    original = Step._view

    def view(step: Step, images: torch.Tensor, batch: Batch, which: int) -> torch.Tensor:
        seen.append(step.augment)
        return original(step, images, batch, which)

    monkeypatch.setattr(Step, "_view", view)
    folder = run(tmp_path / "run", data, CONFIG, 12)
    assert list(dict.fromkeys(seen)) == [0.5, *(probability for _, probability, _ in adaptations(folder)[:-1])]


def test_a_resumed_run_adapts_on_from_where_it_was(tmp_path: Path, data: Path) -> None:
    whole, parted = run(tmp_path / "whole", data, CONFIG, 12), run(tmp_path / "parted", data, CONFIG, 6, 12)
    assert adaptations(parted) == adaptations(whole)
    for file in whole.checkpoint(12).glob("*.safetensors"):
        assert (parted.checkpoint(12) / file.name).read_bytes() == file.read_bytes()


def test_without_a_target_nothing_adapts(tmp_path: Path, data: Path) -> None:
    folder = run(tmp_path / "run", data, replace(CONFIG, augment_target=0.0), 12)
    assert adaptations(folder) == []
    assert json.loads((folder.checkpoint(12) / "state.json").read_text())["progress"]["augment"] is None


def test_without_held_out_images_it_is_refused_before_there_is_a_run(tmp_path: Path) -> None:
    dataset = load_dataset(write_tiny_dataset(tmp_path / "all-for-training"))
    with pytest.raises(UserError, match="--augment-target needs held-out images, 8 or more in the split val or test"):
        start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data="data")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"augment_target is 1\.0, but must be from 0 to below 1"):
        replace(CONFIG, augment_target=1.0)
