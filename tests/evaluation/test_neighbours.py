"""How near an image lies to its nearest training image."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import cxrgan
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.evaluation.features import compute
from cxrgan.evaluation.metrics import nearest
from cxrgan.evaluation.neighbours import TAP, neighbours, neighbours_of
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.runs.folder import RunFolder


def test_a_training_image_is_at_no_distance_from_itself(tiny_run: Path) -> None:
    found, run = neighbours_of(RunFolder(tiny_run)), RunFolder(tiny_run).read_info()
    image = load_dataset(run.data).images[7]
    assert found.of(image).distance == pytest.approx(0, abs=1e-4)
    assert found.of(image).share_nearer < 0.05


def test_distances_are_those_of_the_metrics_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrgan.evaluation.neighbours.ROWS", 7)
    network, random = load_domain(), np.random.default_rng(0)
    images = random.integers(0, 256, (40, 32, 32), dtype=np.uint8)
    features = compute(network, images)[TAP]
    found = neighbours(network, features)
    others = [nearest(of=features[i : i + 1], among=np.delete(features, i, 0))[0][0] for i in range(40)]
    np.testing.assert_allclose(found.among_train, np.sort(others), rtol=1e-6)
    new = random.integers(0, 256, (32, 32), dtype=np.uint8)
    distance = nearest(of=compute(network, new[None])[TAP], among=features)[0][0]
    assert found.of(new).distance == pytest.approx(distance, rel=1e-6)
    assert found.of(new).share_nearer == np.mean(np.array(others) < distance)


def test_a_shipped_generator_brings_its_neighbours() -> None:
    image = cxrgan.load_generator("cxr-64").sample(1, 0).images[0]
    found = neighbours_of("cxr-64").of(image)
    assert found.distance > 0
    assert 0 < found.share_nearer < 1


def test_a_dataset_that_is_gone_or_another_is_told(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for name, value, why in (
        ("data", str(tmp_path / "gone"), "no longer at"),
        ("data_sha256", "0" * 64, "other images"),
    ):
        config = json.loads((tiny_run / "config.json").read_text())
        run.config_file.write_text(json.dumps(config | {name: value}))
        with pytest.raises(UserError, match=why):
            neighbours_of(run)


def test_one_training_image_has_no_neighbours() -> None:
    with pytest.raises(UserError, match="only one"):
        neighbours(load_domain(), np.zeros((1, 4), np.float32))
