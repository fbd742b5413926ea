"""Rows with floors, the cache of features, the sides of a comparison, and measuring during training."""

import io
import json
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from safetensors.numpy import save
from tiny import TINY, write_tiny_dataset

from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.data.phantom import CLASSES, phantom
from cxrgan.errors import UserError
from cxrgan.evaluation import during
from cxrgan.evaluation import features as features_module
from cxrgan.evaluation.compare import compare
from cxrgan.evaluation.during import make_evaluator
from cxrgan.evaluation.features import extract
from cxrgan.evaluation.metrics import frechet_distance, manifold_metrics
from cxrgan.evaluation.rulers import RULERS, domain, optional
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.rulers.network import FeatureNetwork
from cxrgan.evaluation.rulers.optional import load_rad_dino, load_xrv
from cxrgan.evaluation.sets import ImageSet, dataset_set, draw, folder_set, open_pair
from cxrgan.generation.generator import load_generator
from cxrgan.reports.numbers import number
from cxrgan.reports.tables import evaluation_cells, evaluation_notes, evaluation_tables
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import append_rows
from cxrgan.training.loop import start, train


class Means:
    """A network that only averages quarters: 4 features, and logits of the same."""

    name, resize, main_tap = "means", "none", "quarters"

    def __init__(self, sha256: str = "a") -> None:
        self.sha256, self.num_seen = sha256, 0

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        self.num_seen += len(images)
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)
        return {"quarters": pooled, "halves": pooled[:, :2], "logits_unbiased": pooled / 50}


def image_set(num: int, seed: int = 0, brightness: float = 0.0, labels: tuple[str, ...] = ("",)) -> ImageSet:
    noise = np.random.default_rng(seed).normal(128 + brightness, 30, (num, 8, 8))
    images = noise.clip(0, 255).astype(np.uint8)
    return ImageSet(images, np.array([labels[i % len(labels)] for i in range(num)]), "noise", "train")


def by_metric(rows: list[dict[str, object]], tap: str = "quarters") -> dict[str, dict[str, object]]:
    return {str(row["metric"]): row for row in rows if row["tap"] == tap and row["label"] is None}


def test_every_row_says_what_it_was_measured_with() -> None:
    rows = compare(real=image_set(60), fake=image_set(50, seed=1), networks=[Means()])
    named = {"features", "tap", "resize", "n_real", "n_fake", "split", "seed", "value", "metric", "ratio"}
    named |= {"floor", "floor_std", "n_floor", "floor_draws", "floor_corrected"}
    assert all(named <= row.keys() for row in rows)
    assert {row["metric"] for row in rows if row["tap"] == "quarters"} == {
        *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")
    }
    assert [row["metric"] for row in rows if row["tap"] == "halves"] == ["frechet_distance"]
    assert [row["metric"] for row in rows if row["tap"] == "logits_unbiased"] == ["inception_score"]
    assert {(row["n_real"], row["n_fake"], *row["n_floor"]) for row in rows if row["tap"] == "halves"} == {
        (60, 50, 33, 27)
    }
    assert {row["metric"] for row in rows if row["floor_corrected"]} == {"frechet_distance"}


def test_the_same_kind_of_images_are_near_the_floor_and_others_far_from_it() -> None:
    real = image_set(400)
    same = by_metric(compare(real=real, fake=image_set(400, seed=1), networks=[Means()]))
    other = by_metric(compare(real=real, fake=image_set(400, seed=1, brightness=40), networks=[Means()]))
    assert float(same["frechet_distance"]["ratio"]) < 3  # type: ignore[arg-type]
    assert float(other["frechet_distance"]["ratio"]) > 100  # type: ignore[arg-type]
    assert float(other["recall"]["value"]) < 0.2 < float(same["recall"]["value"])  # type: ignore[arg-type]


def test_values_and_floors_are_those_of_the_metric_itself() -> None:
    real, fake, network = image_set(40), image_set(30, seed=1), Means()
    row = by_metric(compare(real=real, fake=fake, networks=[network], seed=3))["frechet_distance"]
    of_real, of_fake = (extract(network, side.images, cache=None)["quarters"] for side in (real, fake))
    assert row["value"] == frechet_distance(real=of_real, fake=of_fake)
    random = np.random.default_rng(3)
    parts = [np.split(of_real[random.permutation(40)], [23]) for _ in range(64)]
    distances = np.array([frechet_distance(real=a, fake=b) for a, b in parts])
    to_40_and_30 = (1 / 40 + 1 / 30) / (1 / 23 + 1 / 17)
    assert row["floor"] == pytest.approx(distances.mean() * to_40_and_30)
    assert row["floor_std"] == pytest.approx(distances.std(ddof=1) * to_40_and_30)
    assert (row["n_floor"], row["floor_draws"]) == ([23, 17], 64)


