"""The shipped generators and references: there, small, described, and at work with no other file."""

import hashlib
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import cxrgan
from cxrgan.cli.main import main
from cxrgan.errors import UserError
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.evaluation.sets import open_pair
from cxrgan.generation.shipped import GENERATORS, REFERENCES, read_card, read_reference
from tools import model_cards

ASSETS = Path(cxrgan.__file__).parent / "assets"


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_makes_images_of_each_class_at_once(name: str) -> None:
    generator = cxrgan.load_generator(name)
    size = int(name.removeprefix("cxr-"))
    assert list(generator.classes) == ["NORMAL", "PNEUMONIA"]
    images = {label: generator.sample(8, seed=0, label=label) for label in generator.classes}
    for label in generator.classes:
        assert images[label].shape == (8, size, size)
        assert images[label].dtype == np.uint8
        assert images[label].images.std((1, 2)).min() > 20  # a picture, not a grey wash
    assert not np.array_equal(images["NORMAL"], images["PNEUMONIA"])
    assert len({image.tobytes() for image in images["NORMAL"]}) == 8


@pytest.mark.parametrize("name", [*GENERATORS, *REFERENCES])
def test_every_asset_is_small_and_says_where_it_is_from(name: str) -> None:
    content = (ASSETS / f"{name}.safetensors").read_bytes()
    card = read_card(name)
    assert len(content) <= 15_000_000
    assert hashlib.sha256(content).hexdigest() == card["sha256"]
    assert "CC BY 4.0" in card["licence"]
    assert "Kermany" in card["licence"]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_model_card_has_metrics_limits_and_the_check_for_copies(name: str) -> None:
    card = read_card(name)
    assert "Not for diagnosis" in card["not_for"]
    metrics = {(row["metric"], row["label"]) for row in card["metrics"]}
    assert {("frechet_distance", None), ("recall", "NORMAL"), ("precision", "PNEUMONIA")} <= metrics
    assert card["audit"]["copies"] == 0
    assert card["audit"]["target"] == f"{name}, step {card['step']}"
    assert "pairs" not in card["audit"]  # they name files of patients


def test_a_reference_stands_for_its_images() -> None:
    reference = read_reference("kermany-64")
    assert reference.labels.shape == (5190,)
    assert set(reference.labels) == {"NORMAL", "PNEUMONIA"}
    for name in get_args(DomainName):
        network = load_domain(name)
        features = reference.features[network.sha256]["features"]
        assert features.shape == (5190, network.num_features)
        assert np.abs(features.mean(0)).max() < 2  # they were put to scale over such images


def test_a_shipped_generator_is_measured_against_a_shipped_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "rows.json"
    arguments = ["evaluate", "cxr-64", "--data", "kermany-64", "--num", "200", "--json", str(file)]
    for name in ("NUM_DRAWS", "NUM_FRECHET_DRAWS"):  # all of them take half a minute
        monkeypatch.setattr(f"cxrgan.evaluation.compare.{name}", 2)
    monkeypatch.setattr("cxrgan.evaluation.rulers.inception.load_inception", lambda *a, **n: pytest.fail("not wanted"))
    assert main(arguments) == 0
    found = json.loads(file.read_text())["rows"]
    missing = [row["features"] for row in found if row["value"] is None]
    assert missing == ["inception", "inception-imagenet"]
    assert all("kermany-64 has no features of this network" in row["note"] for row in found if row["value"] is None)
    measured = [row for row in found if row["value"] is not None]
    assert list(dict.fromkeys(row["features"] for row in measured)) == ["cxr-domain-v1", "cxr-domain-v2"]
    for network in ("cxr-domain-v1", "cxr-domain-v2"):
        by_metric = {(row["metric"], row["label"]): row for row in measured if row["features"] == network}
        distance = by_metric["frechet_distance", None]
        assert (distance["n_real"], distance["n_fake"], distance["split"]) == (5190, 200, "train")
        assert distance["floor"] < distance["value"] < 200
        assert (distance["n_floor"], distance["floor_corrected"]) == ([4997, 193], True)
        assert by_metric["recall", "NORMAL"]["n_real"] == 1340
    assert "200 images against 5190 of kermany-64" in capsys.readouterr().out


def test_sizes_must_agree_and_sides_must_not_be_swapped() -> None:
    with pytest.raises(UserError, match="cxr-64 has 64-pixel images, kermany-128 has 128"):
        open_pair(Path("cxr-64"), Path("kermany-128"), num=2, split="train", seed=0)
    with pytest.raises(UserError, match="kermany-64 stands for real images"):
        open_pair(Path("kermany-64"), Path("kermany-64"), num=2, split="train", seed=0)
    with pytest.raises(UserError, match="a shipped name: kermany-64, kermany-128"):
        open_pair(Path("cxr-64"), Path("kermany-32"), num=2, split="train", seed=0)


def test_a_name_that_is_nothing_is_told_what_there_is() -> None:
    with pytest.raises(UserError, match="no run folder cxr-65; the generators that are shipped are cxr-64, cxr-128"):
        cxrgan.load_generator("cxr-65")


def test_a_run_folder_of_a_shipped_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cxr-64").mkdir()
    (tmp_path / "cxr-64" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"cxr-64/config\.json: recipe is missing"):
        cxrgan.load_generator("cxr-64")


def test_the_page_of_model_cards_says_what_the_cards_say() -> None:
    assert model_cards.PAGE.read_text(encoding="utf-8") == model_cards.page()
