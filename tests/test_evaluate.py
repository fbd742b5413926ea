"""Rows with floors, the cache of features, the sides of a comparison, and measuring during training."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from tiny import TINY, write_tiny_dataset

from cxrgan.cli import main
from cxrgan.data.dataset import load_dataset
from cxrgan.data.phantom import CLASSES, phantom
from cxrgan.errors import UserError
from cxrgan.evaluation import RULERS
from cxrgan.evaluation import features as features_module
from cxrgan.evaluation.domain import load_domain
from cxrgan.evaluation.during import make_evaluator
from cxrgan.evaluation.evaluate import evaluate
from cxrgan.evaluation.features import extract
from cxrgan.evaluation.metrics import frechet_distance
from cxrgan.evaluation.networks import load_networks
from cxrgan.evaluation.sets import ImageSet, folder_set, open_pair
from cxrgan.generate import load_generator
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
    rows = evaluate(real=image_set(60), fake=image_set(50, seed=1), networks=[Means()])
    named = {"features", "tap", "resize", "n_real", "n_fake", "n_floor", "split", "seed", "floor", "value", "metric"}
    assert all(named <= row.keys() for row in rows)
    assert {row["metric"] for row in rows if row["tap"] == "quarters"} == {
        *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")
    }
    assert [row["metric"] for row in rows if row["tap"] == "halves"] == ["frechet_distance"]
    assert [row["metric"] for row in rows if row["tap"] == "logits_unbiased"] == ["inception_score"]
    assert {(row["n_real"], row["n_fake"], row["n_floor"]) for row in rows if row["tap"] == "halves"} == {(60, 50, 30)}


def test_the_same_kind_of_images_are_near_the_floor_and_others_far_from_it() -> None:
    real = image_set(400)
    same = by_metric(evaluate(real=real, fake=image_set(400, seed=1), networks=[Means()]))
    other = by_metric(evaluate(real=real, fake=image_set(400, seed=1, brightness=40), networks=[Means()]))
    assert float(same["frechet_distance"]["ratio"]) < 3  # type: ignore[arg-type]
    assert float(other["frechet_distance"]["ratio"]) > 100  # type: ignore[arg-type]
    assert float(other["recall"]["value"]) < 0.2 < float(same["recall"]["value"])  # type: ignore[arg-type]


def test_values_and_floors_are_those_of_the_metric_itself() -> None:
    real, fake, network = image_set(40), image_set(30, seed=1), Means()
    row = by_metric(evaluate(real=real, fake=fake, networks=[network], seed=3))["frechet_distance"]
    of_real, of_fake = (extract(network, side.images, cache=None)["quarters"] for side in (real, fake))
    assert row["value"] == frechet_distance(real=of_real, fake=of_fake)
    first = np.random.default_rng(3).permutation(40) % 2 == 0
    assert row["floor"] == frechet_distance(real=of_real[first], fake=of_real[~first])


def test_classes_that_both_sides_have_get_rows_of_their_own() -> None:
    real = image_set(60, labels=("NORMAL", "PNEUMONIA"))
    fake = image_set(60, seed=1, labels=("PNEUMONIA", ""))
    rows = evaluate(real=real, fake=fake, networks=[Means()])
    assert {row["label"] for row in rows} == {None, "PNEUMONIA"}
    assert {row["n_fake"] for row in rows if row["label"]} == {30}


def test_too_few_images_are_said_and_everything_else_still_runs() -> None:
    rows = by_metric(evaluate(real=image_set(60), fake=image_set(3, seed=1), networks=[Means()]))
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


def test_sides_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    data = write_tiny_dataset(tmp_path / "data")
    other = write_tiny_dataset(tmp_path / "other", size=64)
    with pytest.raises(UserError, match=r"has 64-pixel images, .* has 32; prepare the dataset with --size 64"):
        open_pair(other, data, num=None, split="train", seed=0)
    with pytest.raises(UserError, match="cannot evaluate 0 images"):
        open_pair(other, data, num=0, split="train", seed=0)
    with pytest.raises(UserError, match="is no folder"):
        open_pair(tmp_path / "nowhere", data, num=None, split="train", seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no usable image"):
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
    assert [network.name for network in networks] == ["cxr-domain-v1"]
    assert [row["features"] for row in missing] == ["inception", "inception-imagenet"]
    for row, flag in zip(missing, ("--inception-weights", "--imagenet-weights"), strict=True):
        assert row["value"] is None
        assert "not computed" in row["note"]
        assert flag in row["note"]


@pytest.mark.parametrize(("ruler", "module"), [("xrv", "torchxrayvision"), ("rad-dino", "transformers")])
def test_an_optional_ruler_that_is_absent_is_one_clear_line(
    ruler: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    networks, (row,) = load_networks([ruler])  # type: ignore[list-item]
    assert networks == []
    assert f"pip install '.[{ruler}]'" in row["note"]


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
    assert missing == []
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
    measured = [row for row in folders["with"].read_rows() if "frechet_distance" in row]
    assert [row["step"] for row in measured] == [4, 8, 12, 16, 20]
    assert {row["n_fake"] for row in measured} == {12}
    best = min(measured, key=lambda row: row["frechet_distance"])["step"]
    assert folders["with"].best_step() == best
    assert set(folders["with"].steps()) == {best, 22}
    assert folders["without"].best_step() is None
    images = load_generator(folders["with"].path, best=True).sample(12, seed=0)
    again = make_evaluator(dataset.images, [Means()])(images)
    assert again["frechet_distance"] == min(row["frechet_distance"] for row in measured)
    with pytest.raises(UserError, match="was trained without --evaluate-every"):
        load_generator(folders["without"].path, best=True)


def test_the_floor_during_training_is_that_of_an_evaluation() -> None:
    real, fake = image_set(80), image_set(40, seed=1)
    row = by_metric(evaluate(real=real, fake=fake, networks=[Means()]))["frechet_distance"]
    measured = make_evaluator(real.images, [Means()])(fake.images)
    assert measured["frechet_floor"] == row["floor"]
    assert measured["frechet_distance"] == pytest.approx(row["value"])


def test_further_networks_add_their_distances_during_training() -> None:
    real, fake = image_set(80), image_set(40, seed=1)
    evaluated = evaluate(real=real, fake=fake, networks=[Means()])
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
    with pytest.raises(UserError, match="needs 6 training images or more, and the dataset tiny has 5"):
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
        rows.append([{k: v for k, v in row.items() if k != "seconds"} for row in folder.read_rows()])
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