def test_classes_that_both_sides_have_get_rows_of_their_own() -> None:
    real = image_set(60, labels=("NORMAL", "PNEUMONIA"))
    fake = image_set(60, seed=1, labels=("PNEUMONIA", ""))
    rows = compare(real=real, fake=fake, networks=[Means()])
    assert {row["label"] for row in rows} == {None, "PNEUMONIA"}
    assert {row["n_fake"] for row in rows if row["label"]} == {30}


def test_too_few_images_are_said_and_everything_else_still_runs() -> None:
    rows = by_metric(compare(real=image_set(60), fake=image_set(3, seed=1), networks=[Means()]))
    assert rows["manifold"]["value"] is None
    assert "3" in str(rows["manifold"]["note"])
    assert rows["frechet_distance"]["value"] is not None


def test_features_come_from_the_cache_only_for_the_same_images_and_network(tmp_path: Path) -> None:
    images, network = image_set(10).images, Means()
    first = extract(network, images, cache=tmp_path)
    again = extract(network, images, cache=tmp_path)
    assert network.num_seen == 11  # one tells the taps and their widths
    assert all(np.array_equal(first[tap], again[tap]) for tap in first)
    changed = images.copy()
    changed[3, 2, 1] ^= 1
    extract(network, changed, cache=tmp_path)
    assert network.num_seen == 21
    other = Means(sha256="b")
    extract(other, images, cache=tmp_path)
    assert other.num_seen == 10


