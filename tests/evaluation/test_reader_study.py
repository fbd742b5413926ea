"""Real or synthetic: the order, the score and the file of a reader study."""

from pathlib import Path

import numpy as np
import pytest
from tiny import write_tiny_dataset

import cxrgan
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import UserError
from cxrgan.evaluation.chance import wilson
from cxrgan.evaluation.reader_study import Item, Kind, draw_study, read_answers, score, write_answers
from cxrgan.generation.generator import TrainedGenerator


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path_factory.mktemp("study") / "tiny"))


@pytest.fixture(scope="module")
def generator(tiny_run: Path) -> TrainedGenerator:
    return cxrgan.load_generator(tiny_run)


def items(*truths: Kind) -> list[Item]:
    return [Item(np.zeros((2, 2), np.uint8), truth, "", f"{place}") for place, truth in enumerate(truths)]


def test_half_is_real_and_each_image_is_what_it_says(dataset: Dataset, generator: TrainedGenerator) -> None:
    study = draw_study(dataset, generator, 20, seed=3)
    assert [item.truth for item in study].count("real") == 10
    for item in study:
        number = int(item.source.split()[-1])
        made = dataset.images[number] if item.truth == "real" else generator.sample(1, number).images[0]
        np.testing.assert_array_equal(item.image, made)
    assert len({item.source for item in study}) == 20


def test_readers_of_a_seed_see_the_same_order_and_others_another(dataset: Dataset, generator: TrainedGenerator) -> None:
    orders = [[item.source for item in draw_study(dataset, generator, 20, seed)] for seed in (3, 3, 4)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_the_order_is_mixed(dataset: Dataset, generator: TrainedGenerator) -> None:
    first = [draw_study(dataset, generator, 20, seed)[0].truth for seed in range(40)]
    assert 10 < first.count("real") < 30


def test_generated_images_have_the_classes_of_the_real_ones(tmp_path: Path) -> None:
    data = load_dataset(write_tiny_dataset(tmp_path / "tiny", size=64, classes=("NORMAL", "PNEUMONIA")))
    study = draw_study(data, cxrgan.load_generator("cxr-64"), 20, seed=0)
    labels = {kind: sorted(item.label for item in study if item.truth == kind) for kind in ("real", "synthetic")}
    assert labels["real"] == labels["synthetic"]


def test_what_would_give_the_truth_away_is_refused(
    dataset: Dataset, generator: TrainedGenerator, tmp_path: Path
) -> None:
    shipped = cxrgan.load_generator("cxr-64")
    with pytest.raises(UserError, match="32 and 64 pixels"):
        draw_study(dataset, shipped, 4, 0)
    other = load_dataset(write_tiny_dataset(tmp_path / "other", size=64, classes=("NORMAL", "COVID")))
    with pytest.raises(UserError, match="give real ones away"):
        draw_study(other, shipped, 20, 0)
    for num in (0, 7, 1000):
        with pytest.raises(UserError, match="even number"):
            draw_study(dataset, generator, num, 0)
    with pytest.raises(UserError, match="has 40 images of the split train, but 50 are needed"):
        draw_study(dataset, generator, 100, 0)


def test_the_score_counts_each_kind_for_itself() -> None:
    study = items("real", "real", "synthetic", "synthetic", "synthetic")
    found = score(study, {0: "real", 1: "synthetic", 2: "synthetic", 3: "synthetic", 4: "real"})
    assert (found.answered, found.right, found.accuracy) == (5, 3, 0.6)
    assert (found.real_right, found.synthetic_right) == (0.5, 2 / 3)
    assert found.interval == wilson(3, 5)
    assert not found.above_chance
    assert score(study, {0: "synthetic"}).synthetic_right is None
    with pytest.raises(UserError, match="nothing is answered"):
        score(study, {})


@pytest.mark.parametrize(("right", "above"), [(50, False), (65, True), (35, True), (59, False)])
def test_chance_is_told_from_skill(right: int, above: bool) -> None:
    real: Kind = "real"
    study = items(*[real] * 100)
    answers: dict[int, Kind] = {place: "real" if place < right else "synthetic" for place in range(100)}
    assert score(study, answers).above_chance == above


def test_answers_come_back_from_their_file(dataset: Dataset, generator: TrainedGenerator, tmp_path: Path) -> None:
    study, file = draw_study(dataset, generator, 6, 0), tmp_path / "answers.csv"
    assert read_answers(file, study) == {}
    answers: dict[int, Kind] = {0: "real", 1: "synthetic"}
    write_answers(file, study, answers)
    assert read_answers(file, study) == answers
    with pytest.raises(UserError, match="another study"):
        read_answers(file, draw_study(dataset, generator, 6, 1))
    with pytest.raises(UserError, match="another study"):
        read_answers(file, draw_study(dataset, generator, 8, 0))
    for wrong in (b"\xff\xfe", b"", file.read_bytes().replace(b",real,real,", b",real,maybe,", 1)):
        file.write_bytes(wrong)
        with pytest.raises(UserError, match="move it away"):
            read_answers(file, study)
