"""Training by class: what goes in, what comes out, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, write_tiny_dataset

from cxrgan.cli.main import main
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import seed_labels
from cxrgan.recipes.config import TrainConfig
from cxrgan.training.loop import start, train

CONFIG = replace(
    TINY,
    model=replace(TINY.model, networks="stable"),
    steps=3,
    lr=0.02,  # far enough from the first weights for a class to be seen in 8 bits
    conditional=True,
    loss="relativistic",
    gradient_penalty=0.1,
    penalty_every=2,
    augment=0.5,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_tiny_dataset(tmp_path_factory.mktemp("data") / "data", classes=("NORMAL", "PNEUMONIA"))
    return load_dataset(folder)


def trained(config: TrainConfig, dataset: Dataset, path: Path) -> TrainedGenerator:
    folder = start(config, dataset, path, recipe="tiny", data="data")
    train(folder, folder.read_info().config, dataset, held_out=dataset)
    return load_generator(path)


@pytest.fixture(scope="module")
def generator(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedGenerator:
    return trained(CONFIG, dataset, tmp_path_factory.mktemp("runs") / "run")


def test_a_class_changes_the_image_of_a_seed_and_a_seed_that_of_a_class(generator: TrainedGenerator) -> None:
    normal, pneumonia = (generator.sample(2, seed=0, label=label) for label in ("NORMAL", "PNEUMONIA"))
    assert not np.array_equal(normal, pneumonia)
    assert not np.array_equal(normal[0], normal[1])


def test_without_a_label_each_seed_has_its_own_class_whatever_the_batch(generator: TrainedGenerator) -> None:
    images = generator.sample(20, seed=0)
    assert set(images.labels) == {"NORMAL", "PNEUMONIA"}
    for seed in (3, 17):
        assert np.array_equal(generator.sample(1, seed=seed, label=images.labels[seed])[0], images[seed])


def test_classes_come_as_often_as_in_training() -> None:
    labels = seed_labels([300, 100], range(4000))
    assert labels.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(labels[50:60], seed_labels([300, 100], range(50, 60)))


def test_interpolation_keeps_to_one_class(generator: TrainedGenerator) -> None:
    way = generator.interpolate((3, 9), 4, label="PNEUMONIA")
    assert np.array_equal(way[0], generator.sample(1, seed=3, label="PNEUMONIA")[0])
    assert np.array_equal(way[-1], generator.sample(1, seed=9, label="PNEUMONIA")[0])


def test_files_lie_in_a_folder_for_each_class(generator: TrainedGenerator, tmp_path: Path) -> None:
    samples = generator.sample(6, seed=0)
    samples.save(tmp_path)
    for seed, label in zip(samples.seeds, samples.labels, strict=True):
        assert (tmp_path / label / f"seed-{seed:06d}.png").exists()


def test_an_unknown_class_is_refused_with_those_there_are(generator: TrainedGenerator) -> None:
    with pytest.raises(UserError, match=r"no images of 'COVID': its classes are NORMAL, PNEUMONIA"):
        generator.sample(1, seed=0, label="COVID")


def test_a_generator_without_classes_refuses_a_label(dataset: Dataset, tmp_path: Path) -> None:
    plain = trained(replace(TINY, steps=1), dataset, tmp_path / "run")
    assert plain.sample(3, seed=0).labels == ("",) * 3
    with pytest.raises(UserError, match="it was not trained by class"):
        plain.sample(1, seed=0, label="NORMAL")


def test_a_dataset_of_one_class_cannot_be_trained_by_class(tmp_path: Path) -> None:
    dataset = load_dataset(write_tiny_dataset(tmp_path / "data"))
    with pytest.raises(UserError, match="has 1 classes and 0 training images without a label"):
        start(CONFIG, dataset, tmp_path / "run", recipe="tiny", data="data")


def test_a_class_without_training_images_cannot_be_learned(dataset: Dataset, tmp_path: Path) -> None:
    without = replace(dataset, labels=np.zeros_like(dataset.labels))
    with pytest.raises(UserError, match="has no training image of PNEUMONIA"):
        start(CONFIG, without, tmp_path / "run", recipe="tiny", data="data")


def test_the_number_of_classes_is_not_for_setting() -> None:
    with pytest.raises(UserError, match="--conditional takes it from the dataset"):
        replace(TINY, model=replace(TINY.model, num_classes=2))


def test_the_command_line_trains_and_generates_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_tiny_dataset(tmp_path / "data", classes=("NORMAL", "PNEUMONIA"))
    run = str(tmp_path / "run")
    sizes = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--batch-size", "8", "--steps", "2", "--device", "cpu"]
    assert main(["train", "--data", str(data), "--run", run, "--recipe", "fast-64", "--conditional", *sizes]) == 0
    out = tmp_path / "images"
    assert main(["generate", run, "--num", "3", "--label", "PNEUMONIA", "--out", str(out)]) == 0
    assert len(list((out / "PNEUMONIA").glob("*.png"))) == 3
    assert main(["generate", run, "--num", "3", "--label", "pneumonia", "--out", str(tmp_path / "none")]) == 2
    assert "its classes are NORMAL, PNEUMONIA" in capsys.readouterr().err