def test_a_broken_cache_file_is_made_again(tmp_path: Path) -> None:
    images, network = image_set(10).images, Means()
    whole = extract(network, images, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert np.array_equal(extract(network, images, cache=tmp_path)["quarters"], whole["quarters"])


@pytest.mark.parametrize(
    "change",
    [
        lambda features: {tap: values[:9] for tap, values in features.items()},
        lambda features: {tap: values[:, :1].copy() for tap, values in features.items()},
        lambda features: {tap: values.astype(np.float16) for tap, values in features.items()},
        lambda features: {tap: values for tap, values in features.items() if tap != "halves"},
        lambda features: features | {"more": features["halves"]},
        lambda features: features | {"quarters": np.full_like(features["quarters"], np.nan)},
    ],
    ids=["rows", "width", "kind", "a tap less", "a tap more", "not finite"],
)
def test_features_of_another_shape_in_the_cache_are_made_again(
    change: Callable[[dict[str, NDArray[np.float32]]], dict[str, NDArray[np.float32]]], tmp_path: Path
) -> None:
    images = image_set(10).images
    whole = extract(Means(), images, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(save(change(whole)))
    for _ in range(2):  # made again, and kept
        again = extract(Means(), images, cache=tmp_path)
        assert again.keys() == whole.keys()
        assert all(np.array_equal(again[tap], whole[tap]) for tap in whole)


def test_the_cache_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Means()
    extract(network, image_set(10).images, cache=tmp_path)
    (first,) = tmp_path.iterdir()
    monkeypatch.setattr(features_module, "MAX_CACHE_BYTES", int(1.5 * first.stat().st_size))
    extract(network, image_set(10, seed=1).images, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert not first.exists()


def write_pngs(folder: Path, images: NDArray[np.uint8]) -> Path:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def test_a_folder_keeps_its_copies_since_copies_are_what_collapse_looks_like(tmp_path: Path) -> None:
    one = image_set(1).images
    images = folder_set(write_pngs(tmp_path / "a", np.repeat(one, 5, axis=0).repeat(4, 1).repeat(4, 2)), 32)
    assert images.images.shape == (5, 32, 32)


def test_two_plain_folders_meet_at_the_size_of_the_real_one(tmp_path: Path) -> None:
    target = write_pngs(tmp_path / "fake", image_set(4).images.repeat(4, 1).repeat(4, 2))  # 32 pixels
    data = write_pngs(tmp_path / "real", image_set(6).images.repeat(6, 1).repeat(6, 2))  # 48 pixels
    real, fake = open_pair(target, data, num=3, split="train", seed=0)
    assert real.images.shape == (6, 48, 48)
    assert fake.images.shape == (3, 48, 48)


def test_some_of_a_folder_are_drawn_by_seed_in_the_proportions_of_its_classes() -> None:
    labels = np.array(["NORMAL"] * 30 + ["PNEUMONIA"] * 90)
    whole = ImageSet(np.arange(120, dtype=np.uint8)[:, None, None], labels, "sorted by class", "train")
    some = draw(whole, 20, seed=0)
    assert np.unique(some.labels, return_counts=True)[1].tolist() == [5, 15]
    numbers = some.images.ravel()
    assert len(set(numbers)) == 20
    assert all(labels[number] == label for number, label in zip(numbers, some.labels, strict=True))
    assert np.array_equal(draw(whole, 20, seed=0).images, some.images)
    assert not np.array_equal(draw(whole, 20, seed=1).images, some.images)
    assert np.unique(draw(whole, 7, seed=0).labels, return_counts=True)[1].tolist() in ([1, 6], [2, 5])
    assert np.array_equal(draw(whole, 200, seed=0).images, whole.images)


def test_few_images_of_a_dataset_are_of_all_its_classes(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data", classes=("NORMAL", "PNEUMONIA"))
    whole = dataset_set(data, "train")
    _, fake = open_pair(data, data, num=8, split="train", seed=0)
    assert fake.num == 8
    assert fake.classes == whole.classes
    assert not np.array_equal(fake.images, whole.images[:8])  # drawn, not the first


def test_sides_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data")
    other = write_tiny_dataset(tmp_path / "other", size=64)
    with pytest.raises(UserError, match=r"has 64-pixel images, .* has 32; prepare the dataset with --size 64"):
        open_pair(other, data, num=None, split="train", seed=0)
    with pytest.raises(UserError, match="cannot evaluate 0 images"):
        open_pair(other, data, num=0, split="train", seed=0)
    with pytest.raises(UserError, match="is not a folder"):
        open_pair(tmp_path / "nowhere", data, num=None, split="train", seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no usable image"):
        open_pair(tmp_path / "empty", data, num=None, split="train", seed=0)


def test_without_internet_the_inception_rows_say_how_to_get_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    networks, missing = load_networks(RULERS)
    assert [network.name for network in networks] == ["cxr-domain-v1", "cxr-domain-v2"]
    assert list(missing) == ["inception", "inception-imagenet"]
    for reason, flag in zip(missing.values(), ("--inception-weights", "--imagenet-weights"), strict=True):
        assert "not computed" in reason
        assert flag in reason


@pytest.mark.parametrize(("ruler", "module"), [("xrv", "torchxrayvision"), ("rad-dino", "transformers")])
def test_an_optional_ruler_that_is_absent_is_one_clear_line(
    ruler: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    networks, missing = load_networks([ruler])  # type: ignore[list-item]
    assert networks == []
    assert f"pip install '.[{ruler}]'" in missing[ruler]  # type: ignore[index]


class Tiny(torch.nn.Module):
    """Stands for either library's network: says what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (1, 224, 224)
        return torch.cat([x, -x], 1) * self.weight

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        assert x.shape[1:] == (3, 518, 518)
        return SimpleNamespace(pooler_output=x.mean((2, 3)) * self.weight)


def test_torchxrayvision_is_shown_its_own_grey_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    models = SimpleNamespace(DenseNet=lambda weights: Tiny())
    monkeypatch.setitem(sys.modules, "torchxrayvision", SimpleNamespace(models=models))
    (network,), missing = load_networks(["xrv"])
    assert missing == {}
    white = network(torch.full((1, 1, 64, 64), 255, dtype=torch.uint8))["features"]
    assert white.tolist() == [[1024.0, 0.0]]


def test_rad_dino_is_shown_its_own_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = SimpleNamespace(image_mean=[0.5] * 3, image_std=[0.25] * 3)
    fake = SimpleNamespace(
        AutoModel=SimpleNamespace(from_pretrained=lambda name: Tiny()),
        BitImageProcessor=SimpleNamespace(from_pretrained=lambda name: processor),
    )
    monkeypatch.setitem(sys.modules, "transformers", fake)
    (network,), _ = load_networks(["rad-dino"])
    black = network(torch.zeros((1, 1, 64, 64), dtype=torch.uint8))["features"]
    assert torch.allclose(black, torch.full((1, 3), -2.0), atol=1e-5)
    assert network.name == "rad-dino"


def test_inception_weights_that_are_named_must_be_right(tmp_path: Path) -> None:
    wrong = tmp_path / "weights.pth"
    wrong.write_text("no weights")
    with pytest.raises(UserError, match=r"weights\.pth"):
        load_networks(["inception"], inception_weights=wrong)
    with pytest.raises(UserError, match=r"weights\.pth"):
        load_networks(["inception-imagenet"], imagenet_weights=wrong)


def test_measuring_does_not_disturb_the_run_and_keeps_the_best_checkpoint(tmp_path: Path) -> None:
    dataset = load_dataset(write_tiny_dataset(tmp_path / "data"))
    folders = {}
    for name, every in (("with", 4), ("without", None)):
        config = replace(TINY, steps=22, evaluate_every=every, num_evaluated=12, keep_checkpoints=1)
        folder = start(config, dataset, tmp_path / name, recipe="tiny", data="data")
        train(folder, folder.read_info().config, dataset, evaluator=make_evaluator(dataset.images, [Means()]))
        folders[name] = folder
    for file in ("generator.safetensors", "discriminator.safetensors", "optimizer_g.safetensors"):
        one, two = (folder.checkpoint(22) / file for folder in folders.values())
        assert one.read_bytes() == two.read_bytes()
    measured = [row for row in folders["with"].rows() if "frechet_distance" in row]
    assert [row["step"] for row in measured] == [4, 8, 12, 16, 20]
    assert {row["n_fake"] for row in measured} == {12}
    best = min(measured, key=lambda row: row["frechet_distance"])["step"]
    assert folders["with"].best_step() == best
    assert set(folders["with"].steps()) == {best, 22}
    assert folders["without"].best_step() is None
    images = load_generator(folders["with"].path, best=True).sample(12, seed=0).images
    again = make_evaluator(dataset.images, [Means()])(images)
    assert again["frechet_distance"] == min(row["frechet_distance"] for row in measured)
    with pytest.raises(UserError, match="was trained without --evaluate-every"):
        load_generator(folders["without"].path, best=True)


def test_the_floor_during_training_is_that_of_an_evaluation() -> None:
    real, fake = image_set(80), image_set(40, seed=1)
    row = by_metric(compare(real=real, fake=fake, networks=[Means()]))["frechet_distance"]
    measured = make_evaluator(real.images, [Means()])(fake.images)
    assert (measured["frechet_floor"], measured["frechet_floor_std"]) == (row["floor"], row["floor_std"])
    assert measured["frechet_distance"] == pytest.approx(row["value"])
    rows = by_metric(compare(real=real, fake=fake, networks=[Means()]))
    for metric in ("precision", "recall"):
        names = (metric, f"{metric}_floor", f"{metric}_floor_std")
        assert [measured[name] for name in names] == [rows[metric][name] for name in ("value", "floor", "floor_std")]
    assert measured["n_real_manifold"] == 80


def test_precision_and_recall_during_training_say_how_many_real_images_they_knew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(during, "NUM_MANIFOLD", 30)
    real, fake = image_set(80), image_set(20, seed=1)
    measured = make_evaluator(real.images, [Means()])(fake.images)
    features = extract(Means(), real.images, cache=None)["quarters"]
    of_fake = extract(Means(), fake.images, cache=None)["quarters"]
    assert measured["n_real_manifold"] == 40
    assert measured["recall"] == manifold_metrics(real=features[::2], fake=of_fake).recall
    random = np.random.default_rng(0)
    orders = [random.permutation(80) for _ in range(16)]
    drawn = [manifold_metrics(real=features[order[:40]], fake=features[order[40:60]]).recall for order in orders]
    assert measured["recall_floor"] == pytest.approx(np.mean(drawn))


def test_floors_are_measured_once_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator, fake = make_evaluator(image_set(80).images, [Means()]), image_set(40, seed=1).images
    first = evaluator(fake)
    monkeypatch.setattr(during, "kept_floors", lambda *a, **n: pytest.fail("measured again"))
    assert evaluator(fake) == first


def test_further_networks_add_their_distances_during_training() -> None:
    real, fake = image_set(80), image_set(40, seed=1)
    evaluated = compare(real=real, fake=fake, networks=[Means()])
    row = make_evaluator(real.images, [Means("main"), Means("other")])(fake.images)
    assert row == {**make_evaluator(real.images, [Means()])(fake.images), "others": row["others"]}
    assert [each["tap"] for each in row["others"]] == ["quarters", "halves"]
    for each in row["others"]:
        expected = by_metric(evaluated, tap=each["tap"])["frechet_distance"]
        assert each["frechet_distance"] == pytest.approx(expected["value"])
        assert each["frechet_floor"] == expected["floor"]


def test_too_few_images_to_measure_against_are_refused_before_the_run(tmp_path: Path) -> None:
    few = load_dataset(write_tiny_dataset(tmp_path / "data", num=5))
    config = replace(TINY, batch_size=2, evaluate_every=5)
    with pytest.raises(UserError, match="needs at least 6 training images, but the dataset tiny has 5"):
        start(config, few, tmp_path / "run", recipe="tiny", data="data")
    assert not (tmp_path / "run").exists()


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    features = extract(Means(), image_set(4).images, cache=tmp_path / "file" / "cache")
    assert np.array_equal(features["quarters"], extract(Means(), image_set(4).images, cache=None)["quarters"])


def test_measuring_survives_a_break(tmp_path: Path) -> None:
    dataset = load_dataset(write_tiny_dataset(tmp_path / "data"))
    rows = []
    for name, parts in (("whole", [20]), ("parts", [9, 20])):
        config = replace(TINY, steps=parts[0], evaluate_every=5, num_evaluated=12)
        folder = start(config, dataset, tmp_path / name, recipe="tiny", data="data")
        for steps in parts:
            train(folder, replace(config, steps=steps), dataset, evaluator=make_evaluator(dataset.images, [Means()]))
        rows.append([{k: v for k, v in row.items() if k != "seconds"} for row in folder.rows()])
    assert rows[0] == rows[1]


def test_from_training_with_measurements_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(24):
        folder = tmp_path / "xrays" / "train" / CLASSES[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(phantom(0, index, 32, CLASSES[index % 2])).save(folder / f"{index}.png")
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    assert main(["prepare", str(tmp_path / "xrays"), "--out", data, "--size", "32"]) == 0
    small = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--batch-size", "8", "--device", "cpu", "--steps", "6"]
    small += ["--num-samples", "4", "--evaluate-every", "3", "--num-evaluated", "10"]
    assert main(["train", "--data", data, "--run", run, *small]) == 0
    assert (tmp_path / "run" / "metrics.png").stat().st_size > 10_000
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    chosen_by = [(row["features"], row.get("others")) for row in logged if "frechet_distance" in row]
    assert chosen_by == [("cxr-domain-v1", None)] * 2  # nothing is chosen with the second network
    assert main(["generate", run, "--best", "--num", "20", "--out", str(tmp_path / "images")]) == 0
    assert main(["evaluate", run, "--best", "--data", data, "--rulers", "domain"]) == 0
    assert "run, step" in capsys.readouterr().out
    for target in (run, str(tmp_path / "images"), str(tmp_path / "xrays")):
        assert main(["evaluate", target, "--data", data, "--rulers", "domain", "--json", str(tmp_path / "e.json")]) == 0
    shown = capsys.readouterr().out
    assert "frechet distance" in shown
    assert "cxr-domain-v1" in shown
    assert "FID" not in shown
    rows = json.loads((tmp_path / "e.json").read_text())["rows"]
    assert {row["label"] for row in rows} == {None, "NORMAL", "PNEUMONIA"}
    assert next(row["value"] for row in rows if row["metric"] == "frechet_distance") < 1e-3  # the same images


def test_the_shipped_network_is_a_feature_network() -> None:
    network = load_domain()
    taps = extract(network, image_set(3).images, cache=None)
    assert taps[network.main_tap].shape[0] == 3
    assert len(network.sha256) == 64


def log_of(folder: RunFolder, *measured: tuple[int, float, int, str]) -> RunFolder:
    """A run folder with measurements: step, distance, generated images, ruler."""
    folder.path.mkdir()
    rows = [
        {"step": step, "frechet_distance": value, "n_fake": n_fake, "n_real": 40, "features": ruler}
        for step, value, n_fake, ruler in measured
    ]
    append_rows(folder.metrics_file, rows)
    return folder


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        ([(5, 9.0, 100, "a"), (10, 7.0, 100, "a"), (15, 8.0, 100, "a")], 10),
        ([(5, 2.0, 1000, "a"), (10, 7.0, 100, "a"), (15, 6.0, 100, "a")], 15),  # 1000 images are always nearer
        ([(5, 2.0, 100, "b"), (10, 7.0, 100, "a"), (15, 8.0, 100, "a")], 10),
        ([(5, 2.0, 100, "a"), (10, 1.0, 1000, "a"), (15, 8.0, 100, "a")], 15),  # step 5 was given up at step 10
    ],
)
def test_the_best_step_is_among_those_measured_alike(
    tmp_path: Path, measured: list[tuple[int, float, int, str]], best: int
) -> None:
    assert log_of(RunFolder(tmp_path / "run"), *measured).best_step() == best


def test_a_class_of_which_nothing_could_be_computed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    real = image_set(60, labels=("NORMAL", "PNEUMONIA"))
    fake = image_set(9, seed=1, labels=("NORMAL", "NORMAL", "PNEUMONIA"))
    notes = evaluation_notes(compare(real=real, fake=fake, networks=[Means()]))
    assert any(note.startswith("means, PNEUMONIA, manifold: not computed: fake has 3 images") for note in notes)
    assert not any(note.startswith("means, manifold") for note in notes)


def test_an_evaluation_in_which_nothing_was_measured_fails_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(write_tiny_dataset(tmp_path / "data"))
    file = tmp_path / "e.json"
    arguments = ["evaluate", data, "--data", data, "--num", "1", "--rulers", "domain", "--json", str(file)]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "cxrgan: nothing was measured of tiny: the reasons are above" in shown.err
    assert "fake has 1 images" in shown.out
    assert not file.exists()


def shown(rows: list[dict[str, object]]) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(*evaluation_tables(rows))
    return " ".join(stream.getvalue().split())


def test_a_ratio_of_unequal_numbers_is_marked_and_the_mark_is_explained() -> None:
    equal = compare(real=image_set(60), fake=image_set(60, seed=1), networks=[Means()])
    assert "*" not in shown(equal)
    assert "deviation of 64 or 16 draws of 30 against 30 or 60." in shown(equal)
    assert "floor is corrected from there to 60 against 60." in shown(equal)
    unequal = compare(real=image_set(60), fake=image_set(50, seed=1), networks=[Means()])
    (distance,) = (row for row in unequal if row["metric"] == "frechet_distance" and row["tap"] == "quarters")
    assert evaluation_cells(distance)[-1] == number(distance["ratio"]) + "*"
    assert "* 50 generated images against 60 real ones: compare such a ratio only" in shown(unequal)


def test_rows_of_before_are_shown_and_their_floor_of_halves_is_marked() -> None:
    old = {"metric": "frechet_distance", "value": 20.0, "std": None, "floor": 2.0, "ratio": 10.0, "features": "means"}
    old |= {"tap": "quarters", "n_real": 60, "n_fake": 60, "n_floor": 30, "split": "train", "label": None, "seed": 0}
    recall = old | {"metric": "recall", "value": 0.5, "floor": 0.8, "ratio": 0.625}
    text = shown([old, recall])
    assert "10.0*" in text
    assert "0.625*" not in text  # the numbers of a pair of halves are in the same proportion
    assert "* a value of 60 images against a floor of fewer" in text


@pytest.mark.parametrize("load", [load_domain, partial(load_domain, "cxr-domain-v2"), load_xrv, load_rad_dino])
def test_a_ruler_takes_images_to_the_device_it_was_put_on(load: Callable[..., FeatureNetwork]) -> None:
    """On the device `meta` tensors have shapes and no values, so a layer that met one of the CPU would fail."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (domain, optional):
            patch.setattr(module, "choose_device", lambda wanted: {"cuda": "meta"}.get(wanted, "cpu"))
        models = SimpleNamespace(DenseNet=lambda weights: Tiny())
        patch.setitem(sys.modules, "torchxrayvision", SimpleNamespace(models=models))
        library = SimpleNamespace(from_pretrained=lambda name: Tiny())
        processor = SimpleNamespace(from_pretrained=lambda name: SimpleNamespace(image_mean=[0.5], image_std=[0.25]))
        patch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=library, BitImageProcessor=processor))
        there, here = load(device="cuda"), load(device="cpu")
    images = torch.zeros((2, 1, 64, 64), dtype=torch.uint8)
    assert there(images)["features"].device.type == "meta"
    assert here(images)["features"].device.type == "cpu"
    assert there.sha256 == here.sha256  # and so both use the same file of the cache


def test_the_rulers_of_a_run_are_put_where_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def choose(wanted: object) -> str:
        asked.append(wanted)
        return "cpu"

    monkeypatch.setattr(domain, "choose_device", choose)
    load_networks(["domain"])
    load_networks(["domain"], device="cpu")
    assert asked == ["auto", "cpu"]


def test_features_are_computed_without_tf32() -> None:
    class Looks(Means):
        def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
            return super().__call__(images)

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        extract(Looks(), image_set(3).images, cache=None)
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
