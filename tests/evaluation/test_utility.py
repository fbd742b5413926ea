"""Of what use images are: the arms on images whose worth is known, the intervals, and what is refused."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny import TINY, write_tiny_dataset

from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.evaluation.classifier import ClassifierConfig, Examples, class_shares, fit
from cxrgan.evaluation.utility import Unseen, Utility, class_counts, compare_arms, judge, unseen, utility
from cxrgan.files import write_json
from cxrgan.generation.generator import load_generator
from cxrgan.reports.utility import utility_answers, utility_remarks, utility_tables
from cxrgan.runs.results import ARMS, BOTH, COMPARISONS, REAL, REPEATED, SYNTHETIC, read_utility
from cxrgan.training.loop import start, train

CONFIG = ClassifierConfig(num_steps=40, batch_size=32, device="cpu", precision="fp32")
SHORT = replace(CONFIG, num_steps=2, batch_size=4)
CLASSES = ("NORMAL", "PNEUMONIA")


def blobs(num: int, seed: int) -> Examples:
    """Wide blobs and narrow ones, in noise: classes that a classifier learns, but not quite."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    labels = np.arange(num) % 2
    centres, widths = random.uniform(-0.3, 0.3, (num, 2, 1, 1)), random.normal(0.3 + 0.1 * labels, 0.06)
    distances = (x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2
    images = 160 * np.exp(-distances / widths[:, None, None] ** 2) + random.normal(40, 20, (num, 32, 32))
    return Examples(images.clip(0, 255).astype(np.uint8), labels)


def noise(num: int) -> Examples:
    random = np.random.default_rng(5)
    return Examples(random.integers(0, 256, (num, 32, 32)).astype(np.uint8), random.integers(2, size=num))


REAL_BLOBS = blobs(160, seed=0)
TESTED = Unseen(blobs(300, seed=1), np.arange(300), named=True)


def compared(synthetic: Examples) -> tuple[dict[str, float], dict[str, bool]]:
    """The AUC of each arm, and whether a comparison's interval holds no difference."""
    arms, comparisons, num = compare_arms(REAL_BLOBS, lambda seed: synthetic, TESTED, 2, 1, CONFIG)
    assert num == len(synthetic)
    same = {f"{each.of}/{each.against}": each.difference.low <= 0 <= each.difference.high for each in comparisons}
    return {arm.name: arm.auc.value for arm in arms}, same


def test_other_real_images_are_perfect_synthetic_ones_and_repeated_ones_are_real() -> None:
    aucs, same = compared(blobs(160, seed=2))
    assert min(aucs.values()) > 0.75
    assert same[f"{SYNTHETIC}/{REAL}"]
    assert same[f"{REPEATED}/{REAL}"]


def test_noise_with_random_labels_teaches_nothing() -> None:
    """One such classifier need not be at 0.5: on images of few kinds, it answers to some of them by chance."""
    aucs, same = compared(noise(160))
    assert aucs[SYNTHETIC] < aucs[REAL] - 0.1
    assert not same[f"{SYNTHETIC}/{REAL}"]
    assert aucs[REPEATED] > 0.75


def test_where_labels_say_nothing_every_arm_is_at_chance() -> None:
    half_of_each = np.arange(300) // 2 % 2  # of each class
    shuffled = Unseen(Examples(TESTED.examples.images, half_of_each), TESTED.patients, named=True)
    shares = [class_shares(fit(REAL_BLOBS, 2, CONFIG, 0), shuffled.examples.images)]
    arms, comparisons = judge(dict.fromkeys(ARMS, shares), dict.fromkeys(ARMS, 160), shuffled)
    for arm in arms:
        assert arm.auc.low < 0.5 < arm.auc.high
        assert arm.auc.value == pytest.approx(0.5, abs=0.1)
    assert all(each.difference.value == 0 for each in comparisons)


def test_a_seed_decides_a_classifier() -> None:
    first, again, other = (fit(REAL_BLOBS, 2, SHORT, seed) for seed in (0, 0, 1))
    shares = [class_shares(network, TESTED.examples.images) for network in (first, again, other)]
    assert np.array_equal(shares[0], shares[1])
    assert not np.array_equal(shares[0], shares[2])
    np.testing.assert_allclose(shares[0].sum(1), 1)


@pytest.mark.parametrize("size", [32, 46, 64, 128, 256])
def test_images_of_every_size_are_classified(size: int) -> None:
    images = np.zeros((4, size, size), dtype=np.uint8)
    assert class_shares(fit(Examples(images, np.arange(4) % 3), 3, SHORT, 0), images).shape == (4, 3)


def shares_of(accuracy: float, seed: int) -> NDArray[np.float64]:
    """What a classifier says that is right so far."""
    scores = np.random.default_rng(seed).normal(accuracy * TESTED.examples.labels, 1.0)
    return np.stack([-scores, scores], 1)


def test_arms_that_say_the_same_differ_by_nothing_and_a_worse_one_by_more_than_its_interval() -> None:
    good, bad = shares_of(2, 0), shares_of(0.5, 1)
    arms, comparisons = judge(
        {REAL: [good], SYNTHETIC: [bad], BOTH: [good], REPEATED: [good]}, dict.fromkeys(ARMS, 1), TESTED
    )
    worse, nothing, _, _ = comparisons
    assert (nothing.difference.low, nothing.difference.value, nothing.difference.high) == (0, 0, 0)
    assert (nothing.ratio.low, nothing.ratio.high) == (1, 1)
    assert worse.difference.high < 0
    assert worse.ratio.value == arms[1].auc.value / arms[0].auc.value
    for arm in arms:
        assert arm.auc.low < arm.auc.value < arm.auc.high
        assert arm.std is None


def test_an_interval_covers_the_spread_of_the_seeds() -> None:
    near, far = [shares_of(1.5, 0)] * 3, [shares_of(accuracy, 0) for accuracy in (0.5, 1.5, 2.5)]
    arms, _ = judge({REAL: near, SYNTHETIC: far, BOTH: near, REPEATED: near}, dict.fromkeys(ARMS, 1), TESTED)
    same, spread = arms[0], arms[1]
    assert same.std == 0
    assert spread.std == pytest.approx(np.std(spread.aucs, ddof=1))
    assert spread.auc.high - spread.auc.low > 1.5 * (same.auc.high - same.auc.low)


def test_an_interval_is_by_patient() -> None:
    one = shares_of(1, 0)
    five = Unseen(TESTED.examples.repeated(1500), np.tile(TESTED.patients, 5), named=True)
    arms = [
        judge({name: [shares] for name in ARMS}, dict.fromkeys(ARMS, 1), test)[0][0]
        for shares, test in ((one, TESTED), (np.tile(one, (5, 1)), five))
    ]
    assert arms[0].auc.low == pytest.approx(arms[1].auc.low)
    assert arms[0].auc.high == pytest.approx(arms[1].auc.high)


def test_generated_images_have_the_balance_of_the_real_ones() -> None:
    labels = np.array([1, 0, 1, 1, 1, 1, 0, 2])
    assert class_counts(labels, 8).tolist() == [2, 5, 1]
    assert class_counts(labels, 800).tolist() == [200, 500, 100]
    assert class_counts(np.repeat([0, 1], [30, 70]), 10).tolist() == [3, 7]


def dataset(path: Path, change: Callable[[int, dict[str, object]], object], classes: Sequence[str] = CLASSES) -> Path:
    """Blobs of which every third is for testing, after a change of each entry."""
    folder = write_tiny_dataset(path, classes=classes)
    manifest = json.loads((folder / "manifest.json").read_text())
    for row, entry in enumerate(manifest["images"]):
        entry |= {"split": "test" if row % 3 == 0 else "train", "patient": f"p{row % 3}-{row // 6}"}
        change(row, entry)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("utility") / "data", lambda row, entry: None)


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run by class, and one without."""
    made = {}
    for name, conditional in {"by-class": True, "plain": False}.items():
        made[name] = tmp_path_factory.mktemp("runs") / name
        config = replace(TINY, steps=1, conditional=conditional)
        folder = start(config, load_dataset(data), made[name], recipe="tiny", data=str(data))
        train(folder, folder.read_info().config, load_dataset(data))
    return made


@pytest.fixture(scope="module")
def measured(data: Path, runs: dict[str, Path]) -> Utility:
    return utility(runs["by-class"], data, num_seeds=2, config=SHORT)


def test_a_run_is_measured_on_patients_that_it_never_saw(measured: Utility) -> None:
    assert (measured.num_real, measured.num_synthetic, measured.num_test) == (26, 26, 14)
    assert (measured.num_test_patients, measured.patients_named, measured.num_seeds) == (7, True, 2)
    assert {arm.name: arm.num_images for arm in measured.arms} == {REAL: 26, SYNTHETIC: 26, BOTH: 52, REPEATED: 52}
    assert tuple((each.of, each.against) for each in measured.comparisons) == COMPARISONS
    assert measured.arm(BOTH).name == BOTH
    assert measured.comparison(BOTH, REPEATED).against == REPEATED


def test_the_same_command_gives_the_same_numbers(measured: Utility, data: Path, runs: dict[str, Path]) -> None:
    again = utility(runs["by-class"], data, num_seeds=2, config=SHORT)
    assert replace(again, seconds=measured.seconds) == measured


def test_no_latent_is_used_twice(data: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, str]] = []
    generator = load_generator(runs["by-class"])
    sample = type(generator).sample

    def listened(self: object, num: int, seed: int, label: str) -> object:
        asked.append((seed, num, label))
        return sample(generator, num, seed, label)

    monkeypatch.setattr(type(generator), "sample", listened)
    utility(runs["by-class"], data, num=10, num_seeds=2, config=SHORT)
    assert [label for _, _, label in asked] == [*CLASSES, *CLASSES]
    seeds = [seed for first, num, _ in asked for seed in range(first, first + num)]
    assert sorted(seeds) == list(range(20))


def grey(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.uint8))


def test_a_folder_of_images_by_class_is_measured_too(data: Path, tmp_path: Path) -> None:
    for label, num in (("NORMAL", 5), ("PNEUMONIA", 30)):
        (tmp_path / "made" / label).mkdir(parents=True)
        for number in range(num):
            grey(number).save(tmp_path / "made" / label / f"{number}.png")
    found = utility(tmp_path / "made", data, num_seeds=1, config=SHORT)
    assert found.num_synthetic == 5 + 13  # of a class that has too few, all
    assert found.arm(SYNTHETIC).std is None


def test_test_images_of_patients_in_training_are_left_out(tmp_path: Path) -> None:
    shared = dataset(tmp_path / "data", lambda row, entry: entry.update(patient="p1-0") if row == 3 else None)
    with pytest.warns(UserWarning, match="1 images of .* are of patients in its other splits, and are left out"):
        tested = unseen(shared)
    assert len(tested.examples) == 13


def test_images_without_a_patient_count_as_one_each(tmp_path: Path) -> None:
    nameless = dataset(tmp_path / "data", lambda row, entry: entry.update(patient=None))
    tested = unseen(nameless)
    assert len(set(tested.patients.tolist())) == len(tested.examples) == 14
    assert not tested.named


def test_a_generator_of_other_images_is_told_of(runs: dict[str, Path], tmp_path: Path) -> None:
    other = dataset(tmp_path / "data", lambda row, entry: entry.update(patient=f"q{row}"))
    with pytest.warns(UserWarning, match="trained on other labels, splits or patients .* may know the test's patients"):
        utility(runs["by-class"], other, num_seeds=1, config=SHORT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row, entry: entry.update(split="train"), "has no test split, and use is told by real patients"),
        (
            lambda row, entry: entry.update(split="train" if row % 2 == 0 else entry["split"], patient=None),
            "no image of NORMAL of unseen patients to test on",
        ),
        (
            lambda row, entry: entry.update(split="test" if row % 2 == 0 else entry["split"], patient=None),
            "no image of NORMAL to learn from",
        ),
    ],
)
def test_a_dataset_that_cannot_tell_is_refused(
    change: Callable[[int, dict[str, object]], object], message: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = dataset(tmp_path / "data", change)
    with pytest.raises(UserError, match=message):
        utility(runs["by-class"], folder, config=SHORT)


def test_one_class_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = dataset(tmp_path / "data", lambda row, entry: None, classes=("NORMAL",))
    with pytest.raises(UserError, match="has fewer than two classes"):
        utility(runs["plain"], folder, config=SHORT)


def test_images_that_cannot_be_learnt_from_are_refused(data: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plain knows no classes, .*; train it with --conditional"):
        utility(runs["plain"], data, config=SHORT)
    with pytest.raises(UserError, match=r"cxr-64 has 64-pixel images, .* has 32; prepare the dataset with --size 64"):
        utility(Path("cxr-64"), data, config=SHORT)
    with pytest.raises(UserError, match="is not a folder; give a run"):
        utility(tmp_path / "nothing", data, config=SHORT)
    (tmp_path / "made" / "NORMAL").mkdir(parents=True)
    grey(0).save(tmp_path / "made" / "NORMAL" / "a.png")
    with pytest.raises(UserError, match=r"has no images of PNEUMONIA, .* its classes are NORMAL"):
        utility(tmp_path / "made", data, config=SHORT)
    for num in (1, 0, -1):
        with pytest.raises(UserError, match=f"{num} generated images are too few to learn every class from"):
            utility(runs["by-class"], data, num=num, config=SHORT)
    with pytest.raises(UserError, match="cannot train with 0 seeds"):
        utility(runs["by-class"], data, num_seeds=0, config=SHORT)


def test_what_is_written_is_read_and_told(measured: Utility, tmp_path: Path) -> None:
    write_json(tmp_path / "utility.json", asdict(measured))
    found = read_utility(tmp_path / "utility.json")
    assert found["comparisons"] == [asdict(each) for each in measured.comparisons]
    assert [arm["auc"] for arm in found["arms"]] == [asdict(arm.auc) for arm in measured.arms]
    assert [table.row_count for table in utility_tables(found)] == [4, 4]
    assert "14 real images of 7 patients" in utility_remarks(found)[1]


def test_the_command_measures_it_where_it_is_asked_to(
    measured: Utility,
    data: Path,
    runs: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cxrgan.cli.audit.Audit._look_for_copies", lambda audit: 3)
    monkeypatch.setattr("cxrgan.evaluation.utility.utility", lambda target, data, best: measured)
    command = ["audit", str(runs["by-class"]), "--data", str(data)]
    assert main(command) == 3
    assert not (runs["by-class"] / "utility.json").exists()
    assert main([*command, "--utility"]) == 3  # what was found of copies is not forgotten
    assert read_utility(runs["by-class"] / "utility.json")["num_real"] == 26
    assert "In place of the real images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ratio", "gain", "alone", "beside"),
    [
        ((0.981, 1.0), (0.001, 0.02), "enough", "it helps"),
        ((0.9, 0.979), (-0.02, -0.001), "too little", "it harms"),
        ((0.9, 1.0), (-0.01, 0.01), "undecided", "no difference that shows"),
    ],
)
def test_an_answer_is_that_of_the_whole_interval(
    ratio: tuple[float, float], gain: tuple[float, float], alone: str, beside: str
) -> None:
    def estimate(ends: tuple[float, float]) -> dict[str, float]:
        return {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}

    comparisons = [
        {"of": of, "against": against, "ratio": estimate(ratio), "difference": estimate(gain)}
        for of, against in COMPARISONS
    ]
    first, second = utility_answers({"num_real": 100, "comparisons": comparisons})
    assert re.search(rf"; {alone} to stand in", first)
    assert second.endswith(beside)
